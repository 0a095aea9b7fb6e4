"""A torrent client that gets one request at a time, whatever the number of threads and batches."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from threading import Event, Lock
from typing import Final, TypeVar

from attrs import define, evolve, field

from audiobatch._bugs import guarded, kind_of
from audiobatch._cancellation import Cancellation, cancelled_by
from audiobatch._fork import here, renew_in_child
from audiobatch._item import STOPPED
from audiobatch._retry import RetryPolicy
from audiobatch.errors import AudiobatchError, ClientError, ClientUnavailable, NotAttempted
from audiobatch.metainfo import InfoHashes, Torrent
from audiobatch.models import AddOptions, TorrentStatus
from audiobatch.protocols import SupportsBulkAdd, SupportsCheck, TorrentClient

_T = TypeVar("_T")
_LOOK: Final = 0.1  # seconds between two looks at the stop while others have their turn
_GRACE: Final = 2.0  # seconds that an add, and each look after it, still gets once the batch is stopped


@define(eq=False)
class SerialClient:
    """Asks a client in turn, and asks again what can be asked again: everything but an add.

    A stop is heard while others have their turn, and while a call is under way: what was
    not handed over comes to `NotAttempted` then. An add that is under way, and the look
    after it, get some seconds more. A bug in the client is a `ClientError`: after an add,
    it says nothing about whether the torrent is there.
    """

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
        name = _guarded(lambda: self._client.name)
        if not isinstance(name, str):
            raise _wrong("name", name)
        return name

    def check(self, stop: Event) -> None:
        """Raise the client's error if it is of no use now; a client that cannot tell passes."""
        if isinstance(self._client, SupportsCheck):
            self._until(stop, partial(self._check_once, self._client, stop))

    def _check_once(self, client: SupportsCheck, stop: Event) -> None:
        with self._in_turn(Cancellation(stop)):
            _guarded(client.check)

    def add(self, torrent: Torrent, options: AddOptions, stop: Event) -> AudiobatchError | None:
        """Hand over a torrent, once. Return what the client raised, or None if it accepted; see `STOPPED`."""
        return self._hand_over(lambda: self._client.add(torrent, options), stop)

    def add_all(self, torrents: Sequence[Torrent], options: AddOptions, stop: Event) -> AudiobatchError | None:
        """Hand over several torrents at once, if `takes_many`; otherwise as `add`."""
        client = self._client
        assert isinstance(client, SupportsBulkAdd)
        return self._hand_over(lambda: client.add_all(torrents, options), stop)

    def _hand_over(self, add: Callable[[], None], stop: Event) -> AudiobatchError | None:
        try:
            with self._in_turn(Cancellation(stop), Cancellation(stop, _GRACE)):
                if stop.is_set():
                    return STOPPED
                _guarded(add)
        except NotAttempted:
            return STOPPED
        except AudiobatchError as error:
            return error
        return None

    @property
    def takes_many(self) -> bool:
        """Several torrents can be handed over at once."""
        return isinstance(self._client, SupportsBulkAdd)

    def look_up(self, info_hashes: Collection[InfoHashes], stop: Event) -> Mapping[InfoHashes, TorrentStatus]:
        """Return how those stand that the client has."""
        return self._until(stop, lambda: self._status(info_hashes, Cancellation(stop)))

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
            found = self._status([evolve(hashes, complete=True) for hashes in asked], Cancellation(stop, _GRACE))
            for hashes in asked:
                seen.pop(hashes, None)
            seen.update(found)

        try:
            self._retry.call(look, stop=stop, unless=lambda _: not open_ones())
            if hidden := [hashes for hashes in info_hashes if hashes not in seen and hashes.may_be_half]:
                seen.update(self._retry.call(lambda: self._status(hidden, Cancellation(stop, _GRACE)), stop=stop))
        except AudiobatchError as error:
            return seen, error
        return seen, None

    def _status(
        self, info_hashes: Collection[InfoHashes], cancellation: Cancellation
    ) -> Mapping[InfoHashes, TorrentStatus]:
        with self._in_turn(cancellation):
            found = _guarded(lambda: self._client.status(info_hashes))
        if not isinstance(found, Mapping) or not all(map(_is_status, found.values())):
            raise _wrong("status", found)
        # What was not asked for says nothing.
        return {hashes: found[hashes] for hashes in info_hashes if hashes in found}

    def _until(self, stop: Event, ask: Callable[[], _T]) -> _T:
        """Ask, and again if need be; what a stop has cut short counts as not attempted, whatever it raised."""
        try:
            return self._retry.call(ask, stop=stop)
        except ClientUnavailable:
            if not stop.is_set():
                raise
        raise NotAttempted(str(STOPPED))

    @contextmanager
    def _in_turn(self, waiting: Cancellation, calling: Cancellation | None = None) -> Iterator[None]:
        """Wait until nobody else asks the client anything, and hold the turn.

        Args:
            waiting: Ends the wait.
            calling: Ends the call that is made then, if not the same does.

        Raises:
            NotAttempted: The wait was ended.
        """
        turn = self._turn  # a process that is forked meanwhile has another one
        while not turn.acquire(timeout=_LOOK):
            if waiting.is_due():
                raise NotAttempted(str(STOPPED))
        try:
            with cancelled_by(calling or waiting):
                yield
        finally:
            turn.release()


def _guarded(call: Callable[[], _T]) -> _T:
    return guarded(call, ClientError, "the torrent client")


def _is_status(value: object) -> bool:
    return isinstance(value, TorrentStatus) and isinstance(value.info_hashes, InfoHashes | None)


def _wrong(method: str, answer: object) -> ClientError:
    return ClientError(f"the torrent client's {method} returned what it is not meant to ({kind_of(answer)})")
