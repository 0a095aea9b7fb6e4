"""A torrent client that gets one request at a time, whatever the number of threads and batches."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from threading import Event, Lock

from attrs import evolve, field, frozen

from audiobatch._retry import RetryPolicy
from audiobatch.errors import AudiobatchError
from audiobatch.metainfo import InfoHashes, Torrent
from audiobatch.models import AddOptions, TorrentStatus
from audiobatch.protocols import SupportsBulkAdd, SupportsCheck, TorrentClient


@frozen
class SerialClient:
    """Asks a client in turn, and asks again what can be asked again: everything but an add."""

    _client: TorrentClient
    _retry: RetryPolicy
    _turn: Lock = field(factory=Lock, init=False)

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

    def look_up(self, info_hashes: Collection[InfoHashes], stop: Event) -> Mapping[InfoHashes, TorrentStatus]:
        """Return how those stand that the client has."""
        return self._retry.call(lambda: self._status(info_hashes), stop=stop)

    def confirm(
        self, info_hashes: Collection[InfoHashes], stop: Event, *, whole: Collection[InfoHashes] = ()
    ) -> tuple[Mapping[InfoHashes, TorrentStatus], AudiobatchError | None]:
        """Look up until the client shows all of them, or the tries are used up.

        What was just added shows under the very info-hashes that it was added by. So it is looked for by these
        alone; the search by another one, which can cost the client much, is made once, at the end.

        Args:
            info_hashes: What to look for.
            stop: Ends the waiting.
            whole: Those that are waited for until they have their metadata, too.

        Returns:
            How those stand that were seen; and, if the last lookup failed, why. Without such
            an error the others are known to be absent.
        """
        seen: dict[InfoHashes, TorrentStatus] = {}

        def open_ones() -> list[InfoHashes]:
            return [
                hashes
                for hashes in dict.fromkeys(info_hashes)
                if hashes not in seen or (hashes in whole and seen[hashes].has_metadata is False)
            ]

        def look() -> None:
            asked = open_ones()
            found = self._status([evolve(hashes, complete=True) for hashes in asked])
            for hashes in asked:
                seen.pop(hashes, None)
            seen.update(found)

        try:
            self._retry.call(look, stop=stop, unless=lambda _: not open_ones())
            if hidden := [hashes for hashes in info_hashes if hashes not in seen and hashes.may_be_half]:
                seen.update(self.look_up(hidden, stop))
        except AudiobatchError as error:
            return seen, error
        return seen, None

    def _status(self, info_hashes: Collection[InfoHashes]) -> Mapping[InfoHashes, TorrentStatus]:
        with self._turn:
            return self._client.status(info_hashes)
