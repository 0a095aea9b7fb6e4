"""What is reported when client, storage or batch do not do as they should."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from audiobatch import (
    BatchDownloader,
    BatchResult,
    Download,
    DownloadRequest,
    DownloadStatus,
    FailureCode,
    RetryPolicy,
    Stage,
    stop_on_interrupt,
)
from audiobatch.errors import (
    ClientAuthError,
    ClientError,
    ClientUnavailable,
    NotAdded,
    RepositoryUnavailable,
    TorrentRejected,
    Unsupported,
)
from audiobatch.metainfo import Torrent
from audiobatch.repositories.memory import MemoryRepository
from support.fakes import AT_ONCE, FakeClient, FakeFetcher, codes, request, torrent


class TestTheTruth:
    """The lookup decides, never the answer to the add."""

    def test_the_record_is_there_before_the_client_gets_anything(
        self, downloader: BatchDownloader, client: FakeClient, repository: MemoryRepository
    ) -> None:
        """At the moment of the add the record holds everything to settle it later."""
        seen: list[Download] = []

        def look(_: str) -> None:
            seen.extend(repository.unsettled(client="fake"))

        client.on_add = look
        downloader.run([request("one")])

        (record,) = seen
        assert (record.status, record.torrent, record.request) == (
            DownloadStatus.RESERVED,
            torrent("one"),
            request("one"),
        )

    def test_a_lost_answer_is_no_failure(self, downloader: BatchDownloader, client: FakeClient) -> None:
        """The client has it: that is a success, whatever was heard of the add."""
        client.on_add = lambda _: ClientUnavailable("the answer is lost")
        client.applied_anyway = {"one"}

        (done,) = downloader.run([request("one")]).successful

        assert not done.already_present
        assert client.calls.count("add one") == 1

    def test_a_lost_request_is_sent_once_more(self, downloader: BatchDownloader, client: FakeClient) -> None:
        """Only after a lookup has shown that nothing arrived."""
        answers = iter([ClientUnavailable("lost"), None])
        client.on_add = lambda _: next(answers)

        assert codes(downloader.run([request("one")])) == ["ok"]
        assert client.calls == ["check", "status", "add one", "status", "status", "status", "add one", "status"]

    def test_it_is_not_sent_a_third_time(self, downloader: BatchDownloader, client: FakeClient) -> None:
        """Two lost requests are enough: what is not there then is unconfirmed."""
        client.on_add = lambda _: ClientUnavailable("lost")

        assert codes(downloader.run([request("one")])) == ["unconfirmed"]
        assert client.calls.count("add one") == 2

    def test_a_refusal_for_what_is_there_is_a_success(self, downloader: BatchDownloader, client: FakeClient) -> None:
        """Somebody else brought it there in the same moment."""
        client.on_add = lambda _: TorrentRejected("not again")
        client.applied_anyway = {"one"}

        (done,) = downloader.run([request("one")]).successful

        assert done.already_present

    def test_a_refusal_of_the_second_try_is_our_own_doing(
        self, downloader: BatchDownloader, client: FakeClient
    ) -> None:
        """The first try had arrived after all: it was not there before us."""
        answers = iter([ClientUnavailable("lost"), TorrentRejected("a duplicate")])

        def add(_: str) -> ClientError:
            answer = next(answers)
            client.applied_anyway = {"one"} if isinstance(answer, TorrentRejected) else set()
            return answer

        client.on_add = add

        (done,) = downloader.run([request("one")]).successful

        assert not done.already_present

    @pytest.mark.parametrize("error", [TorrentRejected("no"), Unsupported("cannot")])
    def test_a_refusal_for_what_is_not_there_is_a_failure(
        self,
        downloader: BatchDownloader,
        client: FakeClient,
        repository: MemoryRepository,
        error: TorrentRejected | Unsupported,
    ) -> None:
        """It is told as it is, and recovery does not try it again."""
        client.on_add = lambda name: error if name == "bad" else None

        result = downloader.run([request("bad"), request("good")])

        assert codes(result) == [error.code, "ok"]
        assert result.failed[0].error == f"Failed to create download: {error}"
        assert [record.request.title for record in repository.unsettled(client="fake")] == ["good"]

    def test_a_refusal_without_a_reason_says_nothing_about_what_is_there(
        self, downloader: BatchDownloader, client: FakeClient, repository: MemoryRepository
    ) -> None:
        """An add of somebody else may still be on its way: it is unconfirmed, and stays open."""
        client.on_add = lambda _: NotAdded("perhaps a duplicate")

        assert codes(downloader.run([request("one")])) == ["unconfirmed"]
        assert client.calls.count("add one") == 1
        assert [record.status for record in repository.unsettled(client="fake")] == [DownloadStatus.RESERVED]

    @pytest.mark.parametrize("second", [NotAdded("a duplicate"), ClientAuthError("who are you?"), Unsupported("no")])
    def test_a_first_add_that_may_still_arrive_is_not_forgotten(
        self, downloader: BatchDownloader, client: FakeClient, repository: MemoryRepository, second: ClientError
    ) -> None:
        """Whatever the second one is answered: the item stays unconfirmed, and recovery finds it."""
        answers = iter([ClientUnavailable("lost"), second])
        client.on_add = lambda _: next(answers)

        assert codes(downloader.run([request("one")])) == ["unconfirmed"]
        client.torrents[torrent("one").info_hashes] = request("one").options

        assert codes(downloader.recover()) == ["ok"]
        assert [record.status for record in repository.unsettled(client="fake")] == [DownloadStatus.QUEUED]

    def test_a_later_batch_does_not_close_what_is_unconfirmed(
        self, downloader: BatchDownloader, client: FakeClient, repository: MemoryRepository
    ) -> None:
        """The torrent of an earlier batch may still arrive, when the login is refused in a later one."""
        client.hidden = {torrent("one").info_hashes}
        assert codes(downloader.run([request("one")])) == ["unconfirmed"]
        client.on_add = lambda _: ClientAuthError("who are you?")

        assert codes(downloader.run([request("one")])) == ["unconfirmed"]
        (record,) = repository.unsettled(client="fake")
        assert record.torrent == torrent("one")

    def test_a_torrent_that_was_refused_is_not_tried_under_another_url(
        self, client: FakeClient, fetcher: FakeFetcher, repository: MemoryRepository
    ) -> None:
        """Both items get the same answer, also when the second one is fetched much later."""
        fetcher.served["other"] = "one"
        answers = iter([TorrentRejected("no")])
        client.on_add = lambda name: next(answers, None) if name == "one" else None
        downloader = BatchDownloader(
            client=client, fetcher=fetcher, repository=repository, max_concurrent_fetches=1, confirm_retry=AT_ONCE
        )

        result = downloader.run([request("one"), request("two"), request("three"), request("other")])

        assert codes(result) == ["torrent_rejected", "ok", "ok", "torrent_rejected"]
        assert client.names("one", "two", "three") == ["two", "three"]

    def test_accepted_but_never_seen_is_unconfirmed(
        self, downloader: BatchDownloader, client: FakeClient, repository: MemoryRepository
    ) -> None:
        """An answer is not enough; after three lookups the record stays open."""
        client.hidden = {torrent("one").info_hashes}

        (failure,) = downloader.run([request("one")]).failed

        assert (failure.code, failure.stage, failure.retryable) == (FailureCode.UNCONFIRMED, Stage.CONFIRM, True)
        assert client.calls == ["check", "status", "add one", "status", "status", "status"]
        assert [record.status for record in repository.unsettled(client="fake")] == [DownloadStatus.RESERVED]

    def test_a_torrent_may_take_its_time_to_show(self, downloader: BatchDownloader, client: FakeClient) -> None:
        """A lookup that fails for the moment is made again."""
        client.lookups = [None, ClientUnavailable("busy"), ClientUnavailable("busy")]

        assert codes(downloader.run([request("one")])) == ["ok"]


class TestStoppingWisely:
    """A batch that cannot go on says so, and does no harm."""

    def test_a_refused_login_ends_the_batch_before_anything_is_fetched(
        self, downloader: BatchDownloader, client: FakeClient, fetcher: FakeFetcher
    ) -> None:
        """One item carries the cause, the rest was not attempted, and the reason is told."""
        client.check_error = ClientAuthError("wrong password")

        result = downloader.run([request(f"book {number}") for number in range(50)])

        assert codes(result) == ["client_auth"] + ["not_attempted"] * 49
        assert result.failed[-1].error == "Failed to create download: not attempted, because wrong password"
        assert client.calls == ["check"]
        assert fetcher.fetched == []

    def test_a_client_that_is_down_costs_no_tracker_anything(
        self, downloader: BatchDownloader, client: FakeClient, fetcher: FakeFetcher
    ) -> None:
        """All of it may be run again later."""
        client.check_error = ClientUnavailable("down")

        result = downloader.run([request("one"), request("two")])

        assert codes(result) == ["client_unavailable", "not_attempted"]
        assert result.retryable == (request("one"), request("two"))
        assert fetcher.fetched == []

    def test_a_client_that_dies_leaves_the_rest_alone(
        self, downloader: BatchDownloader, client: FakeClient, fetcher: FakeFetcher
    ) -> None:
        """What was sent is unconfirmed, what was not is not attempted, and the look-ahead is all it costs."""
        client.on_add = lambda _: client.lookups.extend([ClientUnavailable("gone")] * 100)

        result = downloader.run([request(f"book {number}") for number in range(20)])

        assert set(codes(result)) == {"unconfirmed", "not_attempted"}
        assert len(fetcher.fetched) <= 2 * 4
        sent = sum(call.startswith("add") for call in client.calls)
        assert codes(result).count("unconfirmed") == sent

    @pytest.mark.parametrize("how", ["the client dies", "it is stopped", "nobody listens any more"])
    def test_what_was_fetched_for_nothing_is_kept(
        self, downloader: BatchDownloader, client: FakeClient, fetcher: FakeFetcher, how: str
    ) -> None:
        """A batch that ends early has run ahead: the next one does not ask a tracker for the same again."""
        stop = threading.Event()
        requests = [request(f"book {number}") for number in range(20)]
        if how == "the client dies":
            client.on_add = lambda _: client.lookups.extend([ClientUnavailable("gone")] * 100)
        elif how == "it is stopped":
            client.on_add = lambda _: stop.set()
        outcomes = downloader.stream(requests, stop=stop)
        next(outcomes)
        if how == "nobody listens any more":
            outcomes.close()
        else:
            list(outcomes)
        client.on_add = lambda _: None
        client.lookups.clear()

        result = downloader.run(requests)

        assert codes(result) == ["ok"] * 20
        assert len(fetcher.fetched) == len(set(fetcher.fetched)) == 20

    def test_a_login_that_is_refused_in_the_middle_ends_the_batch(
        self, client: FakeClient, fetcher: FakeFetcher, repository: MemoryRepository
    ) -> None:
        """What was queued before stays a success."""
        client.on_add = lambda name: ClientAuthError("expired") if name == "b" else None
        downloader = BatchDownloader(
            client=client, fetcher=fetcher, repository=repository, max_concurrent_fetches=1, confirm_retry=AT_ONCE
        )

        result = downloader.run([request("a"), request("b"), request("c"), request("d")])

        assert codes(result) == ["ok", "client_auth", "not_attempted", "not_attempted"]

    def test_a_batch_that_is_stopped_before_it_begins_does_nothing(
        self, downloader: BatchDownloader, client: FakeClient
    ) -> None:
        """Every item is told not to have been attempted."""
        stop = threading.Event()
        stop.set()

        assert codes(downloader.run([request("one"), request("two")], stop=stop)) == ["not_attempted"] * 2
        assert client.calls == []

    def test_a_batch_that_is_stopped_settles_what_it_has_handed_over(
        self, downloader: BatchDownloader, client: FakeClient
    ) -> None:
        """The item in flight has a true outcome, and those behind it were not attempted."""
        stop = threading.Event()
        client.on_add = lambda name: stop.set() if name == "a" else None

        result = downloader.run([request(name) for name in "abcdefgh"], stop=stop)

        assert codes(result) == ["ok"] + ["not_attempted"] * 7
        assert client.names(*"abcdefgh") == ["a"]

    def test_a_batch_that_is_stopped_while_it_fetches_adds_nothing(
        self, downloader: BatchDownloader, client: FakeClient, fetcher: FakeFetcher
    ) -> None:
        """What comes of a fetch after that is not handed over any more."""
        stop = threading.Event()
        serve = fetcher.fetch

        def stop_and_serve(request: DownloadRequest, /) -> Torrent:
            stop.set()
            return serve(request)

        fetcher.fetch = stop_and_serve  # type: ignore[method-assign]

        assert codes(downloader.run([request(name) for name in "abcdefgh"], stop=stop)) == ["not_attempted"] * 8
        assert client.torrents == {}
        assert len(fetcher.fetched) <= 4

    def test_a_client_that_cannot_be_asked_gets_nothing(
        self, downloader: BatchDownloader, client: FakeClient, repository: MemoryRepository
    ) -> None:
        """It died between the first look and the first add: nothing is added or written down."""
        client.lookups = [ClientUnavailable("gone")] * 100

        result = downloader.run([request("one"), request("two")])

        assert codes(result) == ["client_unavailable", "not_attempted"]
        assert list(repository.unsettled(client="fake")) == []

    def test_ctrl_c_stops_a_batch_between_two_steps(self, downloader: BatchDownloader, client: FakeClient) -> None:
        """The report comes back, and the signal's handler is as it was before."""
        before = signal.getsignal(signal.SIGINT)
        client.on_add = lambda _: os.kill(os.getpid(), signal.SIGINT)

        with stop_on_interrupt() as stop:
            result = downloader.run([request(name) for name in "abcd"], stop=stop)

        assert codes(result) == ["ok"] + ["not_attempted"] * 3
        assert signal.getsignal(signal.SIGINT) is before

    def test_waiting_ends_when_the_batch_is_stopped(self, client: FakeClient, fetcher: FakeFetcher) -> None:
        """A long back-off does not keep anybody waiting."""
        stop = threading.Event()
        client.on_add = lambda _: stop.set()
        client.hidden = {torrent("one").info_hashes}
        slow = BatchDownloader(
            client=client,
            fetcher=fetcher,
            repository=MemoryRepository(),
            confirm_retry=RetryPolicy(attempts=3, wait=3600, max_wait=3600),
        )

        assert codes(slow.run([request("one")], stop=stop)) == ["unconfirmed"]


class FailingRepository(MemoryRepository):
    """Has a full disk in one of its methods, when it is told to."""

    broken = ""

    def _fail_in(self, method: str) -> None:
        if self.broken == method:
            raise RepositoryUnavailable("the disk is full")

    def find(self, keys: Collection[str], /, *, client: str) -> Mapping[str, Download]:
        """Find, or fail."""
        self._fail_in("find")
        return super().find(keys, client=client)

    def reserve(self, downloads: Sequence[Download], /) -> Sequence[Download]:
        """Reserve, or fail."""
        self._fail_in("reserve")
        return super().reserve(downloads)

    def save(self, downloads: Sequence[Download], /) -> None:
        """Save, or fail."""
        self._fail_in("save")
        super().save(downloads)


class TestStorageTrouble:
    """Nothing is added that could not be written down; nothing that was added is denied."""

    @pytest.fixture
    def repository(self) -> FailingRepository:
        """Give one that can fail."""
        return FailingRepository()

    def test_records_that_cannot_be_read_end_the_batch(
        self, downloader: BatchDownloader, repository: FailingRepository, fetcher: FakeFetcher
    ) -> None:
        """No tracker is asked for anything."""
        repository.broken = "find"

        result = downloader.run([request("one"), request("two")])

        assert codes(result) == ["repository_unavailable", "not_attempted"]
        assert fetcher.fetched == []

    def test_what_cannot_be_reserved_is_not_added(
        self, downloader: BatchDownloader, repository: FailingRepository, client: FakeClient
    ) -> None:
        """Without a record there is no add."""
        repository.broken = "reserve"

        result = downloader.run([request("one"), request("two")])

        assert codes(result) == ["repository_unavailable", "not_attempted"]
        assert result.failed[0].stage is Stage.RESERVE
        assert not client.torrents

    def test_what_was_added_is_reported_although_its_record_stays_open(
        self, downloader: BatchDownloader, repository: FailingRepository, client: FakeClient
    ) -> None:
        """The report tells what is in the client; recovery closes the record later."""
        repository.broken = "save"

        result = downloader.run([request("one")])

        assert codes(result) == ["ok"]
        assert client.names("one") == ["one"]
        assert result.successful[0].status is DownloadStatus.RESERVED
        repository.broken = ""
        assert codes(downloader.recover()) == ["ok"]
        assert [record.status for record in repository.unsettled(client="fake")] == [DownloadStatus.QUEUED]


class TestThreads:
    """Many batches at once, one request at a time."""

    def test_threads_share_a_downloader(self, downloader: BatchDownloader, client: FakeClient) -> None:
        """Overlapping batches in several threads: each torrent is added once, each report is true."""
        barrier = threading.Barrier(4)

        def run(first: int) -> BatchResult:
            barrier.wait()
            return downloader.run([request(f"book {number}") for number in range(first, first + 20)])

        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(run, (0, 5, 10, 15)))

        assert all(codes(result) == ["ok"] * 20 for result in results)
        assert len(client.torrents) == 35
        ids = {done.info_hash: done.id for result in results for done in result.successful}
        assert all(ids[done.info_hash] == done.id for result in results for done in result.successful)
