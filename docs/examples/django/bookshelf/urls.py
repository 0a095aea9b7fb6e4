"""The addresses of the project."""

from django.urls import include, path

urlpatterns = [path("api/downloads/", include("downloads.urls"))]
handler400 = "downloads.views.refused"
handler404 = "downloads.views.not_found"
handler500 = "downloads.views.broken"
