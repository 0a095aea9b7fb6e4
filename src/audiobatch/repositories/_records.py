"""Turn what a record holds into what a database keeps, and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from audiobatch import wire
from audiobatch.errors import InvalidRequestError, NotATorrent, RepositoryError
from audiobatch.metainfo import InfoHashes, MagnetLink, Torrent, parse_magnet, parse_torrent
from audiobatch.models import Download, DownloadStatus


def dump_request(download: Download) -> str:
    """Return the request of a record as text."""
    return json.dumps(wire.dump_request(download.request))


def dump_torrent(torrent: Torrent) -> bytes:
    """Return a torrent as bytes: a link as it is written, a file as it came."""
    return torrent.uri.encode() if isinstance(torrent, MagnetLink) else torrent.content


def _load_torrent(content: bytes | None) -> Torrent | None:
    if content is None:
        return None
    return parse_magnet(content.decode()) if content.startswith(b"magnet:") else parse_torrent(content)


def load_record(row: Sequence[Any]) -> Download:
    """Make a record of a row: number, id, client, v1, v2, request, status, created_at, and the torrent's bytes or None.

    Raises:
        RepositoryError: The row is damaged.
    """
    _, identifier, client, v1, v2, request, status, created_at, content = row
    try:
        return Download(
            id=identifier,
            request=wire.load_stored_request(json.loads(request)),
            info_hashes=InfoHashes(v1=v1, v2=v2),
            client=client,
            status=DownloadStatus(status),
            created_at=datetime.fromisoformat(created_at),
            torrent=_load_torrent(content),
        )
    except (ValueError, TypeError, InvalidRequestError, NotATorrent) as error:
        kind = type(error).__name__
    # Raised out here, for such an error can hold what was read, URL and all.
    raise RepositoryError(f"record {identifier} of the database cannot be read ({kind})")
