"""A process that is attacked: it asks a bad server, and tells what came of it and what that took."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx
from attrs import asdict, frozen

from audiobatch.clients.qbittorrent import QBittorrentClient
from audiobatch.errors import AudiobatchError
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.metainfo import InfoHashes
from audiobatch.models import DownloadRequest
from support.peak import memory, reset_peak


@frozen
class Damage:
    """What a call came to.

    Attributes:
        error: The class of the error that it raised, if any.
        growth: Bytes by which the memory of the process grew at the most meanwhile.
        seconds: How long it took.
    """

    error: str | None
    growth: int
    seconds: float


def attacked(harmless: str, url: str, *, who: str = "fetcher", **options: float) -> Damage:
    """Let a new process ask at the one URL, to have done it once, and then at the other with these options.

    Args:
        harmless: Where the answer is as it should be.
        url: Where the attacker listens.
        who: What asks, of `CALLS`.
        options: For its constructor.
    """
    program = [sys.executable, "-m", "support.attacked", who, harmless, url, json.dumps(options)]
    tests = Path(__file__).parent.parent
    ended = subprocess.run(program, stdout=subprocess.PIPE, check=True, timeout=60, cwd=tests)
    return Damage(**json.loads(ended.stdout))


def _fetch(url: str, **options: float) -> None:
    request = DownloadRequest(title="Dune", author="Frank Herbert", torrent_url=url)
    with HttpFetcher(allowed_networks=["127.0.0.0/8"], **options) as fetcher:  # type: ignore[arg-type]
        fetcher.fetch(request)


def _check(url: str, **options: float) -> None:
    with QBittorrentClient(url, **options) as client:  # type: ignore[arg-type]
        client.check()


def _look_up(url: str, **options: float) -> None:
    with QBittorrentClient(url, **options) as client:  # type: ignore[arg-type]
        client.status([InfoHashes(v1="0" * 40, complete=True)])


def _check_through_a_given_client(url: str, **options: float) -> None:
    with httpx.Client(trust_env=False) as http:
        QBittorrentClient(url, http=http, **options).check()  # type: ignore[arg-type]


def _look_up_through_a_given_client(url: str, **options: float) -> None:
    with httpx.Client(trust_env=False) as http:
        QBittorrentClient(url, http=http, **options).status([InfoHashes(v1="0" * 40, complete=True)])  # type: ignore[arg-type]


CALLS: Final[dict[str, Callable[..., None]]] = {
    "fetcher": _fetch,
    "check": _check,
    "look up": _look_up,
    "check, given": _check_through_a_given_client,
    "look up, given": _look_up_through_a_given_client,
}


def _suffer(call: Callable[..., None], url: str, **options: float) -> Damage:
    error = None
    # What the system says, for a tracer of Python's own would not see what zlib and OpenSSL take.
    reset_peak()
    before, start = memory("VmRSS"), time.monotonic()
    try:
        call(url, **options)
    except AudiobatchError as caught:
        error = type(caught).__name__
    seconds = time.monotonic() - start
    return Damage(error, memory("VmHWM") - before, seconds)


if __name__ == "__main__":
    _, who, harmless, url, options = sys.argv
    CALLS[who](harmless)
    print(json.dumps(asdict(_suffer(CALLS[who], url, **json.loads(options)))))  # noqa: T201
