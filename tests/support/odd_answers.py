"""Answers as odd as servers give them, byte for byte, and what a client makes of one."""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from attrs import field, frozen

from support.server import Exchange, LoopbackServer
from support.torrents import bencode

PIECE_LENGTH: Final = 16 * 1024


@frozen
class Torrent:
    """A torrent, different in each case, so that nobody takes one for another."""

    content: bytes
    info_hash: str

    def is_in(self, body: bytes) -> bool:
        """Tell whether a body is this torrent, or a magnet link to it."""
        return body.startswith(self.content) or self.info_hash.encode() in body


def torrent_of(number: int) -> Torrent:
    """Make the torrent of a case."""
    info = {"name": f"odd-{number}", "length": 3, "piece length": PIECE_LENGTH, "pieces": hashlib.sha1(b"odd").digest()}
    return Torrent(bencode({"info": info}), hashlib.sha1(bencode(info)).hexdigest())


@frozen
class Case:
    """An odd answer.

    Attributes:
        what: What is odd about it, for the table.
        answer: Makes its bytes from the torrent.
        hangs: qBittorrent's downloads hang for ever on it, all of them.
    """

    what: str
    answer: Callable[[bytes], bytes] = field(repr=False)
    hangs: bool = False


def _head(*lines: bytes, status: bytes = b"HTTP/1.1 200 OK", end: bytes = b"\r\n") -> bytes:
    return end.join((status, *lines, b"", b""))


def _plain(body: bytes, *lines: bytes, status: bytes = b"HTTP/1.1 200 OK", end: bytes = b"\r\n") -> bytes:
    """An answer that is as it should be, but for the lines that are given besides."""
    return _head(*lines, b"Content-Length: %d" % len(body), b"Connection: close", status=status, end=end) + body


def _with(*lines: bytes, status: bytes = b"HTTP/1.1 200 OK", end: bytes = b"\r\n") -> Callable[[bytes], bytes]:
    return lambda body: _plain(body, *lines, status=status, end=end)


def _first(*lines: bytes) -> Callable[[bytes], bytes]:
    return _with(*lines)


def _coded(coding: bytes, pack: Callable[[bytes], bytes] = bytes) -> Callable[[bytes], bytes]:
    return lambda body: _plain(pack(body), b"Content-Encoding: " + coding)


def _body(change: Callable[[bytes], bytes], *lines: bytes) -> Callable[[bytes], bytes]:
    return lambda body: _plain(change(body), *lines)


def _length(*values: bytes, name: bytes = b"Content-Length: ") -> Callable[[bytes], bytes]:
    """An answer whose lengths are these; N is the true one."""

    def answer(body: bytes) -> bytes:
        lines = [
            name + re.sub(rb"N([+-][0-9]+)?", lambda it: b"%d" % (len(body) + int(it[1] or 0)), value)
            for value in values
        ]
        return _head(*lines, b"Connection: close") + body

    return answer


def _chunked(
    *lines: bytes, first: bytes = b"", end: bytes = b"\r\n", last: bytes = b"0\r\n\r\n"
) -> Callable[[bytes], bytes]:
    def answer(body: bytes) -> bytes:
        return _head(*(lines or (b"Transfer-Encoding: chunked",)), b"Connection: close") + b"%x%s%s%s%s%s" % (
            len(body),
            first,
            end,
            body,
            end,
            last,
        )

    return answer


def _redirect(target: bytes, status: bytes = b"HTTP/1.1 302 Found") -> Callable[[bytes], bytes]:
    return lambda _: _plain(b"", b"Location: " + target, status=status)


def _raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


def _gzip(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0)


def _magnet(body: bytes) -> bytes:
    info = body.removeprefix(b"d4:info").removesuffix(b"e")
    return b"magnet:?xt=urn:btih:" + hashlib.sha1(info).hexdigest().encode()


CASES: Final[Sequence[Case]] = (
    Case("nothing odd", _with()),
    # The head
    Case("a header line without a colon", _first(b"this is no header")),
    Case("a header line without a colon, and the length after it", _with(b"Server x", b"X-Y: z")),
    Case("white space before the colon", _first(b"X-Cache : hit")),
    Case("white space before the colon of Content-Length", _length(b"N", name=b"Content-Length : ")),
    Case("a header without a name", _first(b": nothing")),
    Case("a header name with a space in it", _first(b"X Cache: hit")),
    Case("a header name with brackets", _first(b"X(Cache)[1]: hit")),
    Case("a header name in UTF-8", _first("Título: Duna".encode())),
    Case("a header without a value", _first(b"X-Cache:")),
    Case("a folded header", _first(b"X-Cache: hit", b"  and more")),
    Case("a folded line before the first header", _first(b" hit", b"X: y")),
    Case("UTF-8 in a value", _first('Content-Disposition: attachment; filename="Überraschung.torrent"'.encode())),
    Case("Latin-1 in a value", _first(b'Content-Disposition: attachment; filename="\xdcber.torrent"')),
    Case("a NUL in a value", _first(b"X-Cache: h\0it")),
    Case("a control character in a value", _first(b"X-Cache: h\x01it\x7f")),
    Case("a carriage return within a value", _first(b"X-Cache: h\rit")),
    Case("line ends without carriage return", _with(end=b"\n")),
    Case("line ends with two carriage returns", _with(end=b"\r\r\n")),
    Case("some line ends without carriage return", lambda body: _plain(body, b"X: y\nZ: a")),
    Case("no reason phrase", _with(status=b"HTTP/1.1 200")),
    Case("no reason phrase, but the space", _with(status=b"HTTP/1.1 200 ")),
    Case("a reason phrase in Latin-1", _with(status=b"HTTP/1.1 200 \xdcber")),
    Case("a reason phrase with a control character", _with(status=b"HTTP/1.1 200 O\x01K")),
    Case("HTTP/1.0", _with(status=b"HTTP/1.0 200 OK")),
    Case("HTTP/1.2", _with(status=b"HTTP/1.2 200 OK")),
    Case("HTTP/2 in the status line", _with(status=b"HTTP/2 200 OK")),
    Case("HTTP/2.0 in the status line", _with(status=b"HTTP/2.0 200 OK")),
    Case("http/1.1 in lower case", _with(status=b"http/1.1 200 OK")),
    Case("two spaces in the status line", _with(status=b"HTTP/1.1  200  OK")),
    Case("a tab in the status line", _with(status=b"HTTP/1.1\t200\tOK")),
    Case("ICY 200 OK", _with(status=b"ICY 200 OK")),
    Case("a status of two digits", _with(status=b"HTTP/1.1 20 OK")),
    Case("a status of four digits", _with(status=b"HTTP/1.1 2000 OK")),
    Case("an empty line before the status line", lambda body: b"\r\n" + _plain(body)),
    Case("no status line: HTTP/0.9", bytes),
    Case("a header of 30,000 bytes", _first(b"X-Cache: " + b"h" * 30_000)),
    Case("a header of 90,000 bytes", _first(b"X-Cache: " + b"h" * 90_000)),
    Case("300 headers", _first(*(b"X-%d: y" % number for number in range(300)))),
    Case("an odd Set-Cookie", _first(b"Set-Cookie: =; ;;expires=never; \xff", b"Set-Cookie:")),
    Case("a status 103 before", lambda body: b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + _plain(body)),
    Case("a status 100 before", lambda body: b"HTTP/1.1 100 Continue\r\n\r\n" + _plain(body)),
    Case(
        "a header without a colon in a status 103 before",
        lambda body: b"HTTP/1.1 103 Early Hints\r\nodd\r\n\r\n" + _plain(body, b"odd"),
    ),
    # Where the body ends
    Case("no length, the connection ends", lambda body: _head(b"Connection: close") + body),
    Case("the same Content-Length twice", _length(b"N", b"N")),
    Case("the same Content-Length twice in a list", _length(b"N, N")),
    Case("two Content-Lengths", _length(b"N", b"N+5")),
    Case("Content-Length with a plus", _length(b"+N")),
    Case("Content-Length with a minus", _length(b"-N")),
    Case("Content-Length in words", _length(b"many")),
    Case("Content-Length empty", _length(b"")),
    Case("Content-Length with white space around", _length(b"   N   ")),
    Case("Content-Length with leading zeros", _length(b"000N")),
    Case("Content-Length larger than the body", _length(b"N+5")),
    Case("Content-Length smaller than the body", _length(b"N-5")),
    Case("chunks", _chunked()),
    Case("chunks with an extension", _chunked(first=b";name=value")),
    Case("chunks with trailers", _chunked(last=b"0\r\nX: y\r\n\r\n")),
    Case("chunks with an odd trailer", _chunked(last=b"0\r\nodd\r\n\r\n")),
    Case("chunks without the last one", _chunked(last=b"")),
    Case("chunks with line ends without carriage return", _chunked(end=b"\n", last=b"0\n\n"), hangs=True),
    Case("chunks with white space after the size", _chunked(first=b"  ")),
    Case("chunks and Content-Length", _chunked(b"Transfer-Encoding: chunked", b"Content-Length: 5")),
    Case("Transfer-Encoding: Chunked", _chunked(b"Transfer-Encoding: Chunked")),
    Case("Transfer-Encoding: identity", _with(b"Transfer-Encoding: identity")),
    Case("Transfer-Encoding chunked twice", _chunked(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked")),
    Case("chunks announced, but none there", _first(b"Transfer-Encoding: chunked"), hangs=True),
    # The status
    Case("203 Non-Authoritative", _with(status=b"HTTP/1.1 203 Non-Authoritative Information")),
    Case("206 Partial Content, all of it", _with(status=b"HTTP/1.1 206 Partial Content")),
    Case("226 IM Used", _with(status=b"HTTP/1.1 226 IM Used")),
    Case("299, a status of nobody", _with(status=b"HTTP/1.1 299 Fine")),
    Case("204 No Content, with a body", _with(status=b"HTTP/1.1 204 No Content")),
    Case("302 without Location, with the torrent", _with(status=b"HTTP/1.1 302 Found")),
    Case("404 with the torrent", _with(status=b"HTTP/1.1 404 Not Found")),
    Case("500 with the torrent", _with(status=b"HTTP/1.1 500 Oh")),
    Case("200 with a Location", _with(b"Location: /nowhere")),
    # Where it leads; /plain/N gives the torrent of case N as it should be
    Case("300 with Location", _redirect(b"/plain/N", b"HTTP/1.1 300 Multiple Choices")),
    Case("Location relative to the folder", _redirect(b"../plain/N")),
    Case("Location with a fragment", _redirect(b"/plain/N#part")),
    Case("Location without a scheme", _redirect(b"//127.0.0.1:PORT/plain/N")),
    Case("Location with HTTP:// in upper case", _redirect(b"HTTP://127.0.0.1:PORT/plain/N")),
    Case("Location with a space", _redirect(b"/plain/N/a b.torrent")),
    Case("Location with white space around", _redirect(b"   /plain/N   ")),
    Case("Location in UTF-8", _redirect("/plain/N/Überraschung".encode())),
    Case("Location in Latin-1", _redirect(b"/plain/N/\xdcberraschung")),
    Case("Location with brackets", _redirect(b"/plain/N/[m4b]{1}|x")),
    Case("Location with a stray percent sign", _redirect(b"/plain/N/100%")),
    Case("Location with a query alone", _redirect(b"?plain=N")),
    Case(
        "Location to a magnet link", lambda body: _plain(b"", b"Location: " + _magnet(body), status=b"HTTP/1.1 302 F")
    ),
    Case("Location to a torrent called Login.to.Murder", _redirect(b"/plain/N/Login.to.Murder.torrent")),
    Case("Location to a torrent called sign-in-the-dark", _redirect(b"/plain/N/sign-in-the-dark.torrent")),
    Case("Location below a folder called log-in-blue", _redirect(b"/plain/N/log-in-blue/file")),
    # How it is packed
    *(
        Case(f"Content-Encoding: {coding or '(empty)'}, not packed", _coded(coding.encode()))
        for coding in (
            "identity",
            "none",
            "None",
            "utf-8",
            "UTF-8",
            "binary",
            "8bit",
            "",
            "application/x-bittorrent",
            "chunked",
            "gzip",
            "deflate",
            "br",
            "zstd",
            "compress",
            "identity, identity",
            "utf-8, gzip",
        )
    ),
    Case("Content-Encoding: gzip", _coded(b"gzip", _gzip)),
    Case("Content-Encoding: GZip", _coded(b"GZip", _gzip)),
    Case("Content-Encoding: x-gzip", _coded(b"x-gzip", _gzip)),
    Case("Content-Encoding: deflate, with the zlib wrapper", _coded(b"deflate", zlib.compress)),
    Case("Content-Encoding: deflate, raw", _coded(b"deflate", _raw_deflate)),
    Case("Content-Encoding: deflate, packed with gzip", _coded(b"deflate", _gzip)),
    Case("Content-Encoding: gzip, packed with zlib", _coded(b"gzip", zlib.compress)),
    Case("gzip, gzip", _coded(b"gzip, gzip", lambda body: _gzip(_gzip(body)))),
    Case("gzip named twice, packed once", _coded(b"gzip, gzip", _gzip)),
    Case("gzip and identity", _coded(b"gzip, identity", _gzip)),
    Case("deflate, gzip", _coded(b"deflate, gzip", lambda body: _gzip(zlib.compress(body)))),
    Case("gzip of gzip, named once", _coded(b"gzip", lambda body: _gzip(_gzip(body)))),
    Case("gzip that lacks its end", _coded(b"gzip", lambda body: _gzip(body)[:-8])),
    Case("gzip with a wrong check sum", _coded(b"gzip", lambda body: _gzip(body)[:-8] + bytes(8))),
    Case("gzip with bytes after it", _coded(b"gzip", lambda body: _gzip(body) + b"\r\n")),
    Case("gzip in two members", _coded(b"gzip", lambda body: _gzip(body[:20]) + _gzip(body[20:]))),
    Case("gzip without any header", _body(_gzip)),
    Case("gzip, said by Content-Type alone", _body(_gzip, b"Content-Type: application/gzip")),
    # The body
    Case("Content-Type: text/html", _first(b"Content-Type: text/html; charset=utf-8")),
    Case("white space before the torrent", _body(lambda body: b"\r\n" + body)),
    Case("a BOM before the torrent", _body(lambda body: b"\xef\xbb\xbf" + body)),
    Case("a line end after the torrent", _body(lambda body: body + b"\r\n")),
    Case("a PHP warning before the torrent", _body(lambda body: b"<br />\n<b>Warning</b>: x" + body)),
    Case("a magnet link as text", _body(_magnet)),
    Case("a magnet link with BOM and white space", _body(lambda body: b"\xef\xbb\xbf\r\n" + _magnet(body) + b"\r\n")),
)


@frozen
class OddServer:
    """Sends each case's answer, byte for byte, and closes the connection."""

    url: str
    torrents: Sequence[Torrent] = field(repr=False)

    def url_of(self, number: int) -> str:
        """Return where a case is to be had."""
        return f"{self.url}/odd/{number}"

    def answer(self, target: str) -> bytes:
        """Return the bytes to send for the target of a request."""
        found = re.match(r"/(odd|plain)/([0-9]+)", target) or re.match(r"/()odd/[0-9]+\?plain=([0-9]+)", target)
        plain = re.search(r"\?plain=([0-9]+)", target)
        if found is None:
            return _plain(b"not here", status=b"HTTP/1.1 404 Not Found")
        number = int(plain[1]) if plain else int(found[2])
        torrent = self.torrents[number].content
        if found[1] == "plain" or plain:
            return _plain(torrent)
        port = self.url.rpartition(":")[2].encode()
        sent = CASES[number].answer(torrent)
        return re.sub(
            rb"(?m)^Location:.*",
            lambda it: it[0].replace(b"N", b"%d" % number, 1).replace(b"PORT", port),
            sent,
            count=1,
        )


@contextmanager
def odd_server() -> Iterator[OddServer]:
    """Give a server that is asked on loopback."""
    asked: list[str] = []

    def answer(exchange: Exchange) -> None:
        line = exchange.rfile.readline(65536).split()
        if len(line) < 2:
            return  # no request: a connection that was opened for later, or one to find out what is spoken here
        target = line[1].decode("latin-1")
        asked.append(target)
        while exchange.rfile.readline(65536).strip():
            pass
        exchange.wfile.write(odd.answer(target))

    with LoopbackServer(answer, raw=True) as server:
        odd = OddServer(server.url, [torrent_of(number) for number in range(len(CASES))])
        yield odd


_HEADING: Final = """\
# Odd answers

Servers do not always send what RFC 9110 and RFC 9112 ask for. The rule here: what curl and qBittorrent take, audiobatch
takes. The test run (`tests/daemons/test_odd_answers.py` with `AUDIOBATCH_WRITE_DOCS=1`) sends each of these answers,
byte for byte, to `curl -L` (with and without `--compressed`), to real qBittorrents that are given the URL, and to
`HttpFetcher`, and writes what they made of it. Where audiobatch takes no torrent, its own sentence says why.
"""


def render(
    generations: Sequence[str], curls: Sequence[bool], qbittorrents: Sequence[Sequence[bool]], ours: Sequence[str]
) -> str:
    """Return the table as a document; of ours, an empty sentence is a torrent that was taken."""
    lines = [
        _line("what is odd", "curl", *generations, "audiobatch"),
        _line("---", "---", *("---" for _ in generations), "---"),
    ]
    for number, case in enumerate(CASES):
        others = [_word(answers[number]) if not case.hangs else "hangs" for answers in qbittorrents]
        lines.append(_line(case.what, _word(curls[number]), *others, ours[number] or "yes"))
    return "\n".join([_HEADING, *lines, ""])


def _word(taken: bool) -> str:  # noqa: FBT001  it stands alone
    return "yes" if taken else "no"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
