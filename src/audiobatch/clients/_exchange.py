"""One request to a torrent client, and its answer, within bounds: how long it takes, and how much comes.

httpx has a limit for each step, and none for the whole: a server that sends a byte now
and then stays within them for ever. So the request is made in a thread of its own, which
whoever waits for it can leave at any moment, whatever the httpx client may be made of.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import copy_context
from threading import Event, Thread
from typing import Any, Final, TypeAlias

import httpcore
import httpx
from attrs import define, field

from audiobatch._cancellation import is_cancelled
from audiobatch._fork import sever_in_child
from audiobatch._quiet import quiet

MAX_WORDS: Final = 64 * 1024
"""Bytes of an answer that is a word or a short object."""

MAX_LIST: Final = 32 * 1024 * 1024
"""Bytes of an answer that lists torrents."""

_LOOK: Final = 0.05  # seconds between two looks whether to go on waiting
_FAREWELL: Final = 0.5  # seconds that the thread gets to end, once its connection is cut
_RESET: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
_SLOWEST: Final = 64 * 1024  # bytes in a second: what an upload must reach
_UNDER_WAY: Final = 4 * 1024 * 1024  # bytes that the system may still hold of what counts as sent
_SLOW_HANDSHAKE: Final = 0.75  # seconds
_PACKED: Final = frozenset({"gzip", "x-gzip", "deflate"})
_PACKED_OTHERWISE: Final = frozenset({"br", "zstd", "compress", "x-compress"})

Streams: TypeAlias = deque[httpcore.NetworkStream]


class OutOfTime(Exception):
    """The time for all of it is over."""


class GivenUp(Exception):
    """Nobody waits for the answer any more, because the batch was stopped."""


class Unreadable(Exception):
    """The answer is too large, or compressed although that was not asked for; the message says which."""


@define
class Exchange:
    """Sends a request once, and reads the whole answer.

    Args:
        http: What sends it.
        request: What is sent.
        limit: Bytes that the answer may have, on the wire and unpacked. Of one that is no
            success, no more than `MAX_WORDS` are kept.
        streams: The connections that were opened last: those to cut if nobody waits any more.
    """

    _http: httpx.Client
    _request: httpx.Request = field(repr=False)
    _limit: int
    _streams: Streams
    _done: Event = field(factory=Event, init=False)
    _left: bool = field(default=False, init=False)
    _answer: httpx.Response | None = field(default=None, init=False)
    _error: BaseException | None = field(default=None, init=False, repr=False)
    _handshake: float | None = field(default=None, init=False)
    _sent: float | None = field(default=None, init=False)

    def wait(self, timeout: float, *, on_slow_handshake: Callable[[], None] = lambda: None) -> httpx.Response:
        """Send the request, and wait for the answer.

        Args:
            timeout: Seconds for all of it but sending a large body, which gets a second more
                for each 64 KiB.
            on_slow_handshake: Called once if TLS takes longer than it should; what it raises ends the wait.

        Returns:
            The answer, unpacked and detached from its request.

        Raises:
            OutOfTime: It took longer.
            GivenUp: The batch was stopped meanwhile.
            Unreadable: The answer is too large, or compressed.
            httpx.HTTPError: What httpx raised; it holds the request.
        """
        size = int(self._request.headers.get("Content-Length", 0))
        to_send, to_arrive = size / _SLOWEST, min(size, _UNDER_WAY) / _SLOWEST
        steps = {**dict.fromkeys(("connect", "write", "pool"), timeout), "read": timeout + to_arrive}
        self._request.extensions |= {"timeout": steps, "trace": self._trace}
        Thread(target=copy_context().run, args=(self._run,), name="audiobatch-client", daemon=True).start()
        try:
            self._wait(timeout + to_send, timeout + to_arrive, on_slow_handshake)
        except BaseException:
            self._leave()
            raise
        error, self._error = self._error, None  # which would keep itself, and the connection, alive
        if error is not None:
            raise error
        assert self._answer is not None
        return self._answer

    def _wait(self, in_all: float, once_sent: float, on_slow_handshake: Callable[[], None]) -> None:
        start = time.monotonic()
        while True:
            end = start + in_all if self._sent is None else min(start + in_all, self._sent + once_sent)
            left = end - time.monotonic()
            if self._done.wait(max(0.0, min(_LOOK, left))):
                return
            if is_cancelled():
                raise GivenUp
            if left <= 0:
                raise OutOfTime
            if self._handshake is not None and time.monotonic() - self._handshake > _SLOW_HANDSHAKE:
                self._handshake = None
                on_slow_handshake()

    def _run(self) -> None:
        try:
            with quiet():
                response = self._http.send(self._request, stream=True, follow_redirects=False)
                try:
                    self._answer = self._read(response)
                finally:
                    response.close()
        except BaseException as error:  # noqa: BLE001 - whoever waits raises it
            self._error = error
        finally:
            self._done.set()

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Follow what httpcore does: it calls this before and after each step."""
        if event.endswith("send_request_headers.started") and self._left:
            raise httpx.WriteError("nobody waits for the answer any more")
        if event.endswith("start_tls.started"):
            self._handshake = time.monotonic()
        elif event.endswith("start_tls.complete"):
            self._handshake = None
        elif event.endswith("send_request_body.complete"):
            self._sent = time.monotonic()
        if isinstance(stream := info.get("return_value"), httpcore.NetworkStream):
            self._streams.append(stream)
            if isinstance(connection := stream.get_extra_info("socket"), socket.socket):
                sever_in_child(connection)

    def _leave(self) -> None:
        """Cut the connection, so that the thread ends, which may be waiting for it."""
        self._left = True
        for stream in tuple(self._streams):
            connection = stream.get_extra_info("socket")
            if isinstance(connection, socket.socket):
                with suppress(OSError):
                    # The server hears at once that nobody reads on, however much is under way.
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    # Not that of TLS, which is not meant for a connection that another thread reads.
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
        self._streams.clear()
        self._done.wait(_FAREWELL)

    def _read(self, response: httpx.Response) -> httpx.Response:
        limit = self._limit if response.is_success else MAX_WORDS
        # A redirect and a server's error say enough without what they bring along.
        body = b"" if response.is_redirect or response.is_server_error else self._body(response, limit)
        if len(body) > limit and response.is_success:
            raise Unreadable(f"gave an answer that is larger than {limit // 1024} KiB")
        described = ("content-encoding", "content-length", "transfer-encoding")
        headers = [(name, value) for name, value in response.headers.multi_items() if name.lower() not in described]
        answer = httpx.Response(response.status_code, headers=headers, content=body[:limit])
        # Python knows encodings that are none of text ("hex"), and some that fail: no answer is to name one.
        answer.encoding = "utf-8"
        return answer

    def _body(self, response: httpx.Response, limit: int) -> bytes:
        """Return the body unpacked, or a little more than the limit of it."""
        if response.is_stream_consumed:  # a hook of the client has read it
            return response.content
        body = bytearray()
        for chunk in response.iter_raw():
            body += chunk
            if self._left or len(body) > limit:
                return bytes(body)
        return _unpacked(bytes(body), response.headers.get("content-encoding", "").strip().lower(), limit)


def _unpacked(body: bytes, encoding: str, limit: int) -> bytes:
    """Unpack what was compressed although it was not to be, as some proxies do: once, and no more than is wanted."""
    known = encoding in _PACKED
    if not known and ("," in encoding or encoding in _PACKED_OTHERWISE):
        raise Unreadable("gave an answer that is compressed in a way that was not asked for: switch that off there")
    if not known or not body:
        return body  # what is no name of a compression is on a body that has none
    bare = encoding == "deflate" and body[0] & 0x0F != zlib.DEFLATED  # without the header of zlib
    unpacking = zlib.decompressobj(-zlib.MAX_WBITS if bare else zlib.MAX_WBITS | 32)
    try:
        unpacked = unpacking.decompress(body, limit + 1)
    except zlib.error:
        unpacked = b""
    if not unpacking.eof and len(unpacked) <= limit:
        raise Unreadable("gave an answer whose compressed data is damaged")
    return unpacked
