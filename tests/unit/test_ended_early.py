"""A batch that ended early: nothing of it is lost to the next run, and the result says what ended it."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Sequence

import pytest

from audiobatch import BatchDownloader, BatchResult, Download, DownloadFailure, FailureCode, Stage
from audiobatch.errors import (
    AudiobatchError,
    ClientAuthError,
    ClientError,
    ClientUnavailable,
    RateLimited,
    RepositoryError,
    RepositoryUnavailable,
    SchemaMismatch,
)
from audiobatch.models import GivenRequest
from audiobatch.repositories.memory import MemoryRepository
from audiobatch.wire import dump_result
from support.fakes import AT_ONCE, FakeBulkClient, FakeClient, FakeFetcher, codes, request

BOOKS = [request(f"book {number}") for number in range(12)]
ENDS = (
    ClientAuthError("wrong password"),
    ClientUnavailable("down"),
    ClientError("odd"),
    RepositoryError("damaged"),
    SchemaMismatch("another program's"),
    RepositoryUnavailable("full"),
)


class FailingRepository(MemoryRepository):
    """Raises what it is told to, in the method that it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: dict[str, AudiobatchError] = {}

    def _raise(self, name: str) -> None:
        if name in self.errors:
            raise self.errors[name]

    def find(self, keys: object, /, *, client: str) -> dict[str, Download]:
        """Look up, or fail."""
        self._raise("find")
        return dict(super().find(keys, client=client))  # type: ignore[arg-type]

    def reserve(self, downloads: Sequence[Download], /) -> Sequence[Download]:
        """Reserve, or fail."""
        self._raise("reserve")
        return super().reserve(downloads)

    def save(self, downloads: Sequence[Download], /) -> None:
        """Save, or fail."""
        self._raise("save")
        super().save(downloads)


class World:
    """A downloader, and what it works with."""

    def __init__(self, client: FakeClient) -> None:
        self.client = client
        self.fetcher = FakeFetcher()
        self.repository = FailingRepository()
        self.stop = threading.Event()
        self.downloader = BatchDownloader(
            client=client,
            fetcher=self.fetcher,
            repository=self.repository,
            fetch_retry=AT_ONCE,
            confirm_retry=AT_ONCE,
            max_concurrent_fetches=1,
        )

    def mend(self) -> None:
        """Let everything go well from now on."""
        self.client.check_error = None
        self.client.on_add = lambda _: None
        if isinstance(self.client, FakeBulkClient):
            self.client.on_add_all = lambda _: None
        self.client.lookups.clear()
        self.repository.errors.clear()
        self.stop.clear()


def at_the_check(world: World) -> None:
    """The login is refused before anything is fetched."""
    world.client.check_error = ClientAuthError("wrong password")


def at_the_first_lookup(world: World) -> None:
    """The client dies between the check and the first group."""
    world.client.lookups = [ClientUnavailable("gone")] * 99


def when_records_are_read(world: World) -> None:
    """The database is damaged."""
    world.repository.errors["find"] = RepositoryError("damaged")


def when_it_is_written_down(world: World) -> None:
    """The disk is full."""
    world.repository.errors["reserve"] = RepositoryUnavailable("full")


def when_it_is_settled(world: World) -> None:
    """The disk fills up after the first add."""
    world.repository.errors["save"] = RepositoryUnavailable("full")


def at_an_add(world: World) -> None:
    """The session has expired, and a new login is refused."""
    world.client.on_add = lambda _: ClientAuthError("expired")
    if isinstance(world.client, FakeBulkClient):
        world.client.on_add_all = lambda _: ClientAuthError("expired")


def while_it_is_confirmed(world: World) -> None:
    """The client dies after the first add."""
    world.client.on_add = lambda _: world.client.lookups.extend([ClientUnavailable("gone")] * 99)
    if isinstance(world.client, FakeBulkClient):
        world.client.on_add_all = world.client.on_add  # type: ignore[assignment]


def by_whoever_runs_it(world: World) -> None:
    """It is stopped before it begins."""
    world.stop.set()


def by_whoever_runs_it_later(world: World) -> None:
    """It is stopped after the first add."""
    world.client.on_add = lambda _: world.stop.set()
    if isinstance(world.client, FakeBulkClient):
        world.client.on_add_all = world.client.on_add  # type: ignore[assignment]


CAUSES: list[tuple[Callable[[World], None], FailureCode]] = [
    (at_the_check, FailureCode.CLIENT_AUTH),
    (at_the_first_lookup, FailureCode.CLIENT_UNAVAILABLE),
    (when_records_are_read, FailureCode.REPOSITORY_ERROR),
    (when_it_is_written_down, FailureCode.REPOSITORY_UNAVAILABLE),
    (when_it_is_settled, FailureCode.REPOSITORY_UNAVAILABLE),
    (at_an_add, FailureCode.CLIENT_AUTH),
    (while_it_is_confirmed, FailureCode.CLIENT_UNAVAILABLE),
    (by_whoever_runs_it, FailureCode.NOT_ATTEMPTED),
    (by_whoever_runs_it_later, FailureCode.NOT_ATTEMPTED),
]


@pytest.mark.parametrize("kind", [FakeClient, FakeBulkClient])
@pytest.mark.parametrize(("end", "cause"), CAUSES, ids=[end.__name__ for end, _ in CAUSES])
def test_no_book_is_lost(kind: type[FakeClient], end: Callable[[World], None], cause: FailureCode) -> None:
    """What is in the client and what is worth another run is all of it, and the other run brings it in."""
    world = World(kind())
    end(world)

    result = world.downloader.run(BOOKS, stop=world.stop)

    queued = [download.request for download in result.successful]
    assert sorted([*queued, *result.retryable], key=BOOKS.index) == BOOKS
    if kind is FakeClient or len(result.successful) < len(BOOKS):
        assert result.ended_by is not None or all(failure.code == "unconfirmed" for failure in result.failed)
    if result.ended_by is not None:
        assert result.ended_by.cause is cause

    world.mend()
    if result.failed:
        again = world.downloader.run(result.retryable)
        assert (again.failed, again.ended_by) == ((), None)


@pytest.mark.parametrize("error", ENDS, ids=lambda error: error.code)
@pytest.mark.parametrize("size", [1, 50])
def test_whatever_ends_it_is_told_and_keeps_nothing_from_another_run(error: AudiobatchError, size: int) -> None:
    """Also what is not transient: it says nothing of the request."""
    world = World(FakeClient())
    if isinstance(error, ClientError):
        world.client.check_error = error
    else:
        world.repository.errors["find"] = error
    books = [request(f"book {number}") for number in range(size)]

    result = world.downloader.run(books)

    assert result.retryable == tuple(books)
    assert all(failure.retryable for failure in result.failed)
    end = result.ended_by
    assert end is result.failed[0]
    assert (end.code, end.cause, end.stage) == (error.code, error.code, Stage.LOOK_UP)
    assert end.error == f"Failed to create download: {error}"


def test_the_item_that_was_refused_with_the_login_is_preferred_as_the_cause() -> None:
    """It says more than the first one that was not attempted."""
    world = World(FakeClient())
    world.client.on_add = lambda name: ClientAuthError("expired") if name == "book 1" else None

    result = world.downloader.run(BOOKS[:4])

    assert codes(result) == ["ok", "client_auth", "not_attempted", "not_attempted"]
    assert result.ended_by is result.failed[0]
    assert result.retryable == tuple(BOOKS[1:4])


def test_what_is_wrong_with_a_request_is_no_cause() -> None:
    """A batch that came to its end was ended by nothing, and what failed for good is not run again."""
    world = World(FakeClient())
    world.fetcher.errors["slow"] = [RateLimited("slower")] * 9
    books: list[GivenRequest] = [request("missing"), request("slow"), request("slow too"), {"title": "T"}]

    result = world.downloader.run(books)

    assert codes(result) == ["torrent_not_found", "rate_limited", "not_attempted", "invalid_request"]
    assert result.ended_by is None
    assert result.retryable == (books[1], books[2])


def test_an_invalid_request_stays_out_of_a_batch_that_ended_early() -> None:
    """It would be refused again, whatever is mended."""
    world = World(FakeClient())
    at_the_check(world)

    result = world.downloader.run([{"title": "T"}, *BOOKS[:2]])

    assert result.retryable == tuple(BOOKS[:2])
    assert result.ended_by is result.failed[1]


def test_the_same_book_twice_is_there_twice() -> None:
    """Each item has its own outcome."""
    world = World(FakeClient())
    at_the_check(world)

    assert world.downloader.run([BOOKS[0], BOOKS[0]]).retryable == (BOOKS[0], BOOKS[0])


def test_a_recovery_that_ends_early_loses_nothing_either() -> None:
    """What was open stays open, and is told with the cause."""
    world = World(FakeClient())
    while_it_is_confirmed(world)
    world.downloader.run(BOOKS[:3])
    world.mend()
    open_before = [record.request for record in world.repository.unsettled(client="fake")]
    world.client.torrents.clear()
    world.client.on_add = lambda _: ClientAuthError("expired")

    result = world.downloader.recover()

    assert open_before
    assert result.retryable == tuple(open_before)
    world.mend()
    assert world.downloader.recover().failed == ()


def test_the_table_says_what_ended_it() -> None:
    """Above it, and at the item."""
    world = World(FakeClient())
    at_the_check(world)

    caption, first, second = str(world.downloader.run(BOOKS[:2])).splitlines()

    assert caption == "0 of 2 downloads are in the torrent client; the batch ended early (client_auth)"
    assert first.endswith("wrong password (worth another try once that is mended)")
    assert second.endswith("because wrong password (worth another try)")


def test_the_table_says_that_it_was_stopped() -> None:
    """That is nothing to be mended."""
    world = World(FakeClient())
    world.stop.set()

    caption, first = str(world.downloader.run(BOOKS[:1], stop=world.stop)).splitlines()

    assert caption.endswith("; the batch was stopped")
    assert first.endswith("(worth another try)")


def test_the_json_says_it_with_the_keys_that_it_has() -> None:
    """The item with the cause is worth another run, too."""
    world = World(FakeClient())
    at_the_check(world)

    failed = dump_result(world.downloader.run(BOOKS[:2]))["failed"]

    assert [(item["code"], item["retryable"]) for item in failed] == [("client_auth", True), ("not_attempted", True)]
    assert set(failed[0]) == {"index", "request", "error", "code", "stage", "retryable", "retry_after"}


def test_the_cause_survives_a_pickle() -> None:
    """A result may come from a process of a worker."""
    world = World(FakeClient())
    at_the_check(world)

    result: BatchResult = pickle.loads(pickle.dumps(world.downloader.run(BOOKS[:2])))

    assert isinstance(result.ended_by, DownloadFailure)
    assert result.ended_by.cause is FailureCode.CLIENT_AUTH
