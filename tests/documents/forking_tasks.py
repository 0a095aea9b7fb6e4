"""The tasks of a Celery worker whose downloader was made before its pool was forked."""

from __future__ import annotations

import os
from pathlib import Path

from celery import Celery

from support.forking_server import run

_folder = Path(os.environ["FORKING_FOLDER"])

app = Celery("forking", broker="filesystem://", backend=f"file://{_folder / 'results'}", set_as_current=False)
app.conf.worker_prefetch_multiplier = 1
app.conf.broker_transport_options = {
    "data_folder_in": str(_folder / "queue"),
    "data_folder_out": str(_folder / "queue"),
    "control_folder": str(_folder / "control"),
    "polling_interval": 0.05,
}
app.task(name="run")(run)
