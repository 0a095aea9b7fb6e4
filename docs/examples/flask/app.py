"""audiobatch behind Flask.

::

    POST /api/downloads/batch           runs a batch and answers with its report
    POST /api/downloads/batches         answers 202 at once; the batch runs on
    GET  /api/downloads/batches/ID      how that batch stands, for as long as this process keeps it
    POST /api/downloads/batch/stream    sends each outcome when it is there, as a server-sent event

Start it in this folder with ``gunicorn 'app:create_app()'``; gunicorn.conf.py has the rest.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import uuid
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from http import HTTPStatus
from threading import Condition, Event, Lock, Thread
from typing import Any

from flask import Flask, Response, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, NotFound, ServiceUnavailable, UnsupportedMediaType

from audiobatch import AudiobatchError, BatchDownloader, BatchResult, InvalidBatchError
from audiobatch.clients.qbittorrent import QBittorrentClient
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.repositories.sqlite import SQLiteRepository
from audiobatch.results import Outcome
from audiobatch.wire import dump_outcome, dump_result, load_batch

MAX_BODY = 1024 * 1024  # bytes
AT_ONCE = 8  # batches that run in the background side by side; more of them wait
MAX_OPEN = 100  # batches in the background that are not finished
MAX_KEPT = 1000  # batches whose report can be asked for
HEARTBEAT = 15.0  # seconds: many a proxy cuts a connection that is silent for 30 or 60
RECOVERY_PAUSE = 60.0  # seconds
CALLERS_MAY_SET = {"series", "category", "tags"}  # not where data goes, nor whether it starts

log = logging.getLogger(__name__)

os.umask(0o077)  # records hold passkeys: whatever this process makes, its user alone can read


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


class Batch:
    """A batch that runs in the background. Several threads may read what is known of it so far."""

    def __init__(self, remaining: Generator[Outcome, None, None]) -> None:
        self.id = str(uuid.uuid4())
        self.status = "running"
        self._remaining = remaining
        self._outcomes: list[Outcome] = []
        self._left = False
        self._news = Condition()

    def run(self) -> None:
        """Run it to its end, or until it is left."""
        status = "aborted"
        try:
            with closing(self._remaining):
                for outcome in self._remaining:
                    with self._news:
                        self._outcomes.append(outcome)
                        self._news.notify_all()
                    if self._left:
                        return
            status = "finished"
        except Exception:
            log.exception("batch %s ended with an error", self.id)
        finally:
            with self._news:
                self.status = status
                self._news.notify_all()

    def leave(self) -> None:
        """End it after the next outcome, because nobody wants the rest any more."""
        self._left = True

    def report(self) -> dict[str, Any]:
        """Return how it stands."""
        with self._news:
            return {"id": self.id, "status": self.status, **dump_result(BatchResult(self._outcomes))}

    def after(self, count: int) -> list[Outcome]:
        """Return all outcomes but so many, the earliest ones; with none of them to come, wait for a while."""
        with self._news:
            self._news.wait_for(lambda: len(self._outcomes) > count or self.status != "running", timeout=HEARTBEAT)
            return self._outcomes[count:]


class Batches:
    """The downloader of this process, and the batches that it runs in the background."""

    def __init__(self) -> None:
        self._resources = ExitStack()
        self._downloader = self._resources.enter_context(open_downloader())
        self._stop = Event()
        self._lock = Lock()
        self._kept: dict[str, Batch] = {}  # the oldest first
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="batch")
        self._recovery = Thread(target=self._recover, name="recovery", daemon=True)
        self._recovery.start()
        atexit.register(self.close)

    def run(self, requests: list[Any]) -> BatchResult:
        """Run a batch in this thread."""
        return self._downloader.run(requests, stop=self._stop)

    def start(self, requests: list[Any]) -> Batch:
        """Run a batch in the background."""
        batch = Batch(self._downloader.stream(requests, stop=self._stop))
        with self._lock:
            finished = [kept.id for kept in self._kept.values() if kept.status != "running"]
            if len(self._kept) - len(finished) >= MAX_OPEN:
                raise ServiceUnavailable("too many batches are under way: try again later")
            for oldest in finished[: max(len(self._kept) - MAX_KEPT + 1, 0)]:
                del self._kept[oldest]
            self._kept[batch.id] = batch
        self._pool.submit(batch.run)
        return batch

    def find(self, identifier: str) -> Batch | None:
        """Return the batch of this id, if it is kept here."""
        return self._kept.get(identifier)

    def stop(self) -> None:
        """End all batches between two steps: the rest of each comes back as not attempted."""
        self._stop.set()

    def close(self) -> None:
        """Stop all batches, wait until they have settled, and close the downloader."""
        self.stop()
        self._pool.shutdown()
        self._recovery.join()
        self._resources.close()

    def _recover(self) -> None:
        """Settle what an earlier process left open, as soon as the client can be asked."""
        while not self._stop.is_set():
            try:
                self._downloader.recover(stop=self._stop)
            except AudiobatchError as error:
                log.warning("what was left open stays so for now: %s", error)
                self._stop.wait(RECOVERY_PAUSE)
            else:
                return


def create_app() -> Flask:
    """Make the application with a downloader of its own: once in each process, and after any fork."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    # A web page whose host name is made to lead to this server must not be able to speak for its own origin.
    # An empty list would let every host in.
    app.config["TRUSTED_HOSTS"] = os.environ.get("AUDIOBATCH_HOSTS", "").split() or ["localhost", "127.0.0.1"]
    app.extensions["audiobatch"] = batches = Batches()

    @app.post("/api/downloads/batch")
    def run() -> ResponseReturnValue:
        return dump_result(batches.run(_read_batch()))

    @app.post("/api/downloads/batches")
    def start() -> ResponseReturnValue:
        batch = batches.start(_read_batch())
        return batch.report(), HTTPStatus.ACCEPTED, {"Location": url_for("report", identifier=batch.id)}

    @app.get("/api/downloads/batches/<identifier>")
    def report(identifier: str) -> ResponseReturnValue:
        batch = batches.find(identifier)
        if batch is None:
            raise NotFound("no such batch is known here")
        return batch.report()

    @app.post("/api/downloads/batch/stream")
    def stream() -> ResponseReturnValue:
        batch = batches.start(_read_batch())
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return Response(_events(batch), mimetype="text/event-stream", headers=headers)

    @app.errorhandler(InvalidBatchError)
    def refuse(error: InvalidBatchError) -> ResponseReturnValue:
        return {"error": str(error)}, HTTPStatus.BAD_REQUEST

    @app.errorhandler(HTTPException)
    def tell(error: HTTPException) -> ResponseReturnValue:
        return {"error": error.description}, error.code or HTTPStatus.INTERNAL_SERVER_ERROR

    return app


def _read_batch() -> list[Any]:
    body = request.get_data()
    # A form on any web page can post text to this server, but not JSON: a browser would ask first.
    if not request.is_json:
        raise UnsupportedMediaType("send the batch as application/json")
    return load_batch(body, allowed=CALLERS_MAY_SET)


def _events(batch: Batch) -> Iterator[str]:
    sent = 0
    try:
        while batch.status == "running":
            new = batch.after(sent)
            sent += len(new)
            yield "".join(_event("outcome", dump_outcome(outcome)) for outcome in new) or ": keep-alive\n\n"
        yield from (_event("outcome", dump_outcome(outcome)) for outcome in batch.after(sent))
        if batch.status == "finished":
            yield _event("result", batch.report())
    finally:
        # WSGI tells nothing of a caller who has gone: that shows when the next event cannot be sent.
        batch.leave()


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
