"""The report is the truth, whatever happens between audiobatch and a real qBittorrent."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final
from unittest.mock import patch

import httpx
import pytest

from audiobatch import (
    BatchDownloader,
    Download,
    DownloadFailure,
    DownloadRequest,
    DownloadStatus,
    FailureCode,
    RetryPolicy,
)
from audiobatch.clients.qbittorrent import QBittorrentClient
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.models import GivenRequest
from audiobatch.repositories.sqlite import SQLiteRepository
from audiobatch.results import BatchResult, Outcome
from support.fault_proxy import Fault, FaultProxy
from support.fault_table import ADD, HITS, LOOKUP, Count, FaultTable, Hit, hits_one_alone, name_of, row_of
from support.inline import Inline
from support.qbittorrent import GENERATIONS, PASSWORD, USERNAME, Daemon, Generation
from support.torrents import Kind, book
from support.tracker import KINDS, LOOPBACK, Tracker
from support.waiting import wait_until

pytestmark = pytest.mark.daemon

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "faults.md"
TIMEOUT: Final = 0.4  # of the client, in seconds
QUICK: Final = RetryPolicy(attempts=3, wait=0.05, factor=1)
PATIENT: Final = RetryPolicy(attempts=8, wait=0.05)
MANY: Final = [f"/v1/book-{number}" for number in range(12)]
ENDED: Final = frozenset(
    {
        FailureCode.NOT_ATTEMPTED,
        FailureCode.CLIENT_UNAVAILABLE,
        FailureCode.CLIENT_AUTH,
        FailureCode.CLIENT_ERROR,
    }
)


def client_ids(name: str, kind: Kind) -> frozenset[str]:
    """Work out, without the library, by which ids a client may know a book: v1, and v2 cut to 40 digits."""
    info = book(name, kind=kind).removeprefix(b"d4:info").removesuffix(b"e")
    if kind != "v1":
        info = info.removesuffix(b"12:piece layersde")
    v1 = {hashlib.sha1(info).hexdigest()} if kind != "v2" else set()
    v2 = {hashlib.sha256(info).hexdigest()[:40]} if kind != "v1" else set()
    return frozenset(v1 | v2)


def promised(result: BatchResult) -> list[Outcome]:
    """Return the outcomes whose torrents are in the client, now or after a recovery."""
    return [
        outcome
        for outcome in result.outcomes
        if isinstance(outcome, Download) or outcome.code is FailureCode.UNCONFIRMED
    ]


class Bench:
    """A daemon behind the proxy, and a batch in which everything occurs."""

    def __init__(
        self, daemon: Daemon, proxy: FaultProxy, tracker: Tracker, fetcher: HttpFetcher, repository: SQLiteRepository
    ) -> None:
        self.daemon, self.proxy, self.tracker = daemon, proxy, tracker
        self.repository = repository
        self._fetcher = fetcher
        self._markers = (f"marker-{number}" for number in count())
        good = {f"/{kind}/{kind}-book": client_ids(f"{kind}-book", kind) for kind in KINDS}
        self.ids: Mapping[str, frozenset[str]] = {
            **good,
            "/v1/v1-book/": good["/v1/v1-book"],  # the same torrent by another URL
            "/hybrid/old": client_ids("old", "hybrid"),
            **{path: client_ids(path.removeprefix("/v1/"), "v1") for path in MANY},
        }
        paths = [*good, *MANY[:2], "/v2/v2-book", "/v1/v1-book/", "/hybrid/old", "/nowhere", "/page"]
        self.batch: list[GivenRequest] = [
            *self.requests(paths),
            {"title": "", "author": "A", "torrent_url": tracker.url},
        ]

    def requests(self, paths: Iterable[str]) -> list[DownloadRequest]:
        """Ask for what the tracker has under these paths."""
        return [DownloadRequest(title=path, author="A", torrent_url=self.tracker.url + path) for path in paths]

    @contextmanager
    def downloader(
        self, *, retry: RetryPolicy = QUICK, timeout: float = TIMEOUT, workers: int = 50, alone: bool = False
    ) -> Iterator[BatchDownloader]:
        """Give a downloader with a client of its own that goes through the proxy.

        Its groups do not depend on time: the first two are of as many as there are workers, further ones are larger; or
        each is of one alone.
        """
        workers = 1 if alone else workers
        # To load no certificates saves a good part of the time of a test.
        with (
            httpx.Client(trust_env=False, verify=False) as http,
            patch("audiobatch._lookahead.ThreadPoolExecutor", lambda *_, **__: Inline(ahead=not alone)),
        ):
            client = QBittorrentClient(self.proxy.url, username=USERNAME, password=PASSWORD, timeout=timeout, http=http)
            yield BatchDownloader(
                client=client,
                fetcher=self._fetcher,
                repository=self.repository,
                max_concurrent_fetches=workers,
                confirm_retry=retry,
            )

    def run(self, batch: Sequence[GivenRequest], *, workers: int = 50, alone: bool = False) -> BatchResult:
        """Run a batch through the proxy."""
        with self.downloader(workers=workers, alone=alone) as downloader:
            return downloader.run(batch)

    def recover(self) -> BatchResult:
        """Take the faults away and recover."""
        self.proxy.heal()
        with self.downloader(retry=PATIENT, timeout=10) as downloader:
            return downloader.recover()

    def put(self, name: str, kind: Kind = "v1") -> None:
        """Add a book behind the library's back, and wait until it is listed."""
        self.daemon.session.post("torrents/add", files={"t": (f"{name}.torrent", book(name, kind=kind))})
        wait_until(lambda: name in {row["name"] for row in self.daemon.torrents()}, f"{name} is listed")

    def listed(self) -> set[str]:
        """Return all ids in the daemon, as soon as everything that was handed over before has landed."""
        self.put(next(self._markers))  # adds land in order
        return {
            str(row[key])
            for row in self.daemon.torrents()
            if not str(row["name"]).startswith("marker-")
            for key in ("hash", "infohash_v1")
            if row[key]
        }

    def url_of(self, outcome: Outcome) -> str:
        """Return the URL that an item asks for, without the tracker's address; empty if it is not valid."""
        request = outcome.request
        return request.torrent_url.removeprefix(self.tracker.url) if isinstance(request, DownloadRequest) else ""

    def ids_of(self, outcome: Outcome) -> frozenset[str]:
        """Return the ids of the torrent that an item asks for; none if there is no torrent."""
        return self.ids.get(self.url_of(outcome), frozenset())

    def reserved(self) -> list[Download]:
        """Return the records that are still open."""
        records = self.repository.unsettled(client=f"qbittorrent@{self.proxy.url}")
        return [record for record in records if record.status is DownloadStatus.RESERVED]

    def absent(self, outcomes: Iterable[Outcome]) -> list[Outcome]:
        """Return those whose torrent is not in the daemon."""
        listed = self.listed()
        return [outcome for outcome in outcomes if not self.ids_of(outcome) & listed]

    def lies(self, result: BatchResult, before: AbstractSet[str] = frozenset()) -> list[Outcome]:
        """Return the outcomes that are not true, given what the daemon listed before the run.

        If the batch ended before an item was handed over, its torrent may still be there:
        from before, or because another URL of the batch led to the same one.
        """
        listed = self.listed()
        handed_over = {self.url_of(outcome): self.ids_of(outcome) for outcome in promised(result)}
        false: list[Outcome] = []
        for outcome in result.outcomes:
            ids = self.ids_of(outcome)
            if isinstance(outcome, Download):
                hashes = outcome.info_hashes
                reported = {hashes.v1, hashes.v2[:40] if hashes.v2 else None} - {None}
                true = reported == ids and bool(ids & listed)
            else:
                url = self.url_of(outcome)
                others = frozenset().union(*(ids for other, ids in handed_over.items() if other != url))
                unseen = outcome.code in ENDED and url not in handed_over and bool(ids & (before | others))
                true = outcome.code is FailureCode.UNCONFIRMED or not ids & listed or unseen
            if not true:
                false.append(outcome)
        return false


@pytest.fixture(scope="module")
def fetcher() -> Iterator[HttpFetcher]:
    """Give a fetcher that the tests share, for making one takes time."""
    with HttpFetcher(allowed_networks=LOOPBACK) as fetcher:
        yield fetcher


@pytest.fixture(scope="module")
def serving() -> Iterator[Tracker]:
    """Give a tracker that the tests share, for ending one takes half a second."""
    with Tracker() as tracker:
        yield tracker


@pytest.fixture
def tracker(serving: Tracker) -> Tracker:
    """Give the tracker as if it had not been asked yet."""
    serving.asked.clear()
    return serving


@pytest.fixture
def bench(daemon: Daemon, tracker: Tracker, fetcher: HttpFetcher, repository: SQLiteRepository) -> Iterator[Bench]:
    """Give a daemon behind a proxy that does nothing yet."""
    with FaultProxy(daemon.url) as proxy:
        yield Bench(daemon, proxy, tracker, fetcher, repository)


@pytest.fixture(scope="session")
def table() -> FaultTable:
    """Collect the counts of the whole run."""
    return FaultTable()


@pytest.mark.parametrize(
    ("hits", "alone"),
    [
        pytest.param(hits, alone, id=f"{name_of(hits)}{' alone' * alone}")
        for hits in HITS
        for alone in ((False, True) if hits_one_alone(hits) else (False,))
    ],
)
def test_the_report_is_true_and_recovery_mends_the_rest(
    bench: Bench,
    generation: Generation,
    table: FaultTable,
    hits: Sequence[Hit],
    alone: bool,  # noqa: FBT001
) -> None:
    """Each item is where its report says, and recovery brings in what was open, without a fetch."""
    bench.put("old", "hybrid")
    lies: list[Outcome] = []
    results: list[BatchResult] = []
    with bench.downloader(alone=alone) as downloader:
        # Where the first run leaves records behind, a second one has to cope with them.
        for _ in range(2 if any(hit.leaves_records for hit in hits) else 1):
            before = bench.listed()
            bench.proxy.heal()
            for hit in hits:
                bench.proxy.plan(path=hit.path, fault=hit.fault, first=hit.first, since=hit.since)
            results.append(downloader.run(bench.batch))
            false = bench.lies(results[-1], before)
            table.add(row_of(hits), generation.name, Count(len(bench.batch), len(bench.batch) - len(false)))
            lies.extend(false)
    asked = list(bench.tracker.asked)

    recovered = bench.recover()

    assert lies == []
    assert [len(result.outcomes) for result in results] == [len(bench.batch)] * len(results)
    assert bench.listed() <= frozenset().union(*bench.ids.values())
    assert bench.tracker.asked == asked
    assert recovered.failed == ()
    assert bench.reserved() == []
    # What the first run could not confirm, and the second was refused, nobody expects any more.
    refused = {bench.url_of(failure) for failure in results[-1].failed if failure.code is FailureCode.TORRENT_REJECTED}
    expected = [outcome for result in results for outcome in promised(result) if bench.url_of(outcome) not in refused]
    assert bench.absent(expected) == []
    assert bench.proxy.largest_in_flight == 1


def test_a_success_that_never_shows_is_unconfirmed(bench: Bench) -> None:
    """The daemon says that it took it, and does not have it."""
    bench.proxy.plan(path=ADD, fault=Fault.FALSE_SUCCESS)

    (failure,) = bench.run(bench.requests(["/v1/v1-book"])).failed

    assert failure.code is FailureCode.UNCONFIRMED
    assert bench.proxy.requests.count(ADD) == 1
    assert bench.listed() == set()


@pytest.mark.parametrize(
    "fault", [Fault.CONFLICT_AFTER, Fault.FAILS_AFTER, Fault.HANG, Fault.BAD_GATEWAY], ids=lambda fault: fault.name
)
def test_a_bad_answer_for_a_torrent_that_is_there_is_a_success(bench: Bench, fault: Fault) -> None:
    """What the daemon shows afterwards counts, and not what was answered."""
    bench.proxy.plan(path=ADD, fault=fault, first=1)

    result = bench.run(bench.requests(["/v1/v1-book"]))

    assert (len(result.successful), bench.lies(result)) == (1, [])


@pytest.mark.parametrize("answer", [Fault.CONFLICT, Fault.FORBIDDEN], ids=lambda fault: fault.name)
def test_a_refused_repeat_of_an_add_without_an_answer_is_unconfirmed(bench: Bench, answer: Fault) -> None:
    """A daemon that is slow to show the first one refuses the second one: that is no proof of absence."""
    bench.proxy.plan(path=ADD, fault=Fault.DROP_ANSWER, first=1)
    bench.proxy.plan(path=ADD, fault=answer)
    bench.proxy.plan(path=LOOKUP, fault=Fault.EMPTY_LOOKUP)

    (failure,) = bench.run(bench.requests(["/v1/v1-book"])).failed

    assert bench.listed() == bench.ids_of(failure)
    assert failure.code is FailureCode.UNCONFIRMED


def test_a_second_run_while_the_first_add_does_not_show_yet_stays_unconfirmed(bench: Bench) -> None:
    """The refusal of the second add does not close the record: recovery has to find it open."""
    bench.proxy.plan(path=LOOKUP, fault=Fault.EMPTY_LOOKUP)
    batch = bench.requests(["/v1/v1-book"])

    codes = [failure.code for _ in range(2) for failure in bench.run(batch).failed]

    assert codes == [FailureCode.UNCONFIRMED] * 2
    assert [done.info_hash for done in bench.recover().successful] == list(bench.ids["/v1/v1-book"])


def test_two_urls_of_one_torrent_never_contradict_each_other(bench: Bench) -> None:
    """Fetched one after the other, the first is refused: then the second is no success behind its back."""
    bench.proxy.plan(path=ADD, fault=Fault.CONFLICT, first=1)

    result = bench.run(bench.requests(["/v1/v1-book", "/v1/v1-book/"]), alone=True)

    assert bench.lies(result) == []


@pytest.mark.parametrize(
    ("path", "fault", "skip"),
    [
        *((ADD, Fault.DROP_REQUEST, skip) for skip in (0, 2)),
        *((ADD, Fault.CUT_REQUEST, skip) for skip in (1, 2)),
        *((ADD, Fault.DROP_ANSWER, skip) for skip in (0, 2)),
        (ADD, Fault.SOME_FILES_LOST, 2),
        *((LOOKUP, Fault.DROP_REQUEST, skip) for skip in (0, 1, 3)),
    ],
)
def test_a_daemon_killed_in_the_middle_leaves_a_true_report(
    generation: Generation,
    tracker: Tracker,
    fetcher: HttpFetcher,
    repository: SQLiteRepository,
    path: str,
    fault: Fault,
    skip: int,
) -> None:
    """Nothing more is fetched than what was begun, and after restart and recovery all that was promised is there."""
    fetched: list[int] = []

    def kill() -> None:
        fetched.append(len(tracker.asked))
        daemon.kill()

    with Daemon(generation) as daemon, FaultProxy(daemon.url) as proxy:
        bench = Bench(daemon, proxy, tracker, fetcher, repository)
        proxy.plan(path=path, fault=fault, first=1, skip=skip, action=kill)

        result = bench.run(bench.requests(MANY), workers=2)  # goes in groups of 2, 2, and then more

        assert fetched == [len(tracker.asked)]
        assert path == LOOKUP or proxy.requests.count(ADD) == skip + 1
        assert len(result.outcomes) == len(MANY)
        assert result.failed
        asked = list(tracker.asked)
        daemon.start()
        assert [lie for lie in bench.lies(result) if isinstance(lie, DownloadFailure)] == []
        assert bench.recover().failed == ()
        assert bench.absent(promised(result)) == []
        assert bench.reserved() == []
        assert tracker.asked == asked
        assert proxy.largest_in_flight == 1


def test_the_published_table_is_the_one_of_this_run(table: FaultTable) -> None:
    """The document holds what was just counted, or is written anew if that is wanted."""
    rows, generations = [row_of(hits) for hits in HITS], [generation.name for generation in GENERATIONS]
    if missing := table.missing(rows, generations):
        pytest.skip(f"{len(missing)} of {len(rows) * len(generations)} cells of the table were not part of this run")
    written = table.render(rows, generations)
    if os.environ.get("AUDIOBATCH_WRITE_DOCS") == "1":
        DOCUMENT.write_text(written, encoding="utf-8")
    published = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.exists() else ""
    assert published == written, (
        "docs/faults.md is not what this run counted: run the tests again with AUDIOBATCH_WRITE_DOCS=1"
    )
