"""The app, as Django knows it."""

from django.apps import AppConfig


class DownloadsConfig(AppConfig):
    """Batches of audiobook downloads."""

    name = "downloads"
    default_auto_field = "django.db.models.BigAutoField"
