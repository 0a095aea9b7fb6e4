"""Find what is known of requests before anything is fetched: their records, and what of it the client has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from threading import Event

from attrs import frozen

from audiobatch._item import Item
from audiobatch._serial import SerialClient
from audiobatch.metainfo import InfoHashes
from audiobatch.models import Download
from audiobatch.protocols import Repository


@frozen
class Known:
    """What is known of a batch.

    Attributes:
        records: By the URL of the request.
        present: Which info-hashes of the records, or of those asked for besides, the client has.
    """

    records: Mapping[str, Download]
    present: AbstractSet[InfoHashes]


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
    hashes = [*(record.info_hashes for record in records.values()), *besides]
    if hashes:
        return Known(records, client.look_up(hashes, stop))
    client.check(stop)
    return Known(records, frozenset())
