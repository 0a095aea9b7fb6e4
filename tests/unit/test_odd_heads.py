"""Heads of answers that are not as RFC 9112 wants them, and what h11 gets to read in their stead."""

from __future__ import annotations

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from audiobatch import DownloadRequest
from audiobatch.errors import FetchUnavailable
from audiobatch.fetchers._heads import HeadReader, readable
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.metainfo import TorrentFile
from support.server import Exchange, LoopbackServer
from support.torrents import book
from support.tracker import LOOPBACK

BODY = book("Dune", comment=b"HTTP/1.1 200 OK\r\nno header\r\n\r\n")
STATUS = b"HTTP/1.1 200 OK"


def head(*lines: bytes, end: bytes = b"\r\n") -> bytes:
    """Write a head."""
    return end.join((STATUS, *lines, b"", b""))


def headers_of(raw: bytes) -> list[tuple[bytes, bytes]]:
    """Let h11 read a head."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    connection.receive_data(raw)
    response = connection.next_event()
    assert isinstance(response, h11.Response)
    return list(response.headers)


def fetch(answer: bytes) -> object:
    """Fetch from a server that answers like this."""

    def send(exchange: Exchange) -> None:
        while exchange.rfile.readline().strip():
            pass
        exchange.wfile.write(answer)

    with LoopbackServer(send, raw=True) as server, HttpFetcher(allowed_networks=LOOPBACK) as fetcher:
        return fetcher.fetch(DownloadRequest(title="Dune", author="A", torrent_url=server.url))


@pytest.mark.parametrize(
    "line",
    [
        *(b"no colon", b": no name", b"two words: x", b"name : x", b"\0: x", b"x: \0", b"\xff: x", b"a\x0bb: c"),
        *(
            b"(x): y",
            b" folded into nothing",
            b"\tx: y",
            b"<b>Warning</b>: x",
            b"no colon\r\n and its fold",
            b"x: a\rb",
        ),
        *(b"Transfer-Encoding: identity", b"Content-Length\t:\t+%d" % len(BODY), b"Content-Length : %d" % len(BODY)),
    ],
)
@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_a_line_that_says_nothing_is_passed_over(line: bytes, end: bytes) -> None:
    """The torrent behind it is taken, byte for byte."""
    torrent = fetch(head(line, b"Content-Length: %d" % len(BODY), end=end) + BODY)

    assert isinstance(torrent, TorrentFile)
    assert torrent.content == BODY


@pytest.mark.parametrize(
    "lines",
    [
        (b"Content-Length: 5", b"Content-Length : 6"),
        (b"Content-Length: +5", b"Content-Length: 6"),
        (b"Content-Length: -5",),
        (b"Content-Length: \x00",),
        (b"Transfer-Encoding: chunked, identity",),
        (b"Transfer-Encoding : gzip",),
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip"),
    ],
)
def test_where_the_body_ends_is_not_guessed(lines: tuple[bytes, ...]) -> None:
    """What contradicts itself, or is not known, is refused as before."""
    with pytest.raises(FetchUnavailable, match="broken answer"):
        fetch(head(*lines) + BODY)


def test_a_connection_with_such_a_head_is_not_used_again() -> None:
    """Who knows where its next answer would begin; one whose head is right stays as it is."""
    assert (b"connection", b"close") in headers_of(readable(head(b"odd", b"Content-Length: 0")))
    right = head(b"A: b", b" c", b"D:", b"E: \xff\x01")
    assert readable(right) == right


def test_chunks_announced_twice_are_chunks() -> None:
    """They cannot be in chunks of chunks."""
    twice = head(b"Transfer-Encoding: chunked", b"Transfer-encoding :Chunked ")

    assert headers_of(readable(twice)) == [(b"transfer-encoding", b"chunked"), (b"connection", b"close")]


def test_heads_alone_are_touched() -> None:
    """After an interim answer comes another head; and one comes for each request on a connection."""
    interim = b"HTTP/1.1 103 Early Hints\r\nodd\r\n\r\n"
    clean = b"HTTP/1.1 103 Early Hints\r\nConnection: close\r\n\r\n" + head(b"A: b", b"Connection: close")
    reader = HeadReader()

    assert reader.take(b"HTTP/1.1 odd\r\nodd\r\n\r\n") == b"HTTP/1.1 odd\r\nodd\r\n\r\n"
    for _ in range(2):
        reader.expect()
        assert reader.take(b"\r\n" + interim + head(b"A: b", b"odd") + BODY) == clean + BODY
        assert reader.take(BODY) == BODY


@pytest.mark.parametrize("start", [b"\x05\x00", b"SSH-2.0", b"HTTPS", b"\r\n\r\nx", b"\x15\x03\x01"])
def test_what_is_no_head_is_given_on_at_once(start: bytes) -> None:
    """As the answers of a SOCKS proxy are: nobody must wait for an empty line in them."""
    reader = HeadReader()
    reader.expect()

    assert reader.take(start) == start


def test_a_head_is_kept_within_bounds() -> None:
    """What is longer than h11 reads is for h11 to refuse."""
    reader = HeadReader()
    reader.expect()
    line = b"X: " + b"y" * 10_000 + b"\r\n"
    given = [reader.take(piece) for piece in (STATUS + b"\r\n", *[line] * 12)]

    assert given[0] == b""
    assert b"".join(given) == STATUS + b"\r\n" + line * 12


@given(
    st.lists(st.binary(max_size=12) | st.sampled_from([b"\r\n", b"\n", b"\r\n\r\n", STATUS, b"A: b", b" c", b"x"])),
    st.integers(1, 9),
)
@example([STATUS], 1)
def test_how_it_is_cut_makes_no_difference(parts: list[bytes], size: int) -> None:
    """Nothing is lost, whatever comes and however; what is left in the end comes with the end."""
    raw = STATUS + b"\r\n" + b"".join(parts)
    whole, cut = HeadReader(), HeadReader()
    whole.expect()
    cut.expect()

    given = b"".join(cut.take(raw[at : at + size]) for at in range(0, len(raw), size)) + cut.take(b"")

    assert given == whole.take(raw) + whole.take(b"")
