"""audiobatch in Celery tasks, with one downloader for each process of a prefork worker.

Start a worker in this folder with ``celery -A tasks worker --loglevel INFO``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from celery import Celery
from celery.signals import worker_process_init, worker_process_shutdown, worker_ready

from audiobatch import AudiobatchError, BatchDownloader, InvalidBatchError
from audiobatch.clients.qbittorrent import QBittorrentClient
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.repositories.sqlite import SQLiteRepository
from audiobatch.wire import dump_result, load_batch

CALLERS_MAY_SET = {"series", "category", "tags"}  # not where data goes, nor whether it starts

log = logging.getLogger(__name__)

os.umask(0o077)  # records hold passkeys: whatever this process makes, its user alone can read

app = Celery("downloads")
app.config_from_object("celeryconfig")


@contextmanager
def open_downloader() -> Iterator[BatchDownloader]:
    """Give a downloader as the environment describes it, and close it in the end."""
    given = {name: value for name, value in os.environ.items() if value.strip()}  # an empty one is not set
    with (
        QBittorrentClient(
            given["QBITTORRENT_URL"],
            username=given.get("QBITTORRENT_USERNAME"),
            password=given.get("QBITTORRENT_PASSWORD"),
        ) as client,
        HttpFetcher(
            trusted_origins=given.get("AUDIOBATCH_TRUST", "").split(), proxy=given.get("AUDIOBATCH_PROXY")
        ) as fetcher,
        SQLiteRepository(given.get("AUDIOBATCH_DB", "downloads.db")) as repository,
    ):
        yield BatchDownloader(client=client, fetcher=fetcher, repository=repository)


class Process:
    """What a process of the pool holds on to. It is made in the process itself: connections are not for sharing."""

    def __init__(self) -> None:
        self._resources = ExitStack()
        self.downloader: BatchDownloader

    def open(self) -> None:
        """Make the downloader."""
        self.downloader = self._resources.enter_context(open_downloader())
        log.info("process %d is ready for batches", os.getpid())

    def close(self) -> None:
        """Close what it was made of."""
        self._resources.close()
        log.info("process %d has closed its downloader", os.getpid())


process = Process()


@worker_process_init.connect
def _open(**_: object) -> None:
    process.open()


@worker_process_shutdown.connect
def _close(**_: object) -> None:
    process.close()


@worker_ready.connect
def _recover_soon(**_: object) -> None:
    recover.delay()  # in a task, for a process of the pool must be ready within four seconds


@app.task(name="audiobatch.download_batch", acks_late=True, reject_on_worker_lost=True, throws=(InvalidBatchError,))
def download_batch(document: dict[str, Any]) -> dict[str, Any]:
    """Run a batch: ``{"downloads": [...]}`` in, ``{"successful": [...], "failed": [...]}`` out.

    It is acknowledged when it is done, so if the process dies, it runs again in another one.
    That is safe: what the client has by then is found there, what was fetched is on record and
    not fetched again, and two processes with the same batch do no harm either.

    Raises:
        InvalidBatchError: It is no batch, and never will be one.
    """
    return dump_result(process.downloader.run(load_batch(document, allowed=CALLERS_MAY_SET)))


@app.task(
    name="audiobatch.recover",
    ignore_result=True,
    autoretry_for=(AudiobatchError,),
    max_retries=None,
    retry_backoff=10,  # seconds, and twice as many after each further try
    retry_backoff_max=600,
)
def recover() -> None:
    """Settle what earlier processes left open; again later, for as long as the client cannot be asked."""
    process.downloader.recover()
