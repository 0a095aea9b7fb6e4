"""A process that is attacked: it fetches from a bad server, and tells what came of it and what that took."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from attrs import asdict, frozen

from audiobatch.errors import FetchError
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.models import DownloadRequest
from support.peak import memory, reset_peak


@frozen
class Damage:
    """What a fetch came to.

    Attributes:
        error: The class of the error that it raised, if any.
        growth: Bytes by which the memory of the process grew at the most meanwhile.
        seconds: How long it took.
    """

    error: str | None
    growth: int
    seconds: float


def attacked(harmless: str, url: str, **options: float) -> Damage:
    """Let a new process fetch from the one URL, to have done it once, and then from the other with these options."""
    program = [sys.executable, "-m", "support.attacked", harmless, url, json.dumps(options)]
    tests = Path(__file__).parent.parent
    ended = subprocess.run(program, stdout=subprocess.PIPE, check=True, timeout=60, cwd=tests)
    return Damage(**json.loads(ended.stdout))


def _fetch(url: str, **options: int) -> None:
    request = DownloadRequest(title="Dune", author="Frank Herbert", torrent_url=url)
    with HttpFetcher(allowed_networks=["127.0.0.0/8"], **options) as fetcher:  # type: ignore[arg-type]
        fetcher.fetch(request)


def _suffer(url: str, **options: int) -> Damage:
    error = None
    # What the system says, for a tracer of Python's own would not see what zlib and OpenSSL take.
    reset_peak()
    before, start = memory("VmRSS"), time.monotonic()
    try:
        _fetch(url, **options)
    except FetchError as caught:
        error = type(caught).__name__
    seconds = time.monotonic() - start
    return Damage(error, memory("VmHWM") - before, seconds)


if __name__ == "__main__":
    _fetch(sys.argv[1])
    print(json.dumps(asdict(_suffer(sys.argv[2], **json.loads(sys.argv[3])))))  # noqa: T201
