"""Magnet links in every spelling: what a real qBittorrent or libtorrent takes, we hand over, and it shows."""

from __future__ import annotations

import time
from typing import Any, Final

import pytest

from audiobatch import BatchDownloader, DownloadRequest
from audiobatch.errors import InvalidRequestError, NotATorrent
from audiobatch.metainfo import InfoHashes, parse_magnet
from support.fakes import codes
from support.magnets import SPELLINGS, link
from support.qbittorrent import Daemon

pytestmark = pytest.mark.daemon
lt: Any = pytest.importorskip("libtorrent")

SHOWN_WITHIN: Final = 5.0  # seconds, for a daemon on a busy machine

# libtorrent goes by the last of them, others by the first: which book is meant is not certain.
AMBIGUOUS: Final = {"two torrents"}


def ours(spelling: str) -> InfoHashes | None:
    """Return what we take for the info-hashes, or None if we refuse."""
    try:
        return parse_magnet(link(spelling)).info_hashes
    except NotATorrent:
        return None


def of_libtorrent(spelling: str) -> InfoHashes | None:
    """Return what libtorrent takes for the info-hashes, or None if it refuses or finds nothing but zeros."""
    try:
        found = lt.parse_magnet_uri(link(spelling)).info_hashes
    except RuntimeError:
        return None
    v1, v2 = str(found.v1) if found.has_v1() else None, str(found.v2) if found.has_v2() else None
    return InfoHashes(v1=v1, v2=v2) if v1 or v2 else None


def shown(daemon: Daemon) -> list[InfoHashes]:
    """Return the info-hashes of everything in the daemon."""
    return [
        InfoHashes(v1=str(row["infohash_v1"]) or None, v2=str(row["infohash_v2"]) or None) for row in daemon.torrents()
    ]


def of_daemon(daemon: Daemon, spelling: str) -> InfoHashes | None:
    """Offer the link as it is, and return under which info-hashes it shows, or None if it does not."""
    before = shown(daemon)
    answer = daemon.session.post("torrents/add", data={"urls": link(spelling), "paused": "true", "stopped": "true"})
    taken = answer.status_code == 200 and answer.text != "Fails."
    deadline = time.monotonic() + SHOWN_WITHIN
    while taken and time.monotonic() < deadline:
        new = [hashes for hashes in shown(daemon) if hashes not in before]
        if new:
            assert len(new) == 1, spelling
            return new[0]
        time.sleep(0.02)
    return None


def test_what_a_daemon_takes_is_handed_over_under_its_hash(daemon: Daemon) -> None:
    """Of the links as they came: none is refused that the daemon or libtorrent takes, and no info-hash is another."""
    for spelling in SPELLINGS.keys() - AMBIGUOUS:
        for theirs in (of_daemon(daemon, spelling), of_libtorrent(spelling)):
            assert theirs in (None, ours(spelling)), spelling


def test_what_is_handed_over_shows_under_our_hash(downloader: BatchDownloader, daemon: Daemon) -> None:
    """Each link that we admit is queued in the spelling that we give it, and nothing else comes with it."""
    expected = {spelling: hashes for spelling in SPELLINGS if (hashes := ours(spelling))}
    assert len(expected) > 60
    requests = [
        DownloadRequest(title=spelling, author="A", torrent_url=link(spelling), paused=True) for spelling in expected
    ]

    for part in (requests[:50], requests[50:]):
        result = downloader.run(part)
        assert codes(result) == ["ok"] * len(part)
        assert [done.info_hashes for done in result.successful] == [expected[asked.title] for asked in part]
        assert [done.request for done in result.successful] == part

    assert sorted(shown(daemon), key=str) == sorted(expected.values(), key=str)


@pytest.mark.parametrize("spelling", sorted(AMBIGUOUS | {"zeros"}))
def test_what_is_not_certain_is_refused(spelling: str) -> None:
    """Although libtorrent takes it, for what it is worth."""
    with pytest.raises(InvalidRequestError):
        DownloadRequest(title="Book", author="A", torrent_url=link(spelling))
