"""A torrent client that gets one request at a time, whatever the number of threads and batches."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from threading import Event, Lock

from attrs import define, field

from audiobatch._fork import here, renew_in_child
from audiobatch._retry import RetryPolicy
from audiobatch.errors import AudiobatchError
from audiobatch.metainfo import InfoHashes, Torrent
from audiobatch.models import AddOptions
from audiobatch.protocols import SupportsBulkAdd, SupportsCheck, TorrentClient


@define(eq=False)
class SerialClient:
    """Asks a client in turn, and asks again what can be asked again: everything but an add."""

    _client: TorrentClient
    _retry: RetryPolicy
    _lock: Lock = field(factory=Lock, init=False)

    def __attrs_post_init__(self) -> None:
        renew_in_child(self, SerialClient._renew)

    def _renew(self) -> None:
        self._lock = Lock()

    @property
    def _turn(self) -> Lock:
        here()
        return self._lock

    @property
    def name(self) -> str:
        """The client's own."""
        return self._client.name

    def check(self, stop: Event) -> None:
        """Raise the client's error if it is of no use now; a client that cannot tell passes."""
        if isinstance(self._client, SupportsCheck):
            self._retry.call(self._check_once, stop=stop)

    def _check_once(self) -> None:
        assert isinstance(self._client, SupportsCheck)
        with self._turn:
            self._client.check()

    def add(self, torrent: Torrent, options: AddOptions) -> AudiobatchError | None:
        """Hand over a torrent, once. Return what the client raised, or None if it accepted."""
        with self._turn:
            try:
                self._client.add(torrent, options)
            except AudiobatchError as error:
                return error
        return None

    def add_all(self, torrents: Sequence[Torrent], options: AddOptions) -> AudiobatchError | None:
        """Hand over several torrents at once, if `takes_many`. Return what the client raised, or None."""
        assert isinstance(self._client, SupportsBulkAdd)
        with self._turn:
            try:
                self._client.add_all(torrents, options)
            except AudiobatchError as error:
                return error
        return None

    @property
    def takes_many(self) -> bool:
        """Several torrents can be handed over at once."""
        return isinstance(self._client, SupportsBulkAdd)

    def look_up(self, info_hashes: Collection[InfoHashes], stop: Event) -> AbstractSet[InfoHashes]:
        """Return those that the client has."""
        return self._retry.call(lambda: self._status(info_hashes), stop=stop)

    def confirm(
        self, info_hashes: Collection[InfoHashes], stop: Event
    ) -> tuple[AbstractSet[InfoHashes], AudiobatchError | None]:
        """Look up until the client shows all of them, or the tries are used up.

        Returns:
            Those that were seen; and, if the last lookup failed, why. Without such an
            error the others are known to be absent.
        """
        seen: set[InfoHashes] = set()

        def look() -> None:
            seen.update(self._status([hashes for hashes in info_hashes if hashes not in seen]))

        try:
            self._retry.call(look, stop=stop, unless=lambda _: len(seen) == len(set(info_hashes)))
        except AudiobatchError as error:
            return seen, error
        return seen, None

    def _status(self, info_hashes: Collection[InfoHashes]) -> AbstractSet[InfoHashes]:
        with self._turn:
            return self._client.status(info_hashes).keys()
