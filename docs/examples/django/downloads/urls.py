"""The addresses of the app."""

from django.urls import path

from downloads import views

urlpatterns = [
    path("batch", views.run),
    path("batch/stream", views.stream),
    path("batches", views.start),
    path("batches/<uuid:identifier>", views.report, name="report"),
]
