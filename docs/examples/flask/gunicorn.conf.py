"""How gunicorn serves the example: one process, for its reports are in memory, and threads that wait for batches."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

bind = "127.0.0.1:8080"
workers = 1
threads = 8
worker_class = "gthread"  # the master kills no thread for taking long, as it does with the sync workers
graceful_timeout = 30  # seconds from SIGTERM to the end: more than one fetch may take
preload_app = False  # a downloader is made in the process that uses it


def post_worker_init(worker: Any) -> None:
    """Let SIGTERM stop running batches at once, so that their callers get true reports before the worker ends."""
    batches = worker.wsgi.extensions["audiobatch"]
    wind_down = signal.getsignal(signal.SIGTERM)

    def stop(number: int, frame: FrameType | None) -> None:
        batches.stop()  # safe in a handler: this thread, which only passes connections on, never waits for a batch
        if callable(wind_down):
            wind_down(number, frame)

    signal.signal(signal.SIGTERM, stop)


def worker_exit(_: Any, worker: Any) -> None:
    """Close the downloader. Later, when the interpreter ends, no batch could start the threads that it needs."""
    if worker.booted:
        worker.wsgi.extensions["audiobatch"].close()
