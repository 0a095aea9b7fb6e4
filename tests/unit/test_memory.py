"""What a batch of the largest torrents takes of the memory, measured in a process of its own."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pytest

from audiobatch import BatchDownloader, Download
from audiobatch.repositories.sqlite import SQLiteRepository
from support.fakes import AT_ONCE, FakeClient, FakeFetcher, codes, request
from support.heavy import COUNT, FEWER, MIB, SIZE, weigh
from support.peak import MEASURABLE

MOST = 256 * MIB  # what the memory may grow by


@pytest.mark.skipif(not MEASURABLE, reason="the peak of a process can be reset on Linux alone")
@pytest.mark.parametrize(
    ("story", "count"),
    [
        pytest.param("fetched", COUNT, id="fetched"),
        pytest.param("twins", COUNT, id="one torrent under many URLs"),
        pytest.param("records", FEWER, id="kept by records of an earlier batch"),
        pytest.param("recovery", FEWER, id="recovered"),
    ],
)
def test_the_torrents_of_a_batch_are_never_in_memory_all_at_once(story: str, count: int) -> None:
    """Together they are far larger than what is allowed."""
    weight = weigh(story)

    assert weight.codes == ("ok",) * count
    assert count * SIZE > MOST
    assert weight.growth < MOST


class Counting(SQLiteRepository):
    """Counts how many records it has found at a time."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.found: list[int] = []

    def find(self, keys: Collection[str], /, *, client: str) -> Mapping[str, Download]:
        """Find."""
        found = super().find(keys, client=client)
        self.found.append(len(found))
        return found


class TestParts:
    """A batch whose records keep more than fits is done in parts."""

    @pytest.fixture
    def repository(self, tmp_path: Path) -> Iterator[Counting]:
        """Give an empty one."""
        with Counting(tmp_path / "records.db") as repository:
            yield repository

    @pytest.fixture
    def downloader(self, client: FakeClient, fetcher: FakeFetcher, repository: Counting) -> BatchDownloader:
        """Give a downloader whose client has lost what it had of the first ten books."""
        made = BatchDownloader(
            client=client, fetcher=fetcher, repository=repository, fetch_retry=AT_ONCE, confirm_retry=AT_ONCE
        )
        made.run([request(f"book {number}") for number in range(10)])
        client.torrents.clear()
        repository.found.clear()
        return made

    def test_small_torrents_are_found_at_once(self, downloader: BatchDownloader, repository: Counting) -> None:
        """As most are."""
        assert codes(downloader.run([request(f"book {number}") for number in range(20)])) == ["ok"] * 20
        assert repository.found == [10]

    def test_large_ones_are_found_one_after_the_other(
        self,
        downloader: BatchDownloader,
        repository: Counting,
        client: FakeClient,
        fetcher: FakeFetcher,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """All get there, and no tracker is asked again."""
        monkeypatch.setattr("audiobatch._pipeline._MOST_BYTES", 1)
        names = [f"book {number}" for number in range(10)]

        result = downloader.run([*map(request, names), request("new")])

        assert codes(result) == ["ok"] * 11
        assert repository.found == [1] * 10
        assert client.names(*names) == names
        assert sorted(fetcher.fetched) == sorted([*names, "new"])

    def test_a_batch_that_ends_in_one_part_ends_in_all(
        self, downloader: BatchDownloader, client: FakeClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each item has its outcome."""
        monkeypatch.setattr("audiobatch._pipeline._MOST_BYTES", 1)
        stop = threading.Event()

        def stop_at_three(name: str) -> None:
            if name == "book 3":
                stop.set()

        client.on_add = stop_at_three

        result = downloader.run([request(f"book {number}") for number in range(10)], stop=stop)

        assert codes(result) == ["ok"] * 4 + ["not_attempted"] * 6

    def test_a_recovery_takes_few_large_ones_at_a_time(
        self, downloader: BatchDownloader, client: FakeClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One lookup for each part, before the add and after it."""
        monkeypatch.setattr("audiobatch._pipeline._MOST_BYTES", 1)
        client.calls.clear()

        assert [done.index for done in downloader.recover().successful] == list(range(10))
        assert client.calls.count("status") == 20
