"""A client, a fetcher and a repository that fail by plan, are killed, and watch how they are used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from threading import Event, Lock
from typing import Any, Final, TypeVar

import pytest
from attrs import field, frozen, mutable
from hypothesis import strategies as st

from audiobatch import Download, DownloadRequest, DownloadStatus
from audiobatch import errors as e
from audiobatch.metainfo import InfoHashes, Torrent, TorrentFile, parse_magnet, parse_torrent
from audiobatch.models import AddOptions, GivenRequest, TorrentState, TorrentStatus
from audiobatch.protocols import Repository
from support.torrents import Kind, book

_T = TypeVar("_T")

KINDS: Final[tuple[Kind, ...]] = ("v1", "v2", "hybrid", "v1", "v2", "hybrid", "hybrid", "v1")
LEADS_TO: Final[dict[str, Torrent]] = {}
"""For a URL, the torrent behind it."""
BOOKS: Final[dict[str, InfoHashes]] = {}
"""For a URL, the info-hashes of the whole book: a magnet link may name only one of them."""

GIVEN: Final[dict[str, GivenRequest]] = {
    "missing": DownloadRequest(title="A", author="B", torrent_url="http://tracker.test/missing"),
    "invalid": {"title": "no author", "torrent_url": "http://tracker.test/0"},
}
"""For a short name, the request: "again" has another title, "magnet 2 v1" names one info-hash of two."""

for _number, _kind in enumerate(KINDS):
    _file = parse_torrent(book(f"book {_number}", kind=_kind))
    _v1, _v2 = f"xt=urn:btih:{_file.info_hashes.v1}", f"xt=urn:btmh:1220{_file.info_hashes.v2}"
    _topics = {"v1": _v1, "v2": _v2} if _kind == "hybrid" else {}
    _topics["whole"] = {"v1": _v1, "v2": _v2, "hybrid": f"{_v1}&{_v2}"}[_kind]
    _behind: dict[str, tuple[str, Torrent]] = {
        f"{_host} {_number}": (f"http://{_host}.test/{_number}", _file) for _host in ("tracker", "mirror")
    }
    for _name, _topic in _topics.items():
        _link = parse_magnet(f"magnet:?{_topic}")
        _behind[f"magnet {_number} {_name}"] = (_link.uri, _link)
    for _name, (_url, _torrent) in _behind.items():
        LEADS_TO[_url], BOOKS[_url] = _torrent, _file.info_hashes
        GIVEN[_name] = DownloadRequest(title="A", author="B", torrent_url=_url)
    GIVEN[f"again {_number}"] = DownloadRequest(
        title="Again", author="B", torrent_url=f"http://tracker.test/{_number}", paused=True
    )

# Not both halves of one hybrid: nobody can tell that two such links are of one book until the whole comes along.
WHOLE: Final = [_name for _name in GIVEN if _name not in ("magnet 2 v2", "magnet 5 v1", "magnet 6 v2")]
FEW: Final = [_name for _name in WHOLE if {"0", "1", "2"} & set(_name.split())]
NAMES: Final = st.lists(st.sampled_from(FEW), min_size=1, max_size=8) | st.lists(
    st.sampled_from(WHOLE), min_size=1, max_size=8
)


class Bug(Exception):
    """What no port is to raise."""


ANSWERS: Final[dict[str, type[Exception]]] = {
    "unclear": e.ClientUnavailable,
    "unclear-applied": e.ClientUnavailable,
    "error-applied": e.ClientError,
    "refuse": e.TorrentRejected,
    "refuse-applied": e.TorrentRejected,
    "duplicate": e.NotAdded,
    "unsupported": e.Unsupported,
    "auth": e.ClientAuthError,
    "bug": Bug,
    "bug-applied": Bug,
}
ADDS: Final = ("accept", "accept", "lose", *ANSWERS)
ALL_ADDS: Final = ("accept", "accept", "unclear", "error-applied", "refuse", "duplicate", "unsupported", "auth", "bug")
LOOKS: Final = (None, None, e.ClientUnavailable, e.ClientError, Bug)
FETCHES: Final = (None, None, e.FetchUnavailable, e.FetchDenied, e.RateLimited, Bug)
STORAGE: Final = (None, e.RepositoryUnavailable, Bug)


class Crash(BaseException):
    """The process is killed."""


def expect(condition: bool, otherwise: str) -> None:  # noqa: FBT001 - it reads like an assertion
    """Fail the test; an AssertionError would be taken for a bug of a plug-in, and become the failure of an item."""
    if not condition:
        pytest.fail(otherwise)


@frozen(kw_only=True)
class Plan:
    """What goes wrong in one run: each list is used up, one by one, and all is well after its end.

    Attributes:
        adds: How the client answers an add.
        together: The client takes several in one request, too.
        all_adds: How it answers such a request, and which of the torrents it takes, over and over.
        looks: What it raises when it is asked what it has.
        hide: For how many lookups it does not show what it has just taken.
        fetches: What the fetcher raises.
        storage: What the repository raises.
        stop_at: At which call of a port the run is told to stop; 0 for never.
        crash_at: At which call the process is killed; 0 for never.
        crash_after: The call takes effect before.
        workers: Torrents fetched at once.
        ahead: Fetches are done as soon as they are begun, not as late as can be.
    """

    adds: Sequence[str] = ()
    together: bool = False
    all_adds: Sequence[tuple[str, Sequence[bool]]] = ()
    looks: Sequence[type[Exception] | None] = ()
    hide: int = 0
    fetches: Sequence[type[Exception] | None] = ()
    storage: Sequence[type[Exception] | None] = ()
    stop_at: int = 0
    crash_at: int = 0
    crash_after: bool = False
    workers: int = 4
    ahead: bool = True


def rarely(quiet: _T, trouble: st.SearchStrategy[_T]) -> st.SearchStrategy[_T]:
    """Let nothing happen most of the time: where all goes wrong at once, no run comes far."""
    return st.integers(0, 4).flatmap(lambda die: trouble if die == 4 else st.just(quiet))


PLANS: Final = st.builds(
    Plan,
    adds=st.lists(st.sampled_from(ADDS), max_size=5),
    together=st.booleans(),
    all_adds=st.lists(
        st.tuples(st.sampled_from(ALL_ADDS), st.lists(st.booleans(), min_size=1, max_size=4)), max_size=3
    ),
    looks=rarely([], st.lists(st.sampled_from(LOOKS), max_size=5)),
    hide=st.sampled_from([0, 0, 1, 3, 4, 9]),
    fetches=rarely([], st.lists(st.sampled_from(FETCHES), max_size=4)),
    storage=rarely([], st.lists(st.sampled_from(STORAGE), max_size=5)),
    stop_at=rarely(0, st.integers(1, 15)),
    crash_at=rarely(0, st.integers(1, 15)),
    crash_after=st.booleans(),
    workers=st.integers(1, 4),
    ahead=st.booleans(),
)


@mutable(eq=False)
class World:
    """Client, fetcher and repository in one, and all that outlives a crash; it watches each call as it is made.

    Attributes:
        storage: The repository that keeps the records.
        torrents: What the client has, by all that it knows of its info-hashes, and for how many more lookups it does
            not show it. A magnet link gets the other info-hash of a hybrid when its metadata arrives.
        with_metadata: What of this has its metadata.
        persisted: What of this a killed client still has.
        absent: What the last lookup did not show, and was not handed over since.
        bare: What the last lookup showed without its metadata, and was not handed over since.
        sent: In this run, what was handed over, and whether it was plainly refused.
        added: In this run, what came into the client by that.
        answered: In this run, what was handed over with others, and this was clearly answered.
        doubtful: In this run, what the client has answered to be there already, or so it seems.
        fetched: In this run, how often a URL was asked for.
        known: When this run began, URLs whose record was in the client for all to see.
        recovering: No tracker is to be asked.
    """

    storage: Repository
    name: str = "fake"
    torrents: dict[InfoHashes, int] = field(factory=dict)
    with_metadata: set[InfoHashes] = field(factory=set)
    persisted: set[InfoHashes] = field(factory=set)
    bare: set[InfoHashes] = field(factory=set)
    absent: set[InfoHashes] = field(factory=set)
    sent: list[tuple[InfoHashes, bool]] = field(factory=list)
    added: list[InfoHashes] = field(factory=list)
    answered: list[InfoHashes] = field(factory=list)
    doubtful: list[InfoHashes] = field(factory=list)
    fetched: Counter[str] = field(factory=Counter)
    known: set[str] = field(factory=set)
    recovering: bool = False
    stop: Event = field(factory=Event)
    _plan: Plan = field(factory=Plan)
    _queues: dict[str, list[Any]] = field(factory=dict)
    _calls: int = 0
    _dead: bool = False
    _turn: Lock = field(factory=Lock)

    def begin(self, plan: Plan, *, recovering: bool) -> None:
        """Start a run that goes by this plan."""
        self._plan, self._calls, self._dead, self.recovering, self.stop = plan, 0, False, recovering, Event()
        self._queues = {name: list(getattr(plan, name)) for name in ("adds", "all_adds", "looks", "fetches", "storage")}
        self.sent, self.added, self.fetched = [], [], Counter()
        self.answered, self.doubtful = [], []
        # What lacks its metadata may be worth a fetch.
        shown = [hashes for hashes, hidden in self.torrents.items() if not hidden and hashes in self.with_metadata]
        records = self.storage.find(list(LEADS_TO), client=self.name).items()
        self.known = {url for url, record in records if any(record.info_hashes.matches(one) for one in shown)}

    def has(self, hashes: InfoHashes, among: Collection[InfoHashes] | None = None) -> bool:
        """Tell whether the client has a torrent, shown or not."""
        return any(hashes.matches(held) for held in (self.torrents if among is None else among))

    def _next(self, queue: str) -> Any:
        return self._queues[queue].pop(0) if self._queues[queue] else None

    @contextmanager
    def _call(self, queue: str | None = None) -> Iterator[Any]:
        """Count a call of a port, stop or crash where the plan says so, and give what is planned for it."""
        if self._dead:
            raise Crash
        self._calls += 1
        if self._calls == self._plan.stop_at:
            self.stop.set()
        self._dead = self._calls == self._plan.crash_at
        if self._dead and not self._plan.crash_after:
            raise Crash
        try:
            yield self._next(queue) if queue else None
        finally:
            if self._dead:
                raise Crash

    def fetch(self, request: DownloadRequest, /) -> Torrent:
        """Serve a torrent; it must be neither at hand nor known to be in the client."""
        url = request.torrent_url
        expect(not self.recovering, "a recovery asks no tracker")
        expect(url not in self.known, "what is in the client needs no fetch")
        with self._call("fetches") as error:
            record = self.storage.find([url], client=self.name).get(url)
            expect(record is None or record.torrent is None, "its torrent is on record")
            self.fetched[url] += 1
            if error:
                raise error("no")
            if url not in LEADS_TO:
                raise e.TorrentNotFound("no such torrent")
            return LEADS_TO[url]

    def check(self) -> None:
        """Answer, or fail."""
        with self._turn, self._call("looks") as error:
            if error:
                raise error("cannot be asked")

    def status(self, info_hashes: Collection[InfoHashes], /) -> Mapping[InfoHashes, TorrentStatus]:
        """Tell what is there and not hidden."""
        with self._turn, self._call("looks") as error:
            if error and info_hashes:
                raise error("cannot be asked")
            shown = {held for held, hidden in self.torrents.items() if not hidden}
            for held in self.torrents.keys() - shown:
                self.torrents[held] -= self.has(held, info_hashes)
            seen = {asked: held for held in shown for asked in info_hashes if asked.matches(held)}
            self.absent = (self.absent - seen.keys()) | (set(info_hashes) - seen.keys())
            bare = {asked for asked, held in seen.items() if held not in self.with_metadata}
            self.bare = (self.bare - set(info_hashes)) | bare
            return {
                asked: TorrentStatus(
                    state=TorrentState.DOWNLOADING,
                    progress=0.0,
                    info_hashes=held,
                    has_metadata=held in self.with_metadata,
                )
                for asked, held in seen.items()
            }

    def complete(self, hashes: InfoHashes) -> None:
        """Let metadata arrive: what the client has of this book becomes one torrent, known by both info-hashes."""
        whole = next(each for each in BOOKS.values() if each.matches(hashes))
        mine = [held for held in self.torrents if held.matches(whole)]
        hidden = min(self.torrents.pop(held) for held in mine)
        self.torrents[whole] = hidden
        self.with_metadata.add(whole)
        if self.persisted & set(mine):
            self.persisted = (self.persisted - set(mine)) | {whole}

    def add(self, torrent: Torrent, _: AddOptions, /) -> None:
        """Do with a torrent what is planned; its record must be there, and the last lookup must have missed it."""
        hashes = torrent.info_hashes
        self._expect([torrent])
        with self._turn, self._call("adds") as planned:
            # A client that has said that it takes torrents, and has taken this one, does not call it a bad one.
            taken = self.has(hashes) and self.has(hashes, self.answered)
            answer = "duplicate" if planned == "refuse" and taken else planned
            self._hand_over(hashes, refused=answer in ("refuse", "refuse-applied", "unsupported"))
            if answer in (None, "accept", "unclear-applied", "error-applied", "refuse-applied", "bug-applied"):
                self._take(torrent)
            elif answer == "duplicate" and self.has(hashes):
                self._take(torrent)  # from a duplicate the client takes the metadata, although it says no
            if answer == "refuse-applied":
                # Such a refusal speaks of a duplicate, which the client shows.
                self.torrents |= {one: 0 for one in self.torrents if one.matches(hashes)}
            if answer in ("refuse", "refuse-applied", "duplicate"):
                self.doubtful.append(hashes)
            if error := ANSWERS.get(answer):
                raise error(answer)

    def add_all(self, torrents: Sequence[Torrent], _: AddOptions, /) -> None:
        """Do with several torrents what is planned, as with one."""
        expect(len(torrents) > 1, "one alone is added")
        self._expect(torrents)
        with self._turn, self._call("all_adds") as planned:
            answer, taken = planned or ("accept", [True])
            for torrent, is_taken in zip(torrents, cycle(taken)):
                hashes = torrent.info_hashes
                if answer != "unsupported":
                    self._hand_over(hashes, refused=False)
                if is_taken and answer not in ("unsupported", "auth"):
                    self._take(torrent)
                if answer in ("accept", "refuse", "duplicate"):
                    self.answered.append(hashes)
            if error := ANSWERS.get(answer):
                raise error(answer)

    def _expect(self, torrents: Sequence[Torrent]) -> None:
        """Check that this is the moment to hand them over."""
        expect(not self.stop.is_set(), "handed over after the stop")
        for number, torrent in enumerate(torrents):
            hashes = torrent.info_hashes
            gives_metadata = isinstance(torrent, TorrentFile) and any(one.matches(hashes) for one in self.bare)
            is_absent = any(one.matches(hashes) for one in self.absent)
            expect(is_absent or gives_metadata, "handed over without a lookup that shows its absence")
            expect(not self.has(hashes, [other.info_hashes for other in torrents[:number]]), "twice in one request")
            keys = [key for key in (hashes.v1, hashes.v2) if key]
            records = self.storage.find(keys, client=self.name).values()
            expect(any(it.torrent == torrent and it.status is DownloadStatus.RESERVED for it in records), "no record")

    def _hand_over(self, hashes: InfoHashes, *, refused: bool) -> None:
        self.absent = {one for one in self.absent if not one.matches(hashes)}
        self.bare = {one for one in self.bare if not one.matches(hashes)}
        self.sent.append((hashes, refused))

    def _take(self, torrent: Torrent) -> None:
        hashes = torrent.info_hashes
        if not self.has(hashes):
            self.torrents[hashes] = self._plan.hide
            self.added.append(hashes)
        if isinstance(torrent, TorrentFile):
            self.complete(hashes)

    def find(self, keys: Collection[str], /, *, client: str) -> Mapping[str, Download]:
        """Find, or fail."""
        return self._stored(lambda: self.storage.find(keys, client=client))

    def reserve(self, downloads: Sequence[Download], /) -> Sequence[Download]:
        """Reserve, or fail."""
        return self._stored(lambda: self.storage.reserve(downloads))

    def save(self, downloads: Sequence[Download], /) -> None:
        """Save, or fail."""
        self._stored(lambda: self.storage.save(downloads))

    def unsettled(self, *, client: str) -> Iterator[Download]:
        """Begin to look through the records, or fail."""
        self._stored(lambda: None)
        yield from self.storage.unsettled(client=client)

    def _stored(self, call: Callable[[], _T]) -> _T:
        with self._call("storage") as error:
            if error:
                raise error("the disk is full")
            return call()


class OneByOne:
    """The client of a world without the request that takes several."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.name = world.name

    def check(self) -> None:
        """Answer, or fail."""
        self._world.check()

    def add(self, torrent: Torrent, options: AddOptions, /) -> None:
        """Do with a torrent what is planned."""
        self._world.add(torrent, options)

    def status(self, info_hashes: Collection[InfoHashes], /) -> Mapping[InfoHashes, TorrentStatus]:
        """Tell what is there and not hidden."""
        return self._world.status(info_hashes)
