"""What a batch tells of itself while it goes on: to a listener, and to the log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock

import pytest

from audiobatch import BatchDownloader, Download, FailureCode, RetryPolicy
from audiobatch.errors import ClientUnavailable, FetchUnavailable, RateLimited, Unsupported
from audiobatch.events import (
    BatchEvent,
    BatchFinished,
    BatchStarted,
    Fetched,
    Listener,
    Settled,
    Submitted,
    Waiting,
    fan_out,
)
from audiobatch.fetchers._pace import Pace
from audiobatch.metainfo import Torrent, parse_magnet
from audiobatch.models import DownloadRequest
from audiobatch.repositories.memory import MemoryRepository
from support.fakes import AT_ONCE, FakeBulkClient, FakeClient, FakeFetcher, request
from support.inline import Inline

HEX = "ab" * 20
Make = Callable[..., BatchDownloader]


@pytest.fixture
def heard() -> list[BatchEvent]:
    """Give where the events are kept."""
    return []


@pytest.fixture
def make(client: FakeClient, fetcher: FakeFetcher, repository: MemoryRepository, heard: list[BatchEvent]) -> Make:
    """Give a way to make a downloader, that keeps its events unless told otherwise."""

    def make(
        *,
        listener: Listener = heard.append,
        retry: RetryPolicy = AT_ONCE,
        client: FakeClient = client,
        at_once: int = 1,
    ) -> BatchDownloader:
        return BatchDownloader(
            client=client,
            fetcher=fetcher,
            repository=repository,
            max_concurrent_fetches=at_once,
            fetch_retry=retry,
            confirm_retry=AT_ONCE,
            on_event=listener,
        )

    return make


def kinds(events: list[BatchEvent]) -> list[str]:
    """Return the names of the events, in order."""
    return [type(event).__name__ for event in events]


class TestTheStream:
    """Which events come, in which order, and what they hold."""

    def test_a_batch_from_start_to_finish(self, make: Make, heard: list[BatchEvent]) -> None:
        """Each step of a good item is told, and a bad one is settled without the others."""
        result = make().run([request("good"), {"title": "bad"}])

        assert kinds(heard) == ["BatchStarted", "Settled", "Fetched", "Submitted", "Settled", "BatchFinished"]
        start, bad, fetched, submitted, good, finish = heard
        assert isinstance(start, BatchStarted)
        assert start.size == 2
        assert bad == Settled(batch=start.batch, outcome=result.failed[0])
        assert isinstance(fetched, Fetched)
        assert (fetched.index, fetched.request) == (0, request("good"))
        assert (fetched.size, 0 <= fetched.seconds < 60) == (86, True)
        assert submitted == Submitted(batch=start.batch, indices=(0,))
        assert good == Settled(batch=start.batch, outcome=result.successful[0])
        assert isinstance(finish, BatchFinished)
        assert (finish.batch, finish.successful, finish.failed) == (start.batch, 1, 1)
        assert 0 <= finish.seconds < 60

    def test_every_outcome_is_told_before_it_is_yielded(self, make: Make, heard: list[BatchEvent]) -> None:
        """Whoever takes the outcomes has heard of them, twins included."""
        for outcome in make().stream([request("a"), request("a"), request("missing"), {}]):
            told = [event.outcome for event in heard if isinstance(event, Settled)]
            assert told[-1] is outcome
        assert len([event for event in heard if isinstance(event, Settled)]) == 4

    def test_an_iteration_that_is_left_early_finishes_too(self, make: Make, heard: list[BatchEvent]) -> None:
        """With the counts so far, so that whoever shows progress can stop."""
        stream = make().stream([request("missing 1"), request("missing 2")])
        next(stream)
        stream.close()

        assert kinds(heard)[-1] == "BatchFinished"
        assert isinstance(heard[-1], BatchFinished)
        assert (heard[-1].successful, heard[-1].failed) == (0, 1)

    def test_a_batch_that_is_stopped_tells_of_every_item(self, make: Make, heard: list[BatchEvent]) -> None:
        """What was not attempted is settled as that."""
        stop = Event()
        stop.set()
        make().run([request("a"), request("b")], stop=stop)

        assert kinds(heard) == ["BatchStarted", "Settled", "Settled", "BatchFinished"]

    def test_what_is_not_fetched_is_not_told_as_fetched(self, make: Make, heard: list[BatchEvent]) -> None:
        """A magnet link is handed over as it is, and what is there already not at all."""
        downloader = make()
        magnet = request("m", torrent_url=f"magnet:?xt=urn:btih:{HEX}")
        downloader.run([magnet])
        downloader.run([magnet])

        once = ["BatchStarted", "Submitted", "Settled", "BatchFinished"]
        assert kinds(heard) == [*once, "BatchStarted", "Settled", "BatchFinished"]
        assert len({event.batch for event in heard}) == 2

    def test_a_url_that_leads_to_a_magnet_link_has_no_size(
        self, make: Make, heard: list[BatchEvent], fetcher: FakeFetcher, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """There is no torrent file that could have one."""

        def fetch(_: DownloadRequest) -> Torrent:
            return parse_magnet(f"magnet:?xt=urn:btih:{HEX}")

        monkeypatch.setattr(fetcher, "fetch", fetch)
        make().run([request("link")])

        assert [event.size for event in heard if isinstance(event, Fetched)] == [0]

    def test_several_in_one_request(self, make: Make, heard: list[BatchEvent], monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the client takes many at once, one event tells of all, and another of one that went again."""
        monkeypatch.setattr("audiobatch._lookahead.ThreadPoolExecutor", lambda *_, **__: Inline(ahead=True))
        client = FakeBulkClient()
        client.left_out = {"b"}
        make(client=client, at_once=3).run([request(name) for name in "abc"])

        assert [event.indices for event in heard if isinstance(event, Submitted)] == [(0, 1, 2), (1,)]

    def test_what_was_not_sent_is_not_told_as_submitted(
        self, make: Make, heard: list[BatchEvent], client: FakeClient
    ) -> None:
        """A client that cannot do what is asked has been given nothing; one that does not answer may have."""
        client.on_add = lambda name: Unsupported("no") if name == "odd" else ClientUnavailable("gone")
        make().run([request("odd"), request("lost")])

        submitted = [event.indices for event in heard if isinstance(event, Submitted)]
        assert submitted == [(1,), (1,)]

    def test_a_recovery_tells_nothing(self, make: Make, heard: list[BatchEvent], client: FakeClient) -> None:
        """It is no batch."""
        downloader = make()
        downloader.run([request("a")])
        client.torrents.clear()
        heard.clear()

        assert len(downloader.recover().successful) == 1
        assert heard == []


class TestWaiting:
    """Why nothing seems to happen."""

    @pytest.mark.parametrize(
        ("error", "seconds", "code"),
        [
            (RateLimited("slow down", retry_after=0.02), 0.02, FailureCode.RATE_LIMITED),
            (FetchUnavailable("down"), 0.01, FailureCode.FETCH_UNAVAILABLE),
        ],
        ids=["asked for", "back-off"],
    )
    def test_a_wait_before_the_next_try(
        self,
        make: Make,
        heard: list[BatchEvent],
        fetcher: FakeFetcher,
        error: Exception,
        seconds: float,
        code: FailureCode,
    ) -> None:
        """It is told before it begins, with its length and its reason."""
        fetcher.errors["slow"] = [error]
        make(retry=RetryPolicy(attempts=2, wait=0.01)).run([request("slow")])

        assert kinds(heard) == ["BatchStarted", "Waiting", "Fetched", "Submitted", "Settled", "BatchFinished"]
        wait = heard[1]
        assert wait == Waiting(batch=heard[0].batch, index=0, request=request("slow"), seconds=seconds, code=code)

    def test_no_wait_is_told_after_the_last_try(
        self, make: Make, heard: list[BatchEvent], fetcher: FakeFetcher
    ) -> None:
        """Nor after an error that is not worth another one."""
        fetcher.errors["gone"] = [FetchUnavailable("down")] * 2
        make(retry=RetryPolicy(attempts=2, wait=0)).run([request("gone"), request("missing")])

        assert kinds(heard).count("Waiting") == 1

    def test_a_fetcher_that_keeps_a_pace_tells_of_its_wait(
        self, make: Make, heard: list[BatchEvent], fetcher: FakeFetcher, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The gap to the request before shows as a wait for the tracker."""
        pace, fetch = Pace(0.2), fetcher.fetch

        def politely(asked: DownloadRequest) -> Torrent:
            with pace.turn():
                pace.step()
                return fetch(asked)

        monkeypatch.setattr(fetcher, "fetch", politely)
        make().run([request("first"), request("second")])

        (wait,) = [event for event in heard if isinstance(event, Waiting)]
        assert (wait.index, wait.code) == (1, FailureCode.RATE_LIMITED)
        assert 0.1 < wait.seconds <= 0.2


class TestListeners:
    """What a listener may do, and what it cannot do."""

    def test_its_exception_breaks_nothing(self, make: Make, caplog: pytest.LogCaptureFixture) -> None:
        """The batch goes on, and the log says what went wrong."""

        def broken(_: BatchEvent) -> None:
            raise ZeroDivisionError("a bug of the listener")

        result = make(listener=broken).run([request("good"), request("missing")])

        assert len(result.successful) == 1
        failures = [entry for entry in caplog.records if entry.levelno == logging.ERROR]
        assert [entry.getMessage() for entry in failures[:2]] == [
            "a listener failed on BatchStarted",
            "a listener failed on Fetched",
        ]
        assert "a bug of the listener" in caplog.text

    def test_what_is_no_error_passes(self, make: Make) -> None:
        """Ctrl-C in a listener is Ctrl-C."""

        def interrupted(_: BatchEvent) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            make(listener=interrupted).run([request("good")])

    def test_each_of_several_hears_everything(self, make: Make, caplog: pytest.LogCaptureFixture) -> None:
        """Whatever the others raise."""
        first: list[BatchEvent] = []
        second: list[BatchEvent] = []

        def broken(_: BatchEvent) -> None:
            raise ValueError

        make(listener=fan_out(first.append, broken, second.append)).run([request("a")])

        assert kinds(first)[-1] == "BatchFinished"
        assert first == second
        assert "a listener failed" in caplog.text

    def test_it_is_called_once_at_a_time(self, make: Make) -> None:
        """Also by batches that run side by side; so it needs no lock."""
        busy = Lock()
        ended: list[str] = []

        def alone(event: BatchEvent) -> None:
            assert busy.acquire(blocking=False)
            if isinstance(event, BatchFinished):
                ended.append(event.batch)
            busy.release()

        downloader = make(listener=alone)
        with ThreadPoolExecutor(8) as pool:
            batches = [[request(f"{batch} {item}") for item in range(5)] for batch in range(8)]
            results = list(pool.map(downloader.run, batches))

        assert all(len(result.successful) == 5 for result in results)
        assert len(set(ended)) == 8

    def test_it_cannot_run_a_batch_of_the_same_downloader(self, make: Make, caplog: pytest.LogCaptureFixture) -> None:
        """That would wait for itself; the error says so, and breaks nothing."""
        downloaders: list[BatchDownloader] = []

        def follow_up(_: BatchEvent) -> None:
            downloaders[0].run([request("next")])

        downloaders.append(make(listener=follow_up))

        assert len(downloaders[0].run([request("first")]).successful) == 1
        assert "ConfigurationError: a listener cannot run a batch of the downloader that it listens to" in caplog.text

    def test_it_may_run_a_batch_of_another_downloader(self, make: Make) -> None:
        """As one may who hands on to a second client whatever the first one has."""
        other = make()
        handed_on: list[Download] = []

        def hand_on(event: BatchEvent) -> None:
            if isinstance(event, Settled) and isinstance(event.outcome, Download):
                handed_on.append(other.download(event.outcome.request))

        make(listener=hand_on).run([request("a"), request("b")])

        assert [download.request.title for download in handed_on] == ["a", "b"]


class TestTheLog:
    """The same events as log records, with their fields."""

    def test_each_event_is_a_record_with_fields(
        self, make: Make, fetcher: FakeFetcher, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Whoever collects logs as data gets numbers and names, and no URL."""
        caplog.set_level(logging.DEBUG, logger="audiobatch")
        fetcher.errors["good"] = [RateLimited("slow down", retry_after=0)]
        make().run([request("good"), {"title": "bad"}])

        records = [vars(entry) for entry in caplog.records if entry.name == "audiobatch"]
        assert [entry["event"] for entry in records] == [
            "batch_started",
            "settled",
            "waiting",
            "fetched",
            "submitted",
            "settled",
            "batch_finished",
        ]
        assert len({entry["batch"] for entry in records}) == 1
        start, bad, wait, fetched, submitted, good, finish = records
        assert start["size"] == 2
        assert (bad["index"], bad["code"], bad["stage"], bad["retryable"]) == (1, "invalid_request", "validate", False)
        assert (wait["index"], wait["seconds"], wait["code"]) == (0, 0, "rate_limited")
        assert (fetched["index"], fetched["size"]) == (0, 86)
        assert submitted["indices"] == (0,)
        assert (good["index"], good["already_present"], len(good["info_hash"])) == (0, False, 40)
        assert (finish["successful"], finish["failed"]) == (1, 1)
        assert "s3cret" not in str(records)
        assert "tracker.test" not in str(records)

    def test_nothing_of_it_is_a_warning(self, make: Make, caplog: pytest.LogCaptureFixture) -> None:
        """Without any set-up of logging, what the result tells anyway is not printed."""
        make().run([request("missing"), {}])

        assert [entry for entry in caplog.records if entry.levelno >= logging.WARNING] == []
