"""Hybrid torrents that are known by one of their info-hashes, and magnet links that wait for their metadata."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from itertools import permutations
from typing import Final

import pytest

from audiobatch import BatchDownloader, Download, DownloadRequest, DownloadStatus, PlannedAction
from audiobatch._watch import watch
from audiobatch.errors import (
    ClientAuthError,
    ClientError,
    ClientUnavailable,
    FetchUnavailable,
    NotAdded,
    RepositoryUnavailable,
    TorrentRejected,
    Unsupported,
)
from audiobatch.metainfo import InfoHashes, MagnetLink, Torrent, TorrentFile, parse_magnet, parse_torrent
from audiobatch.models import AddOptions, TorrentStatus
from audiobatch.repositories.memory import MemoryRepository
from support.fakes import AT_ONCE, FakeFetcher, SwarmClient, codes, request, torrent
from support.inline import Inline
from support.torrents import book

FILE: Final = parse_torrent(book("dune", kind="hybrid"))
WHOLE: Final = FILE.info_hashes
BY_V1: Final = f"magnet:?xt=urn:btih:{WHOLE.v1}&dn=dune"
BY_V2: Final = f"magnet:?xt=urn:btmh:1220{WHOLE.v2}&dn=dune"
LINKS: Final = {"v1": BY_V1, "v2": BY_V2}


class Shelf(FakeFetcher):
    """Serves a hybrid torrent under one name, and v1 torrents under all others."""

    def fetch(self, request: DownloadRequest, /) -> Torrent:
        """Serve, or raise what was ordered."""
        served = super().fetch(request)
        return FILE if served.name == "dune" else served


@pytest.fixture
def client() -> SwarmClient:
    """Give a client that knows magnet links by what they name."""
    return SwarmClient()


@pytest.fixture
def fetcher() -> Shelf:
    """Give a fetcher that has a hybrid torrent."""
    return Shelf()


def by_link(which: str) -> DownloadRequest:
    """Ask for the hybrid torrent by a magnet link that names one of its info-hashes."""
    return request("dune", torrent_url=LINKS[which])


def adds(client: SwarmClient) -> int:
    """Count what was handed over."""
    return sum(call.startswith("add") for call in client.calls)


def records(repository: MemoryRepository) -> list[Download]:
    """Return all records, oldest first."""
    return list(repository._records.values())


class TestKnownByOneInfoHash:
    """A magnet link names one; the client knows both as soon as it has the metadata."""

    @pytest.mark.parametrize("which", LINKS)
    def test_the_other_one_is_learnt_and_kept(
        self, downloader: BatchDownloader, client: SwarmClient, repository: MemoryRepository, which: str
    ) -> None:
        """The next batch, a recovery and a plan find it, add nothing, and report both."""
        (first,) = downloader.run([by_link(which)]).successful
        assert first.info_hashes == parse_magnet(LINKS[which]).info_hashes
        client.arrives(WHOLE)

        (planned,) = downloader.plan([by_link(which)]).items
        (again,) = downloader.run([by_link(which)]).successful
        recovered = downloader.recover()

        assert (planned.action, planned.info_hash) == (PlannedAction.PRESENT, WHOLE.v1)
        assert again.info_hashes == WHOLE
        assert again.already_present
        assert recovered.failed == ()
        assert [record.info_hashes for record in records(repository)] == [WHOLE]
        assert list(repository.unsettled(client="fake")) == []
        assert adds(client) == 1

    @pytest.mark.parametrize("which", LINKS)
    def test_a_recovery_learns_it_too(
        self, downloader: BatchDownloader, client: SwarmClient, repository: MemoryRepository, which: str
    ) -> None:
        """Where the batch could not see it, and the metadata has arrived since."""
        client.hidden = {parse_magnet(LINKS[which]).info_hashes}
        assert codes(downloader.run([by_link(which)])) == ["unconfirmed"]
        client.hidden = set()
        client.arrives(WHOLE)

        (done,) = downloader.recover().successful

        assert done.info_hashes == WHOLE
        assert [record.info_hashes for record in records(repository)] == [WHOLE]
        assert adds(client) == 1

    @pytest.mark.parametrize("which", LINKS)
    def test_what_a_recovery_has_put_back_is_closed_by_the_next(
        self, downloader: BatchDownloader, client: SwarmClient, repository: MemoryRepository, which: str
    ) -> None:
        """Although the client names more for it than the record knows."""
        downloader.run([by_link(which)])
        client.torrents.clear()
        assert codes(downloader.recover()) == ["ok"]
        client.arrives(WHOLE)

        assert codes(downloader.recover()) == ["ok"]
        assert list(repository.unsettled(client="fake")) == []

    @pytest.mark.parametrize("which", LINKS)
    def test_a_file_teaches_it_as_well(
        self, downloader: BatchDownloader, repository: MemoryRepository, which: str
    ) -> None:
        """A client that tells nothing is not needed for that."""
        downloader.run([by_link(which)])

        (done,) = downloader.run([request("dune")]).successful

        assert done.info_hashes == WHOLE
        assert [record.info_hashes for record in records(repository)] == [WHOLE]

    def test_what_a_client_says_of_another_torrent_is_not_learnt(
        self, downloader: BatchDownloader, client: SwarmClient, repository: MemoryRepository
    ) -> None:
        """Nor is a second info-hash of a file that has only one."""
        hashes = torrent("plain").info_hashes
        client.torrents[InfoHashes(v1=hashes.v1, v2="f" * 64)] = AddOptions()

        (done,) = downloader.run([request("plain")]).successful

        assert done.info_hashes == hashes
        assert [record.info_hashes for record in records(repository)] == [hashes]

    def test_watching_goes_on_under_the_new_one(self, downloader: BatchDownloader, client: SwarmClient) -> None:
        """What was asked for by one is asked for by both, from the second look on."""
        done = downloader.run([by_link("v1")]).successful
        client.arrives(WHOLE)
        asked: list[InfoHashes] = []
        look = client.status

        def note_and_look(info_hashes: Collection[InfoHashes], /) -> Mapping[InfoHashes, TorrentStatus]:
            asked.extend(info_hashes)
            return look(info_hashes)

        client.status = note_and_look  # type: ignore[method-assign]
        looks = watch(client, done, stop=threading.Event(), every=0)

        moments = [next(looks), next(looks)]

        assert [moment.broken for moment in moments] == [[], []]
        assert asked == [InfoHashes(v1=WHOLE.v1), WHOLE]

    def test_what_cannot_be_written_down_is_told_all_the_same(
        self,
        downloader: BatchDownloader,
        client: SwarmClient,
        repository: MemoryRepository,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The report knows both, the record will learn it at the next look."""
        downloader.run([by_link("v1")])
        client.arrives(WHOLE)

        def fail(*_: object) -> None:
            raise RepositoryUnavailable("the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(repository, "save", fail)
            (done,) = downloader.run([by_link("v1")]).successful

        assert (done.info_hashes, done.status) == (WHOLE, DownloadStatus.QUEUED)
        assert [record.info_hashes for record in records(repository)] == [InfoHashes(v1=WHOLE.v1)]
        assert downloader.recover().failed == ()
        assert [record.info_hashes for record in records(repository)] == [WHOLE]


class TestWhatASearchCosts:
    """A client may have to look through its whole list for a torrent that may have another info-hash."""

    @pytest.fixture
    def searches(self, client: SwarmClient) -> list[int]:
        """Count, for each look, the info-hashes that the client has to search for."""
        searches: list[int] = []
        look = client.status

        def count_and_look(info_hashes: Collection[InfoHashes], /) -> Mapping[InfoHashes, TorrentStatus]:
            found = look(info_hashes)
            searches.append(sum(hashes.may_be_half and hashes not in found for hashes in info_hashes))
            return found

        client.status = count_and_look  # type: ignore[method-assign]
        return searches

    def test_files_are_never_searched_for(
        self, downloader: BatchDownloader, client: SwarmClient, searches: list[int]
    ) -> None:
        """Their info-hashes are certain: fifty new ones cost nothing but their look-ups, seen or not."""
        client.hidden = {torrent("book 1").info_hashes}

        assert "unconfirmed" in codes(downloader.run([request(f"book {number}") for number in range(50)]))
        downloader.recover()

        assert set(searches) == {0}

    def test_a_new_link_is_searched_for_once(
        self, downloader: BatchDownloader, client: SwarmClient, searches: list[int]
    ) -> None:
        """Before it is added; afterwards it shows under what it was added by."""
        assert codes(downloader.run([by_link("v1")])) == ["ok"]
        assert adds(client) == 1
        assert searches == [1, 0]

    def test_a_link_that_does_not_show_is_searched_for_once_more(
        self, downloader: BatchDownloader, client: SwarmClient, searches: list[int]
    ) -> None:
        """At the end of all the looks after the add, and not in each of them."""
        client.hidden = {InfoHashes(v1=WHOLE.v1)}

        assert codes(downloader.run([by_link("v1")])) == ["unconfirmed"]
        assert searches == [1, *[0] * AT_ONCE.attempts, 1]

    def test_what_is_renamed_at_once_is_found_by_that_search(
        self, downloader: BatchDownloader, client: SwarmClient
    ) -> None:
        """The metadata came before the first look."""
        look = client.status

        def rename_and_look(info_hashes: Collection[InfoHashes], /) -> Mapping[InfoHashes, TorrentStatus]:
            if client.torrents:
                client.arrives(WHOLE)
            # As qBittorrent does: what was told to be complete is not searched for.
            return {hashes: status for hashes, status in look(info_hashes).items() if hashes.may_be_half}

        client.status = rename_and_look  # type: ignore[method-assign]

        (done,) = downloader.run([by_link("v1")]).successful

        assert (done.info_hashes, adds(client)) == (WHOLE, 1)


class TestTwins:
    """The same hybrid by its file and by both kinds of link, in one batch."""

    @pytest.mark.parametrize("arrives", [False, True])
    @pytest.mark.parametrize("together", [False, True])
    @pytest.mark.parametrize("order", list(permutations(["v1", "v2", "file"])), ids=" ".join)
    def test_all_succeed_in_any_order(
        self,
        client: SwarmClient,
        fetcher: Shelf,
        repository: MemoryRepository,
        monkeypatch: pytest.MonkeyPatch,
        order: tuple[str, ...],
        together: bool,  # noqa: FBT001
        arrives: bool,  # noqa: FBT001
    ) -> None:
        """All are there under an info-hash of the book; a second batch and a recovery add nothing more."""
        monkeypatch.setattr("audiobatch._lookahead.ThreadPoolExecutor", lambda *_, **__: Inline(ahead=together))
        downloader = BatchDownloader(
            client=client,
            fetcher=fetcher,
            repository=repository,
            max_concurrent_fetches=3 if together else 1,
            confirm_retry=AT_ONCE,
        )
        batch = [request("dune") if name == "file" else by_link(name) for name in order]

        result = downloader.run(batch)

        assert codes(result) == ["ok"] * 3
        assert all(done.info_hashes.matches(WHOLE) for done in result.successful)
        assert len(client.torrents) == 1 or not together
        sent, fetched = adds(client), len(fetcher.fetched)
        assert sent == (1 if together else sent)
        if arrives:
            client.arrives(WHOLE)
        for _ in range(2):
            again = downloader.run(batch)
            assert codes(again) == ["ok"] * 3
            assert downloader.recover().failed == ()
        assert (adds(client), len(fetcher.fetched)) == (sent, fetched)
        assert 1 <= len(records(repository)) <= 2
        assert list(repository.unsettled(client="fake")) == []

    def test_two_links_without_a_file_keep_a_record_each(
        self, downloader: BatchDownloader, client: SwarmClient, repository: MemoryRepository
    ) -> None:
        """Nobody could tell that they are of one torrent; when the client can, each record keeps its info-hash."""
        assert codes(downloader.run([by_link("v1"), by_link("v2")])) == ["ok", "ok"]
        client.arrives(WHOLE)

        recovered = downloader.recover()
        again = downloader.run([by_link("v1"), by_link("v2")])

        assert codes(recovered) == codes(again) == ["ok", "ok"]
        assert {done.info_hashes for done in (*recovered.successful, *again.successful)} == {WHOLE}
        assert [record.info_hashes for record in records(repository)] == [
            InfoHashes(v1=WHOLE.v1),
            InfoHashes(v2=WHOLE.v2),
        ]
        assert list(repository.unsettled(client="fake")) == []
        assert adds(client) == 2

    def test_the_client_knows_that_two_links_are_one(
        self, downloader: BatchDownloader, client: SwarmClient, repository: MemoryRepository
    ) -> None:
        """It has the torrent before the batch: then one record is enough."""
        client.torrents[WHOLE] = AddOptions()
        client.complete.add(WHOLE)

        result = downloader.run([by_link("v2"), by_link("v1")])

        assert codes(result) == ["ok", "ok"]
        assert [record.info_hashes for record in records(repository)] == [WHOLE]
        assert adds(client) == 0


class TestStuckLinks:
    """A magnet link whose metadata does not arrive, and the file that has it."""

    @pytest.fixture(autouse=True)
    def _stuck(self, client: SwarmClient) -> None:
        client.torrents[InfoHashes(v1=WHOLE.v1)] = AddOptions()

    def test_the_file_is_handed_over(
        self, downloader: BatchDownloader, client: SwarmClient, repository: MemoryRepository
    ) -> None:
        """It was there before; the record keeps the file until a later look has seen the metadata."""
        (done,) = downloader.run([request("dune")]).successful

        assert done.already_present
        assert done.info_hashes == WHOLE
        assert client.complete == {WHOLE}
        (record,) = records(repository)
        assert (record.status, record.torrent) == (DownloadStatus.QUEUED, FILE)
        assert codes(downloader.recover()) == ["ok"]
        assert records(repository)[0].torrent is None
        assert adds(client) == 1

    def test_it_is_on_record_before(
        self, downloader: BatchDownloader, client: SwarmClient, repository: MemoryRepository
    ) -> None:
        """As all that is handed over."""
        seen: list[Download] = []
        client.on_add = lambda _: seen.extend(records(repository))
        downloader.run([request("dune")])

        assert [(record.status, record.torrent) for record in seen] == [(DownloadStatus.RESERVED, FILE)]

    def test_a_link_gives_nothing(self, downloader: BatchDownloader, client: SwarmClient) -> None:
        """It is there, and that is all."""
        assert codes(downloader.run([by_link("v1")])) == ["ok"]
        assert adds(client) == 0

    def test_a_link_is_followed_by_the_file_of_its_record(
        self, downloader: BatchDownloader, client: SwarmClient, repository: MemoryRepository
    ) -> None:
        """What a recovery has not yet seen to, a batch may."""
        client.takes_metadata = False
        downloader.run([request("dune")])
        client.takes_metadata = True

        assert codes(downloader.run([by_link("v1")])) == ["ok"]
        assert client.complete == {WHOLE}
        assert isinstance(records(repository)[0].torrent, TorrentFile)

    @pytest.mark.parametrize(
        "answer",
        [
            None,
            NotAdded("a duplicate"),
            TorrentRejected("no"),
            ClientUnavailable("lost"),
            ClientError("odd"),
            ClientAuthError("who?"),
            Unsupported("no such category"),
        ],
        ids=lambda answer: type(answer).__name__,
    )
    @pytest.mark.parametrize("taken", [True, False])
    def test_whatever_is_answered_it_is_there(
        self,
        downloader: BatchDownloader,
        client: SwarmClient,
        answer: ClientError | None,
        taken: bool,  # noqa: FBT001
    ) -> None:
        """It was seen before, and nothing takes it away."""
        client.on_add = lambda _: answer
        client.takes_metadata = taken

        (done,) = downloader.run([request("dune")]).successful

        assert done.already_present
        assert adds(client) == 1

    def test_what_is_removed_in_that_moment_is_no_success(
        self, downloader: BatchDownloader, client: SwarmClient
    ) -> None:
        """The look after the add decides."""

        def remove(_: str) -> ClientError:
            client.torrents.clear()
            client.takes_metadata = False
            return NotAdded("gone")

        client.on_add = remove

        assert codes(downloader.run([request("dune")])) == ["unconfirmed"]

    def test_a_client_that_does_not_take_it_is_asked_twice(
        self, downloader: BatchDownloader, client: SwarmClient, repository: MemoryRepository
    ) -> None:
        """Once by the batch and once by a recovery; then the record is closed."""
        client.takes_metadata = False

        assert codes(downloader.run([request("dune")])) == ["ok"]
        assert codes(downloader.recover()) == ["ok"]

        assert adds(client) == 2
        assert list(repository.unsettled(client="fake")) == []
        assert downloader.recover().outcomes == ()

    def test_no_lookup_after_it_settles_nothing(
        self, downloader: BatchDownloader, client: SwarmClient, repository: MemoryRepository
    ) -> None:
        """It was there; the file stays on record, for a recovery to look again."""
        client.on_add = lambda _: client.lookups.extend([ClientUnavailable("gone")] * AT_ONCE.attempts)

        assert codes(downloader.run([request("dune")])) == ["ok"]
        client.lookups.clear()
        client.on_add = lambda _: None
        assert [record.torrent for record in repository.unsettled(client="fake")] == [FILE]
        assert codes(downloader.recover()) == ["ok"]

    def test_a_stop_before_it_leaves_the_file_to_a_recovery(
        self, downloader: BatchDownloader, client: SwarmClient, repository: MemoryRepository
    ) -> None:
        """The item is there; its metadata is given later."""
        stop = threading.Event()
        reserve = repository.reserve

        def reserve_and_stop(downloads: Sequence[Download], /) -> Sequence[Download]:
            stop.set()
            return reserve(downloads)

        repository.reserve = reserve_and_stop  # type: ignore[method-assign]

        assert codes(downloader.run([request("dune")], stop=stop)) == ["ok"]
        assert adds(client) == 0
        assert codes(downloader.recover()) == ["ok"]
        assert client.complete == {WHOLE}


class TestStuckByUrl:
    """The record of a URL says that the client has it, but without metadata."""

    @pytest.fixture(autouse=True)
    def _known(self, downloader: BatchDownloader, client: SwarmClient, fetcher: Shelf) -> None:
        """Queue and settle it; then somebody removes it, and adds it by a link."""
        downloader.run([request("dune")])
        downloader.recover()
        client.torrents = {InfoHashes(v1=WHOLE.v1): AddOptions()}
        client.complete.clear()
        client.calls.clear()
        fetcher.fetched.clear()

    def test_it_is_worth_the_fetch(self, downloader: BatchDownloader, client: SwarmClient, fetcher: Shelf) -> None:
        """A plan says so, and a run does it, once."""
        (planned,) = downloader.plan([request("dune")]).items
        (done,) = downloader.run([request("dune")]).successful

        assert planned.action is PlannedAction.FETCH
        assert (done.already_present, client.complete, fetcher.fetched) == (True, {WHOLE}, ["dune"])
        assert codes(downloader.run([request("dune")])) == ["ok"]
        assert fetcher.fetched == ["dune"]

    def test_a_fetch_that_fails_does_not_deny_it(self, downloader: BatchDownloader, fetcher: Shelf) -> None:
        """It is in the client, whatever the tracker says."""
        fetcher.errors["dune"] = [FetchUnavailable("down")] * 3

        (done,) = downloader.run([request("dune")]).successful

        assert done.already_present
        assert done.info_hashes == WHOLE

    def test_a_batch_that_ends_before_does_not_deny_it(self, downloader: BatchDownloader, client: SwarmClient) -> None:
        """It was seen at the beginning; the others were not attempted."""
        client.lookups = [None, *[ClientUnavailable("gone")] * 9]

        result = downloader.run([request("dune"), request("other")])

        assert codes(result) == ["ok", "client_unavailable"]

    def test_another_torrent_behind_the_url_is_a_new_one(self, downloader: BatchDownloader, fetcher: Shelf) -> None:
        """The tracker has replaced it: it is added, and reported as what it is."""
        fetcher.served["dune"] = "dune, second edition"

        (done,) = downloader.run([request("dune")]).successful

        assert not done.already_present
        assert done.info_hashes == torrent("dune, second edition").info_hashes

    def test_a_url_that_led_to_a_link_is_not_fetched_again(
        self, client: SwarmClient, repository: MemoryRepository
    ) -> None:
        """It would lead to the same link."""
        fetched: list[str] = []

        class Links:
            def fetch(self, request: DownloadRequest, /) -> MagnetLink:
                fetched.append(request.title)
                return parse_magnet("magnet:?xt=urn:btih:" + "ab" * 20)

        downloader = BatchDownloader(client=client, fetcher=Links(), repository=repository, confirm_retry=AT_ONCE)

        for _ in range(3):
            assert codes(downloader.run([request("link")])) == ["ok"]
            assert downloader.recover().failed == ()

        assert fetched == ["link"]
        (record,) = repository.unsettled(client="fake")
        client.complete.update(client.torrents)
        downloader.recover()
        assert (record.status, list(repository.unsettled(client="fake"))) == (DownloadStatus.QUEUED, [])

    def test_records_that_cannot_be_written_do_not_deny_it(
        self, downloader: BatchDownloader, repository: MemoryRepository, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The batch ends, and what is there is there."""

        def fail(*_: object) -> None:
            raise RepositoryUnavailable("the disk is full")

        monkeypatch.setattr(repository, "reserve", fail)

        assert codes(downloader.run([request("dune"), request("other")])) == ["ok", "repository_unavailable"]
