"""The recipes for events, logs and metrics do what the page says, on a batch with each kind of outcome."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from audiobatch import BatchDownloader
from audiobatch.aio import AsyncBatchDownloader
from audiobatch.errors import RateLimited
from audiobatch.events import Listener
from audiobatch.repositories.memory import MemoryRepository
from support.fakes import AT_ONCE, FakeClient, FakeFetcher, request, torrent
from support.snippets import run_all

pytest.importorskip("prometheus_client", reason="the group documents is not installed")
pytest.importorskip("opentelemetry.sdk", reason="the group documents is not installed")
pytest.importorskip("tqdm", reason="the extra progress is not installed")

TELLING, BAR, LOG, PROMETHEUS, TRACING = range(5)
# One is queued after a wait, one is there already, one is missing, and one is never confirmed.
WANTED = [request("late"), request("there"), request("missing"), request("hidden")]


@pytest.fixture(scope="module")
def recipes() -> Any:
    """Give the names of each snippet, in order."""
    return run_all("docs/events.md")


def make(listener: Listener | None) -> BatchDownloader:
    """Make a downloader for `WANTED`."""
    client, fetcher = FakeClient(), FakeFetcher()
    client.add(torrent("there"), request("there").options)
    client.hidden = {torrent("hidden").info_hashes}
    fetcher.errors = {"late": [RateLimited("slow down", retry_after=0)]}
    return BatchDownloader(
        client=client,
        fetcher=fetcher,
        repository=MemoryRepository(),
        max_concurrent_fetches=1,
        fetch_retry=AT_ONCE,
        confirm_retry=AT_ONCE,
        on_event=listener,
    )


def test_the_listener_that_tells(recipes: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """It says of each item that it was fetched and settled."""
    names = recipes[TELLING]
    downloader = names["talkative"](FakeClient(), FakeFetcher(), MemoryRepository())

    downloader.run([request("book")])

    size = len(torrent("book").content)
    assert capsys.readouterr().out == f"item 0: {size} bytes in 0.0 s\nitem 0: settled\n"


class Terminal(io.StringIO):
    """Something to draw a bar on."""

    def isatty(self) -> bool:
        """Tell that it is one."""
        return True


def test_the_progress_bar(recipes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts up to the end, on standard error."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    downloader = recipes[BAR]["with_progress"](FakeClient(), FakeFetcher(), MemoryRepository())

    downloader.run([request("book"), request("other")])

    assert "2/2" in terminal.getvalue()


@contextmanager
def logger_as_it_was() -> Iterator[None]:
    """Put the logger back afterwards."""
    logger = logging.getLogger("audiobatch")
    level, handlers = logger.level, list(logger.handlers)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.handlers[:] = handlers


def test_the_log_as_json(recipes: Any) -> None:
    """Each line is an object with the sentence and the fields, and holds no URL."""
    written = io.StringIO()
    with logger_as_it_was():
        recipes[LOG]["log_as_json"](logging.StreamHandler(written))
        make(None).run(WANTED)

    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    first, last = lines[0], lines[-1]
    assert (first["event"], last["event"]) == ("batch_started", "batch_finished")
    assert (last["successful"], last["failed"]) == (2, 2)
    assert {line["batch"] for line in lines if "batch" in line} == {first["batch"]}
    assert {line["code"] for line in lines if "code" in line} == {"rate_limited", "torrent_not_found", "unconfirmed"}
    assert {line["level"] for line in lines} == {"INFO"}
    assert "tracker.test" not in written.getvalue()


def test_prometheus_counts_by_code(recipes: Any) -> None:
    """Items, waits, fetches and batches are counted, and nothing but the code is a label."""
    from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 - may be missing

    registry = CollectorRegistry()
    make(recipes[PROMETHEUS]["PrometheusListener"](registry)).run(WANTED)

    items = {code: registry.get_sample_value("audiobatch_items_total", {"code": code}) for code in ("queued", "failed")}
    assert items == {"queued": 1.0, "failed": None}
    for code in ("already_present", "torrent_not_found", "unconfirmed"):
        assert registry.get_sample_value("audiobatch_items_total", {"code": code}) == 1.0
    assert registry.get_sample_value("audiobatch_waits_total", {"code": "rate_limited"}) == 1.0
    assert registry.get_sample_value("audiobatch_fetch_seconds_count") == 3.0
    assert registry.get_sample_value("audiobatch_batch_seconds_count") == 1.0
    assert {name for metric in registry.collect() for sample in metric.samples for name in sample.labels} == {
        "code",
        "le",
    }
    assert b"tracker.test" not in generate_latest(registry)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_opentelemetry_makes_a_span_for_the_batch(recipes: Any, *, asynchronous: bool) -> None:
    """Below the current span stands one of the batch, in it one for each fetch, and an event for each item."""
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - may be missing
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: PLC0415

    exported = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exported))
    tracer = provider.get_tracer("test")
    listener = recipes[TRACING]["TracingListener"](tracer)

    with tracer.start_as_current_span("a request of a server"):
        if asynchronous:
            asyncio.run(AsyncBatchDownloader(make(listener)).run(WANTED))
        else:
            make(listener).run(WANTED)

    *fetches, batch, around = exported.get_finished_spans()
    assert [span.name for span in fetches] == ["audiobatch.fetch"] * 3
    assert {span.parent.span_id for span in fetches if span.parent} == {batch.context.span_id}
    assert batch.parent is not None
    assert batch.parent.span_id == around.context.span_id
    assert (batch.attributes or {})["audiobatch.size"] == 4
    assert batch.status.description == "2 failed"
    told = [(event.name, (event.attributes or {}).get("audiobatch.code")) for event in batch.events]
    assert sorted((name, code) for name, code in told if code) == [
        ("failed", "torrent_not_found"),
        ("failed", "unconfirmed"),
        ("waiting", "rate_limited"),
    ]
    assert [name for name, _ in told].count("queued") == 2
    assert listener.spans == {}
    assert "tracker.test" not in "".join(span.to_json() for span in exported.get_finished_spans())
