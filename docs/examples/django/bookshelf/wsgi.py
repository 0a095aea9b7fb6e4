"""What a server starts: the application, with a downloader that is made in the process which uses it."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bookshelf.settings")
application = get_wsgi_application()

# Not in AppConfig.ready, for that runs in every command of manage.py too.
from downloads.batches import batches  # noqa: E402 - models can be imported only now

batches()
