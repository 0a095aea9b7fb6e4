"""Torrents that mean harm: what the parser may take of time and memory, measured in a process of its own each."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from support.hostile_torrents import SIZE, hostile_torrents
from support.parsing import parse_apart
from support.peak import MEASURABLE

pytestmark = pytest.mark.skipif(not MEASURABLE, reason="the peak of a process can be reset on Linux alone")

SOON: Final = 1.0  # seconds of the processor
MOST: Final = 64 * 1024 * 1024  # bytes, on top of the torrent itself

HOSTILE: Final = hostile_torrents()


@pytest.mark.parametrize("name", HOSTILE)
def test_it_takes_less_than_a_second_and_64_mib(name: str, tmp_path: Path) -> None:
    """Parsing is not heard of by `stop`, nor ended by a timeout: so it has to be short whatever comes."""
    content = HOSTILE[name]()
    assert len(content) <= SIZE
    torrent = tmp_path / "hostile.torrent"
    torrent.write_bytes(content)

    cost = parse_apart(torrent)

    assert cost.seconds < SOON
    assert cost.growth < MOST


def test_a_harmless_one_takes_little(tmp_path: Path) -> None:
    """What is measured is what the parser takes, and nothing around it."""
    torrent = tmp_path / "harmless.torrent"
    torrent.write_bytes(b"d4:infod6:lengthi1e4:name4:Book12:piece lengthi16384e6:pieces20:" + bytes(20) + b"ee")

    cost = parse_apart(torrent)

    assert (cost.said, cost.growth < 1024 * 1024, cost.seconds < 0.1) == (None, True, True)
