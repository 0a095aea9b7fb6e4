"""audiobatch behind FastAPI.

::

    POST /api/downloads/batch           runs a batch and answers with its report
    POST /api/downloads/batches         answers 202 at once; the batch runs on
    GET  /api/downloads/batches/ID      how that batch stands, for as long as this process keeps it
    POST /api/downloads/batch/stream    sends each outcome when it is there, as a server-sent event

Start it in this folder with ``uvicorn main:app --port 8080 --timeout-graceful-shutdown 10``: one
process, for its reports are in memory. When it is told to end, batches have that many seconds
to come to their end; then they are stopped between two steps.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from http import HTTPStatus
from typing import Annotated, Any

import anyio
from anyio.abc import TaskGroup
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from audiobatch import AudiobatchError, BatchDownloader, BatchResult, InvalidBatchError
from audiobatch.aio import AsyncBatchDownloader
from audiobatch.clients.qbittorrent import QBittorrentClient
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.repositories.sqlite import SQLiteRepository
from audiobatch.results import Outcome
from audiobatch.wire import dump_outcome, dump_result, load_batch

MAX_BODY = 1024 * 1024  # bytes
MAX_OPEN = 100  # batches that are not finished; 32 of them run, the others wait
MAX_KEPT = 1000  # batches whose report can be asked for
RECOVERY_PAUSE = 60.0  # seconds
CALLERS_MAY_SET = {"series", "category", "tags"}  # not where data goes, nor whether it starts

log = logging.getLogger(__name__)

os.umask(0o077)  # records and reports hold passkeys: whatever this process makes, its user alone can read


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


class Report:
    """How a batch stands that runs in the background."""

    def __init__(self) -> None:
        self.id = str(uuid.uuid4())
        self.status = "running"
        self.outcomes: list[Outcome] = []

    def dump(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {"id": self.id, "status": self.status, **dump_result(BatchResult(self.outcomes))}


class Batches:
    """The downloader of this process, and the batches that run in the background.

    Attributes:
        downloader: What runs them.
        places: Each batch has one; whoever has them all knows that no batch is under way.
    """

    def __init__(self, downloader: BatchDownloader, background: TaskGroup) -> None:
        self.downloader = AsyncBatchDownloader(downloader)
        self.places = anyio.Semaphore(MAX_OPEN, max_value=MAX_OPEN)
        self._background = background
        self._kept: dict[str, Report] = {}  # the oldest first

    def admit(self, requests: list[Any]) -> None:
        """Let a batch in, or say at once why not."""
        # Raises what is wrong with the batch as a whole. Nothing is done before an outcome is asked for.
        self.downloader.stream(requests)
        try:
            self.places.acquire_nowait()
        except anyio.WouldBlock:
            raise HTTPException(
                HTTPStatus.SERVICE_UNAVAILABLE, "too many batches are under way: try again later"
            ) from None

    def start(self, requests: list[Any]) -> Report:
        """Run a batch in the background, that has its place."""
        report = Report()
        finished = [kept.id for kept in self._kept.values() if kept.status != "running"]
        for oldest in finished[: max(len(self._kept) - MAX_KEPT + 1, 0)]:
            del self._kept[oldest]
        self._kept[report.id] = report
        self._background.start_soon(self._run, requests, report)
        return report

    def find(self, identifier: str) -> Report | None:
        """Return the report of this id, if it is kept here."""
        return self._kept.get(identifier)

    async def recover(self) -> None:
        """Settle what an earlier process left open, as soon as the client can be asked."""
        while True:
            try:
                await self.downloader.recover()
            except AudiobatchError as error:
                log.warning("what was left open stays so for now: %s", error)
                await anyio.sleep(RECOVERY_PAUSE)
            else:
                return

    async def _run(self, requests: list[Any], report: Report) -> None:
        status = "aborted"
        try:
            async with aclosing(self.downloader.stream(requests)) as outcomes:
                async for outcome in outcomes:
                    report.outcomes.append(outcome)
            status = "finished"
        except Exception:
            log.exception("batch %s ended with an error", report.id)
        finally:
            report.status = status
            self.places.release()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Make the downloader when the server starts; close it when every batch has settled."""
    with open_downloader() as downloader:
        async with anyio.create_task_group() as background:
            app.state.batches = batches = Batches(downloader, background)
            background.start_soon(batches.recover)
            yield
            background.cancel_scope.cancel()
        # Requests that the server has given up go on until they are settled, and it does not wait for them.
        for _ in range(MAX_OPEN):
            await batches.places.acquire()


def batches_of(request: Request) -> Batches:
    """Return the batches of this process."""
    batches: Batches = request.app.state.batches
    return batches


async def read_batch(request: Request) -> list[Any]:
    """Read the body by hand: what is wrong with it, the contract of audiobatch says, and not that of FastAPI."""
    announced = request.headers.get("Content-Length", "")
    _bound(int(announced) if announced.isdecimal() else 0)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        _bound(len(body))
    # A form on any web page can post text to this server, but not JSON: a browser would ask first.
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send the batch as application/json")
    return load_batch(bytes(body), allowed=CALLERS_MAY_SET)


def _bound(size: int) -> None:
    if size > MAX_BODY:
        raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the batch is larger than it may be")


async def admit_batch(
    requests: Annotated[list[Any], Depends(read_batch)], batches: Annotated[Batches, Depends(batches_of)]
) -> AsyncIterator[list[Any]]:
    """Give a batch that has a place until it is answered."""
    batches.admit(requests)
    try:
        yield requests
    finally:
        batches.places.release()


OpenBatches = Annotated[Batches, Depends(batches_of)]
ReadBatch = Annotated[list[Any], Depends(read_batch)]
AdmittedBatch = Annotated[list[Any], Depends(admit_batch)]

app = FastAPI(title="audiobatch", lifespan=lifespan)
# A web page whose host name is made to lead to this server must not be able to speak for its own origin.
app.add_middleware(
    TrustedHostMiddleware,
    allowed_hosts=os.environ.get("AUDIOBATCH_HOSTS", "").split() or ["localhost", "127.0.0.1"],
    www_redirect=False,
)


@app.post("/api/downloads/batch")
async def run(requests: AdmittedBatch, batches: OpenBatches, request: Request) -> Response:
    """Run a batch and answer with its report. A caller who hangs up ends it between two steps."""
    result = None
    async with anyio.create_task_group() as group:
        group.start_soon(_cancel_without_caller, request, group.cancel_scope)
        result = await batches.downloader.run(requests)
        group.cancel_scope.cancel()
    return Response() if result is None else JSONResponse(dump_result(result))


@app.post("/api/downloads/batches")
async def start(requests: ReadBatch, batches: OpenBatches, request: Request) -> Response:
    """Accept a batch, and say where its report is."""
    batches.admit(requests)
    report = batches.start(requests)
    place = request.url_for("report", identifier=report.id).path
    return JSONResponse(report.dump(), HTTPStatus.ACCEPTED, {"Location": place})


@app.get("/api/downloads/batches/{identifier}")
async def report(identifier: str, batches: OpenBatches) -> Response:
    """Tell how a batch stands."""
    found = batches.find(identifier)
    if found is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "no such batch is known here")
    return JSONResponse(found.dump())


@app.post("/api/downloads/batch/stream", response_class=EventSourceResponse)
async def stream(requests: AdmittedBatch, batches: OpenBatches) -> AsyncIterator[ServerSentEvent]:
    """Send each outcome when it is there. A caller who leaves ends the batch between two steps."""
    known: list[Outcome] = []
    async with aclosing(batches.downloader.stream(requests)) as outcomes:
        async for outcome in outcomes:
            known.append(outcome)
            yield ServerSentEvent(event="outcome", data=dump_outcome(outcome))
    yield ServerSentEvent(event="result", data=dump_result(BatchResult(known)))


@app.exception_handler(InvalidBatchError)
async def refuse(_: Request, error: InvalidBatchError) -> Response:
    """Answer what is no batch."""
    return JSONResponse({"error": str(error)}, HTTPStatus.BAD_REQUEST)


@app.exception_handler(AnyHTTPException)
async def tell(_: Request, error: AnyHTTPException) -> Response:
    """Answer all other errors in the same form."""
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _cancel_without_caller(request: Request, scope: anyio.CancelScope) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
