"""The settings, as far as they come from the environment and concern audiobatch."""

import os

from django.core.management.utils import get_random_secret_key

os.umask(0o077)  # records and reports hold passkeys: whatever this process makes, its user alone can read

SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY") or get_random_secret_key()  # nothing here is signed for later
ALLOWED_HOSTS = os.environ.get("AUDIOBATCH_HOSTS", "").split() or ["localhost", "127.0.0.1"]
ROOT_URLCONF = "bookshelf.urls"
WSGI_APPLICATION = "bookshelf.wsgi.application"
INSTALLED_APPS = ["downloads"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"]
USE_TZ = True
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024  # bytes

# With PostgreSQL another entry stands here, and nothing else changes.
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("AUDIOBATCH_DB") or "downloads.db",
        "OPTIONS": {
            # Readers and the writer do not wait for each other, and a commit is on disk when it returns.
            "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL",
            # A transaction waits for its turn when it begins. Begun as a reader, it would fail when it comes to write.
            "transaction_mode": "IMMEDIATE",
            "timeout": 10,
        },
    }
}
