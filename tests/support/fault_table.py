"""The faults that are tried, and the published table of what was checked on which generation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import field, frozen

from support.fault_proxy import Fault

ADD, LOOKUP, LOGIN, CHECK = "torrents/add", "torrents/info", "auth/login", "app/webapiVersion"

_HEADING = """\
# Faults

The test run (`tests/daemons/test_faults.py` with `AUDIOBATCH_WRITE_DOCS=1`) writes this table: each row is a fault that
a proxy puts between audiobatch and a real qBittorrent, and each number counts the items of mixed batches whose report
was what that qBittorrent then held. The new torrents of a batch go together in one request, and where a fault hits
the add of one alone, too, in another run one by one. Of an item that the batch ended before, the report says only that
it was not handed over; its torrent may have been there already.
"""


@frozen
class Row:
    """One fault of the table: the request that it hits, and what happens to that."""

    request: str
    what: str


@frozen
class Hit:
    """A fault, and the requests of a batch that it hits."""

    path: str
    fault: Fault
    first: int | None = None
    since: str | None = None

    @property
    def request(self) -> str:
        """Say which requests are hit."""
        name = {ADD: "add", LOOKUP: "lookup", LOGIN: "login", CHECK: "version check"}[self.path]
        number = "every" if self.first is None else f"first {self.first}" if self.first > 1 else "first"
        return f"{number} {name}{'s' if number[-1].isdigit() else ''}{' from the first add on' if self.since else ''}"

    @property
    def leaves_records(self) -> bool:
        """Tell whether a second run finds something else than the first; slow faults are not worth one."""
        behind_an_add = ADD in (self.path, self.since) or self.fault is Fault.EMPTY_LOOKUP
        return behind_an_add and self.fault not in (Fault.HANG, Fault.DRIP)


# Where a request is tried three times, a fault that hits three of them is final; one that hits less is survived.
BROKEN: Final = (Fault.DROP_ANSWER, Fault.DROP_REQUEST, Fault.BAD_GATEWAY, Fault.HTML, Fault.TRUNCATED, Fault.CUT_BODY)
# What breaks within an add of several: some of them arrive.
PARTLY: Final = (Fault.CUT_REQUEST, Fault.SOME_FILES, Fault.SOME_FILES_LOST, Fault.BAD_FILE, Fault.BAD_FILE_LOST)
HITS: Final[Sequence[tuple[Hit, ...]]] = (
    *((Hit(ADD, fault),) for fault in Fault if fault not in (Fault.EMPTY_LOOKUP, Fault.HANG)),
    *(
        (Hit(ADD, fault, 1),)
        for fault in (Fault.DROP_ANSWER, Fault.FORBIDDEN, Fault.FALSE_SUCCESS, Fault.CONFLICT, *PARTLY)
    ),
    (Hit(ADD, Fault.HANG, 2),),
    *((Hit(LOOKUP, fault, 3),) for fault in (*BROKEN, Fault.CONFLICT)),
    *((Hit(LOOKUP, fault, 1),) for fault in (Fault.DROP_ANSWER, Fault.FORBIDDEN, Fault.HANG, Fault.EMPTY_LOOKUP)),
    (Hit(LOOKUP, Fault.DRIP),),
    *((Hit(LOOKUP, fault, since=ADD),) for fault in (*BROKEN, Fault.CONFLICT, Fault.FORBIDDEN, Fault.EMPTY_LOOKUP)),
    *((Hit(LOOKUP, fault, 2, since=ADD),) for fault in (Fault.BAD_GATEWAY, Fault.EMPTY_LOOKUP)),
    *((Hit(LOOKUP, fault, 1, since=ADD),) for fault in (Fault.HANG, Fault.FORBIDDEN)),
    (Hit(LOOKUP, Fault.EMPTY_LOOKUP),),
    *((Hit(LOGIN, fault),) for fault in (*BROKEN, Fault.FALSE_SUCCESS, Fault.FORBIDDEN, Fault.CONFLICT, Fault.DRIP)),
    *((Hit(LOGIN, fault, 1),) for fault in (Fault.DROP_ANSWER, Fault.HANG)),
    *((Hit(CHECK, fault),) for fault in (*BROKEN, Fault.FALSE_SUCCESS, Fault.FORBIDDEN, Fault.CONFLICT, Fault.DRIP)),
    *((Hit(CHECK, fault, 1),) for fault in (Fault.DROP_ANSWER, Fault.HANG, Fault.FORBIDDEN)),
    # Two at once: the answer to an add is lost, and the lookups behind it do not help.
    *(
        (Hit(ADD, lost), Hit(LOOKUP, lookup, since=ADD))
        for lost in (Fault.DROP_ANSWER, Fault.FALSE_SUCCESS)
        for lookup in (Fault.EMPTY_LOOKUP, Fault.BAD_GATEWAY)
    ),
    *(
        (Hit(ADD, part, 1), Hit(ADD, alone))
        for part in (Fault.SOME_FILES, Fault.BAD_FILE)
        for alone in (Fault.DROP_ANSWER, Fault.FORBIDDEN, Fault.CONFLICT)
    ),
    (Hit(ADD, Fault.SOME_FILES), Hit(LOOKUP, Fault.EMPTY_LOOKUP, since=ADD)),
    (Hit(ADD, Fault.DROP_ANSWER, 1), Hit(LOOKUP, Fault.EMPTY_LOOKUP, since=ADD)),
    (Hit(ADD, Fault.DROP_ANSWER, 1), Hit(ADD, Fault.FORBIDDEN), Hit(LOOKUP, Fault.EMPTY_LOOKUP, since=ADD)),
)


def hits_one_alone(hits: Sequence[Hit]) -> bool:
    """Tell whether there is an add to hit, and something to be seen where that is of a single torrent."""
    return any(hit.path == ADD for hit in hits) and not any(hit.fault in PARTLY for hit in hits)


def row_of(hits: Sequence[Hit]) -> Row:
    """Describe a case for the table."""
    return Row("; ".join(hit.request for hit in hits), "; ".join(hit.fault.value for hit in hits))


def name_of(hits: Sequence[Hit]) -> str:
    """Name a case for pytest."""
    return ", ".join(f"{hit.request}: {hit.fault.name}" for hit in hits)


@frozen
class Count:
    """How many items were checked, and of how many the report was true."""

    checked: int = 0
    true: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.checked + other.checked, self.true + other.true)

    def __str__(self) -> str:
        return str(self.checked) if self.true == self.checked else f"{self.true} of {self.checked}"


@frozen
class FaultTable:
    """Collects the counts of one test run."""

    _counts: dict[tuple[Row, str], Count] = field(factory=dict, init=False)

    def add(self, row: Row, generation: str, count: Count) -> None:
        """Add what was checked in one test."""
        self._counts[row, generation] = self._counts.get((row, generation), Count()) + count

    def missing(self, rows: Sequence[Row], generations: Sequence[str]) -> list[tuple[Row, str]]:
        """Return what has not been checked in this run."""
        return [(row, name) for row in rows for name in generations if (row, name) not in self._counts]

    def render(self, rows: Sequence[Row], generations: Sequence[str]) -> str:
        """Return the table as a document."""
        counts = [[self._counts[row, name] for name in generations] for row in rows]
        totals = [sum(column, Count()) for column in zip(*counts, strict=True)]
        lines = [
            _line("request", "what happens to it", *generations),
            _line("---", "---", *("---:" for _ in generations)),
            *(_line(row.request, row.what, *line) for row, line in zip(rows, counts, strict=True)),
            _line("**total**", f"{len(rows)} faults", *(f"**{total}**" for total in totals)),
        ]
        return "\n".join([_HEADING, *lines, ""])


def _line(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"
