"""Records in memory: for notebooks and tests, gone when the process ends."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence

import attrs

from audiobatch._fork import StaysHere, renew_in_child, rest_at_fork
from audiobatch.metainfo import InfoHashes
from audiobatch.models import Download


class MemoryRepository(StaysHere):
    """Keeps records for as long as the object lives; after a fork, each process has its own."""

    def __init__(self) -> None:
        self._records: dict[str, Download] = {}  # by id, oldest first
        self._lock = threading.Lock()
        renew_in_child(self, MemoryRepository._renew)
        rest_at_fork(self, lambda owner: owner._lock)  # noqa: SLF001 - of this class

    def _renew(self) -> None:
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"MemoryRepository({len(self._records)} records)"

    def find(self, keys: Collection[str], /, *, client: str) -> Mapping[str, Download]:
        """Look up by torrent URL or info-hash; see `Repository.find`."""
        wanted = set(keys)
        with self._lock:
            return {
                key: record
                for record in self._records.values()
                if record.client == client
                for key in _keys(record) & wanted
            }

    def reserve(self, downloads: Sequence[Download], /) -> Sequence[Download]:
        """Insert what is not held yet; see `Repository.reserve`."""
        with self._lock:
            return [self._holder(download) or self._insert(download) for download in downloads]

    def _holder(self, download: Download) -> Download | None:
        return next(
            (
                record
                for record in self._records.values()
                if record.client == download.client and record.info_hashes.matches(download.info_hashes)
            ),
            None,
        )

    def _insert(self, download: Download) -> Download:
        self._records[download.id] = attrs.evolve(download, index=0, already_present=False)
        return self._records[download.id]

    def save(self, downloads: Sequence[Download], /) -> None:
        """Update by id; see `Repository.save`."""
        with self._lock:
            for download in downloads:
                if (record := self._records.get(download.id)) is not None:
                    self._records[download.id] = attrs.evolve(
                        record,
                        request=download.request,
                        status=download.status,
                        torrent=download.torrent,
                        info_hashes=self._learned(record, download),
                    )

    def _learned(self, record: Download, download: Download) -> InfoHashes:
        joined = record.info_hashes.joined(download.info_hashes)
        if joined == record.info_hashes:
            return joined
        # Where another record holds the new one, that one keeps it.
        others = (other for other in self._records.values() if other.client == record.client and other.id != record.id)
        return record.info_hashes if any(other.info_hashes.matches(joined) for other in others) else joined

    def unsettled(self, *, client: str) -> Iterator[Download]:
        """Yield what a recovery has to look at; see `Repository.unsettled`."""
        with self._lock:
            records = [record for record in self._records.values() if record.client == client]
        yield from (record for record in records if record.unsettled)


def _keys(record: Download) -> set[str]:
    hashes = record.info_hashes
    return {key for key in (record.request.torrent_url, hashes.v1, hashes.v2) if key is not None}
