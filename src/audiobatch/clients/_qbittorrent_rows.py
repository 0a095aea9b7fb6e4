"""Read what qBittorrent's list of torrents (``torrents/info``) says of each: rows in, statuses out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import httpx

from audiobatch.clients._json_rows import rows_in
from audiobatch.errors import ClientUnavailable
from audiobatch.metainfo import InfoHashes
from audiobatch.models import TorrentState, TorrentStatus

# Every state of 4.1 to 5.3. One that is not here is newer, and counts as downloading.
_STATES: Final = {
    **dict.fromkeys(("error", "missingFiles", "unknown"), TorrentState.ERROR),
    **dict.fromkeys(("uploading", "queuedUP", "stalledUP", "forcedUP", "pausedUP", "stoppedUP"), TorrentState.COMPLETE),
    **dict.fromkeys(
        ("checkingUP", "checkingDL", "checkingResumeData", "queuedForChecking", "moving"), TorrentState.CHECKING
    ),
    **dict.fromkeys(
        ("downloading", "metaDL", "forcedMetaDL", "stalledDL", "forcedDL", "allocating"), TorrentState.DOWNLOADING
    ),
    **dict.fromkeys(("pausedDL", "stoppedDL"), TorrentState.PAUSED),
    "queuedDL": TorrentState.QUEUED,
}
_IDS: Final = ("hash", "infohash_v1", "infohash_v2")

Row = Mapping[str, Any]
"""One torrent of the list, as it came."""


def rows_of(answer: httpx.Response) -> Iterator[Row]:
    """Yield the rows of an answer.

    Raises:
        ClientUnavailable: It is no list of torrents.
    """
    try:
        yield from rows_in(answer.content)
    except ValueError:
        broken = True
    else:
        broken = False
    # Raised out here, because the error of a parser holds what it was given.
    if broken:
        raise ClientUnavailable("qBittorrent gave a list of torrents that cannot be read")


def statuses_by_id(rows: Iterable[Row]) -> dict[str, TorrentStatus]:
    """Give the status of each torrent under each id that its row names."""
    found: dict[str, TorrentStatus] = {}
    for row in rows:
        found |= dict.fromkeys(_ids(row), _status(row))
    return found


def _ids(row: Row) -> Iterator[str]:
    return (str(row[key]).lower() for key in _IDS if row.get(key))


def _status(row: Row) -> TorrentStatus:
    progress = row.get("progress")
    has_metadata = _has_metadata(row)
    return TorrentStatus(
        state=_STATES.get(str(row.get("state")), TorrentState.DOWNLOADING),
        # The order of the comparison makes a NaN count as 0.
        progress=float(min(1, max(0, progress))) if isinstance(progress, int | float) else 0.0,
        info_hashes=_info_hashes(row, complete=has_metadata is True),
        has_metadata=has_metadata,
    )


def _has_metadata(row: Row) -> bool | None:
    """Tell by the field that 5.1 and later have; on 4.5.2, the size of what has no metadata is -1."""
    told, size = row.get("has_metadata"), row.get("total_size")
    if isinstance(told, bool):
        return told
    return size != -1 if isinstance(size, int) else None


def _info_hashes(row: Row, *, complete: bool) -> InfoHashes | None:
    """Read the fields of 4.4 and later; before that there is ``hash`` alone, which may be of either kind."""
    v1, v2 = (str(row.get(key) or "").lower() or None for key in _IDS[1:])
    try:
        return InfoHashes(v1=v1, v2=v2, complete=complete)
    except ValueError:
        return None
