"""Keep httpx and httpcore from logging URLs and headers while we use them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_LOGGERS: Final = (
    "httpx",  # at INFO the whole URL of each request
    # At DEBUG the headers, with cookies and the targets of redirects.
    *(f"httpcore.{part}" for part in ("connection", "http11", "http2", "proxy", "socks")),
    *("hpack.hpack", "hpack.table"),  # the same, where a client or transport that was given to us speaks HTTP/2
)
_ours: ContextVar[bool] = ContextVar("audiobatch_quiet", default=False)


def _is_not_ours(_: logging.LogRecord) -> bool:
    return not _ours.get()


for _name in _LOGGERS:
    logging.getLogger(_name).addFilter(_is_not_ours)


@contextmanager
def quiet() -> Iterator[None]:
    """Drop what those libraries log about requests made in this block; what others ask of them is logged as ever."""
    token = _ours.set(True)
    try:
        yield
    finally:
        _ours.reset(token)
