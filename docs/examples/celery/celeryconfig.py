"""How Celery is set up. Without a broker named, it makes do with a folder: enough to try it, and no more."""

from __future__ import annotations

import os
from pathlib import Path

os.umask(0o077)  # batches and results hold passkeys: whatever this process makes, its user alone can read

_folder = Path(os.environ.get("CELERY_FOLDER") or "celery-data").absolute()

broker_url = os.environ.get("CELERY_BROKER_URL") or "filesystem://"
# Results hold the requests as they came, passkeys and all: whoever reads them must be allowed to.
result_backend = os.environ.get("CELERY_RESULT_BACKEND") or f"file://{_folder / 'results'}"
broker_connection_retry_on_startup = True
worker_prefetch_multiplier = 1  # a batch waits where the next process is free, and not behind another batch

if broker_url == "filesystem://":
    for each in ("queue", "control", "results"):
        (_folder / each).mkdir(parents=True, exist_ok=True)
    broker_transport_options = {
        "data_folder_in": str(_folder / "queue"),
        "data_folder_out": str(_folder / "queue"),
        "control_folder": str(_folder / "control"),
        "polling_interval": 0.2,  # seconds
    }
