"""What earlier runs left open is settled from the records alone."""

from __future__ import annotations

import pytest

from audiobatch import (
    BatchDownloader,
    DownloadStatus,
)
from audiobatch.errors import (
    ClientUnavailable,
)
from audiobatch.repositories.memory import MemoryRepository
from support.fakes import FakeClient, FakeFetcher, codes, request, torrent


class TestRecovery:
    """What earlier runs left open is settled from the records alone."""

    def test_what_arrived_before_the_crash_is_settled(
        self, downloader: BatchDownloader, client: FakeClient, repository: MemoryRepository
    ) -> None:
        """It is looked up, not added again, and its torrent kept until the next look."""
        self._crash_after(downloader, client, applied=True)
        client.calls.clear()

        (done,) = downloader.recover().successful

        assert done.already_present
        assert client.calls == ["check", "status"]
        (record,) = repository.unsettled(client="fake")
        assert (record.status, record.torrent) == (DownloadStatus.QUEUED, torrent("one"))

    def test_what_did_not_arrive_is_added_from_the_record(
        self, downloader: BatchDownloader, client: FakeClient, fetcher: FakeFetcher
    ) -> None:
        """The tracker is not asked again."""
        self._crash_after(downloader, client, applied=False)

        (done,) = downloader.recover().successful

        assert (done.already_present, client.names("one"), fetcher.fetched) == (False, ["one"], ["one"])

    def _crash_after(self, downloader: BatchDownloader, client: FakeClient, *, applied: bool) -> None:
        def crash(_: str) -> None:
            if applied:
                client.torrents[torrent("one").info_hashes] = request("one").options
            raise KeyboardInterrupt

        client.on_add = crash
        with pytest.raises(KeyboardInterrupt):
            downloader.run([request("one")])
        client.on_add = lambda _: None

    def test_what_was_seen_again_is_closed_for_good(
        self, downloader: BatchDownloader, repository: MemoryRepository
    ) -> None:
        """The second look drops the torrent, and there is nothing left to recover."""
        downloader.run([request("one")])

        assert len(downloader.recover().successful) == 1
        assert list(repository.unsettled(client="fake")) == []
        assert downloader.recover().outcomes == ()

    def test_what_the_client_has_forgotten_is_put_back(
        self, downloader: BatchDownloader, client: FakeClient, fetcher: FakeFetcher
    ) -> None:
        """A daemon that was killed right after its answer gets the torrent from the record."""
        downloader.run([request("one", category="Audio"), request("two")])
        client.torrents.clear()

        assert len(downloader.recover().successful) == 2
        assert client.names("one", "two") == ["one", "two"]
        assert client.torrents[torrent("one").info_hashes].category == "Audio"
        assert sorted(fetcher.fetched) == ["one", "two"]

    def test_an_unconfirmed_item_is_settled_later(
        self, downloader: BatchDownloader, client: FakeClient, fetcher: FakeFetcher
    ) -> None:
        """It shows up in the client after the report: recovery finds it."""
        client.hidden = {torrent("one").info_hashes}
        downloader.run([request("one")])
        client.hidden = set()

        assert codes(downloader.recover()) == ["ok"]
        assert fetcher.fetched == ["one"]

    def test_nothing_is_changed_while_the_client_is_down(
        self, downloader: BatchDownloader, client: FakeClient, repository: MemoryRepository
    ) -> None:
        """The error is raised, and the records stay open."""
        downloader.run([request("one")])
        before = list(repository.unsettled(client="fake"))
        client.check_error = ClientUnavailable("down")

        with pytest.raises(ClientUnavailable):
            downloader.recover()
        assert before == list(repository.unsettled(client="fake"))

    def test_more_records_than_a_page_are_recovered(self, downloader: BatchDownloader, client: FakeClient) -> None:
        """Each has its own index."""
        for start in (0, 50, 100):
            downloader.run([request(f"book {number}") for number in range(start, start + 50)])
        client.torrents.clear()

        result = downloader.recover()

        assert [done.index for done in result.successful] == list(range(150))

    def test_records_of_another_client_are_left_alone(
        self, downloader: BatchDownloader, fetcher: FakeFetcher, repository: MemoryRepository
    ) -> None:
        """They belong to somebody else."""
        downloader.run([request("one")])
        other = FakeClient()
        other.name = "other"

        assert BatchDownloader(client=other, fetcher=fetcher, repository=repository).recover().outcomes == ()
