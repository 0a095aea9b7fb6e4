"""Find what is known of requests before anything is fetched: their records, and what of it the client has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from threading import Event

from attrs import evolve, frozen

from audiobatch._item import Item
from audiobatch._serial import SerialClient
from audiobatch.metainfo import InfoHashes, MagnetLink, TorrentFile
from audiobatch.models import Download, TorrentStatus
from audiobatch.protocols import Repository


@frozen
class Known:
    """What is known of a batch.

    Attributes:
        records: By the URL of the request.
        statuses: How those info-hashes stand that the client has, of the records and of those asked for besides.
    """

    records: Mapping[str, Download]
    statuses: Mapping[InfoHashes, TorrentStatus]

    def status_of(self, record: Download) -> TorrentStatus | None:
        """Return how the torrent of a record stands in the client, or None if it is not there."""
        return self.statuses.get(_hashes_of(record))


def find_known(
    items: Sequence[Item],
    *,
    client: SerialClient,
    repository: Repository,
    stop: Event,
    besides: Iterable[InfoHashes] = (),
) -> Known:
    """Ask repository and client, each once; a client that would not be asked anything is asked whether it is well.

    Raises:
        ClientError: The client is of no use now.
        RepositoryError: The records cannot be read.
    """
    records = repository.find([item.request.torrent_url for item in items], client=client.name)
    hashes = [*(_hashes_of(record) for record in records.values()), *besides]
    if hashes:
        return Known(records, client.look_up(hashes, stop))
    client.check(stop)
    return Known(records, {})


def with_record(item: Item, record: Download) -> Item:
    """Return the item with what the record of its URL holds: the torrent, and the info-hashes."""
    return evolve(with_torrent_of(record, item), known=record.info_hashes)


def with_torrent_of(record: Download, item: Item) -> Item:
    """Return the item with the torrent of its record, if it has none of its own, or only a magnet link."""
    if isinstance(item.torrent, TorrentFile) or (item.torrent and not isinstance(record.torrent, TorrentFile)):
        return item
    return evolve(item, torrent=record.torrent)


def is_worth_handing_over(item: Item, status: TorrentStatus) -> bool:
    """Tell whether the client lacks the metadata of what it has, and the item may give it that.

    Args:
        item: With what its record holds.
        status: How it stands in the client.
    """
    return status.has_metadata is False and not isinstance(item.torrent, MagnetLink)


def _hashes_of(record: Download) -> InfoHashes:
    """Return the info-hashes of a record, and whether these are all: that is known as long as it holds its torrent."""
    return record.torrent.info_hashes.joined(record.info_hashes) if record.torrent else record.info_hashes
