"""A plan says what a run would do, and does nothing of it."""

from __future__ import annotations

import pytest

from audiobatch import BatchDownloader, BatchTooLargeError, DownloadStatus, EmptyBatchError, PlannedAction
from audiobatch.errors import ClientUnavailable, RepositoryUnavailable
from audiobatch.models import DownloadRequest, GivenRequest
from audiobatch.repositories.memory import MemoryRepository
from support.fakes import FakeClient, FakeFetcher, request, torrent

HEX = "ab" * 20


def magnet(title: str, *, tracker: str = "one", info_hash: str = HEX) -> DownloadRequest:
    """Ask for a torrent by a magnet link."""
    return request(title, torrent_url=f"magnet:?xt=urn:btih:{info_hash}&dn={title}&tr=http://{tracker}.test/")


def test_nothing_is_known_yet(downloader: BatchDownloader) -> None:
    """What is valid would be fetched, a magnet link be added, and the rest fail with its reason."""
    fetch, add, fail = downloader.plan([request("a"), magnet("b"), {"title": "c"}]).items

    assert (fetch.action, fetch.request, fetch.info_hash) == (PlannedAction.FETCH, request("a"), None)
    assert (add.action, add.info_hash) == (PlannedAction.ADD, HEX)
    assert (fail.action, fail.index, fail.request) == (PlannedAction.INVALID, 2, {"title": "c"})
    assert fail.error == "Validation failed: author is required; torrent_url is required"


def test_nothing_is_done(
    downloader: BatchDownloader, client: FakeClient, fetcher: FakeFetcher, repository: MemoryRepository
) -> None:
    """The tracker is asked for nothing, and neither client nor records are other than before."""
    downloader.run([request("there")])
    calls, before = len(client.calls), repr(repository)

    downloader.plan([request("there"), request("a"), magnet("b")])

    assert fetcher.fetched == ["there"]
    assert client.calls[calls:] == ["status"]
    assert repr(repository) == before


def test_what_a_plan_says_is_what_a_run_does(downloader: BatchDownloader, fetcher: FakeFetcher) -> None:
    """Item by item."""
    twins = [request("a"), request("a"), magnet("m"), magnet("m again", tracker="two")]
    batch: list[GivenRequest] = [*twins, request("b"), {}]
    downloader.run([request("b")])
    plan = downloader.plan(batch)
    fetched = len(fetcher.fetched)

    result = downloader.run(batch)

    assert [item.action for item in plan.items] == ["fetch", "duplicate", "add", "duplicate", "present", "invalid"]
    assert [item.same_as for item in plan.items] == [None, 0, None, 2, None, None]
    assert fetcher.fetched[fetched:] == ["a"]
    assert [done.already_present for done in result.successful] == [False, True, False, True, True]
    assert [failure.index for failure in result.failed] == [5]
    assert plan.items[4].info_hash == result.successful[4].info_hash


def test_a_torrent_that_is_still_on_record_needs_no_fetch(downloader: BatchDownloader, client: FakeClient) -> None:
    """As after a client that was down; and one whose torrent is gone from the record is to be fetched anew."""
    downloader.run([request("kept"), request("seen again")])
    downloader.run([request("seen again")])
    client.torrents.clear()

    kept, gone = downloader.plan([request("kept"), request("seen again")]).items

    assert (kept.action, kept.info_hash) == (PlannedAction.ADD, torrent("kept").info_hashes.v1)
    assert (gone.action, gone.info_hash) == (PlannedAction.FETCH, torrent("seen again").info_hashes.v1)


def test_a_magnet_link_of_what_is_there(downloader: BatchDownloader, client: FakeClient) -> None:
    """It is found by its info-hash, whatever URL it came from."""
    downloader.run([request("a")])
    hashes = torrent("a").info_hashes
    assert hashes.v1 is not None

    by_url, by_hash = downloader.plan([request("a"), magnet("A", info_hash=hashes.v1)]).items
    (alone,) = downloader.plan([magnet("A", info_hash=hashes.v1)]).items

    assert (by_url.action, by_hash.action, by_hash.same_as) == ("present", "duplicate", 0)
    assert alone.action is PlannedAction.PRESENT
    assert len(client.torrents) == 1


def test_a_batch_that_is_none(downloader: BatchDownloader) -> None:
    """It is refused as for a run."""
    with pytest.raises(EmptyBatchError):
        downloader.plan([])
    with pytest.raises(BatchTooLargeError):
        downloader.plan([{}] * 51)


def test_a_batch_without_a_valid_request_does_not_bother_the_client(
    downloader: BatchDownloader, client: FakeClient
) -> None:
    """There is nothing that it could be asked."""
    assert [item.action for item in downloader.plan([{}, {}]).items] == ["invalid"] * 2
    assert client.calls == []


def test_a_client_that_cannot_be_asked(downloader: BatchDownloader, client: FakeClient) -> None:
    """Without its answer nothing true could be said."""
    client.check_error = ClientUnavailable("the client is down")

    with pytest.raises(ClientUnavailable, match="is down"):
        downloader.plan([request("a")])


def test_records_that_cannot_be_read(
    downloader: BatchDownloader, repository: MemoryRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither."""

    def find(*_: object, **__: object) -> object:
        raise RepositoryUnavailable("the database is locked")

    monkeypatch.setattr(repository, "find", find)
    with pytest.raises(RepositoryUnavailable):
        downloader.plan([request("a")])


def test_records_are_left_as_they_are(downloader: BatchDownloader, repository: MemoryRepository) -> None:
    """A run would drop the torrent of what it sees again; a plan does not."""
    (done,) = downloader.run([request("a")]).successful
    downloader.plan([request("a")])

    record = repository.find([done.info_hash], client="fake")[done.info_hash]
    assert (record.status, record.torrent) == (DownloadStatus.QUEUED, torrent("a"))
