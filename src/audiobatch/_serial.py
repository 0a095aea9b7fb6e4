"""A torrent client that gets one request at a time, whatever the number of threads and batches."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from threading import Event, Lock
from typing import TypeVar

from attrs import field, frozen

from audiobatch._bugs import guarded, kind_of
from audiobatch._retry import RetryPolicy
from audiobatch.errors import AudiobatchError, ClientError
from audiobatch.metainfo import InfoHashes, Torrent
from audiobatch.models import AddOptions, TorrentStatus
from audiobatch.protocols import SupportsBulkAdd, SupportsCheck, TorrentClient

_T = TypeVar("_T")


@frozen
class SerialClient:
    """Asks a client in turn, and asks again what can be asked again: everything but an add.

    A bug in the client is a `ClientError`: after an add, it says nothing about whether the torrent is there.
    """

    _client: TorrentClient
    _retry: RetryPolicy
    _turn: Lock = field(factory=Lock, init=False)

    @property
    def name(self) -> str:
        """The client's own."""
        name = _guarded(lambda: self._client.name)
        if not isinstance(name, str):
            raise _wrong("name", name)
        return name

    def check(self, stop: Event) -> None:
        """Raise the client's error if it is of no use now; a client that cannot tell passes."""
        if isinstance(self._client, SupportsCheck):
            self._retry.call(self._check_once, stop=stop)

    def _check_once(self) -> None:
        assert isinstance(self._client, SupportsCheck)
        with self._turn:
            _guarded(self._client.check)

    def add(self, torrent: Torrent, options: AddOptions) -> AudiobatchError | None:
        """Hand over a torrent, once. Return what the client raised, or None if it accepted."""
        return self._hand_over(lambda: self._client.add(torrent, options))

    def add_all(self, torrents: Sequence[Torrent], options: AddOptions) -> AudiobatchError | None:
        """Hand over several torrents at once, if `takes_many`. Return what the client raised, or None."""
        client = self._client
        assert isinstance(client, SupportsBulkAdd)
        return self._hand_over(lambda: client.add_all(torrents, options))

    def _hand_over(self, add: Callable[[], None]) -> AudiobatchError | None:
        with self._turn:
            try:
                _guarded(add)
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
            found = _guarded(lambda: self._client.status(info_hashes))
        if not isinstance(found, Mapping) or not all(isinstance(status, TorrentStatus) for status in found.values()):
            raise _wrong("status", found)
        # What was not asked for says nothing.
        return {hashes for hashes in info_hashes if hashes in found}


def _guarded(call: Callable[[], _T]) -> _T:
    return guarded(call, ClientError, "the torrent client")


def _wrong(method: str, answer: object) -> ClientError:
    return ClientError(f"the torrent client's {method} returned what it is not meant to ({kind_of(answer)})")
