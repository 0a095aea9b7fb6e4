"""TLS that does not come about is named, for clients and fetchers; and it is not tried again, for it will not pass."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from audiobatch import BatchDownloader, RetryPolicy
from audiobatch.__main__ import main
from audiobatch.clients.qbittorrent import QBittorrentClient
from audiobatch.errors import ClientError, ConfigurationError, FetchError
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.metainfo import parse_torrent
from audiobatch.repositories.memory import MemoryRepository
from support.certificates import AUTHORITY, EXPIRED, GOOD, NOT_YET_VALID, OTHER_NAME, SELF_SIGNED, serving
from support.fakes import FakeFetcher, request
from support.server import Exchange, LoopbackServer
from support.torrents import book

SOON = 3.0  # seconds, for a machine that is busy; a second is for finding out what a port speaks
LONG = 30.0  # seconds that a call would wait by itself

Ask = Callable[[str], object]


DUNE = book("Dune")
ROWS = json.dumps([{"hash": parse_torrent(DUNE).info_hashes.v1}]).encode()


def answer(exchange: Exchange) -> None:
    """Be a tracker of one book, and a qBittorrent that has it."""
    body = {"webapiVersion": b"2.11.4", "info": ROWS}.get(exchange.path.rpartition("/")[2], DUNE)
    exchange.send(200, body, Content_Length=str(len(body)))


class TlsServer(LoopbackServer):
    """Speaks TLS with a certificate."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(answer)
        # The handshake is for the thread that serves, so that a refused one does no harm here.
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.url = self.url.replace("http", "https")


@contextmanager
def port_that(serves: Callable[[socket.socket], None]) -> Iterator[int]:
    """Give a port whose every connection is served like this, and closed."""
    over = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(SOON)
            serves(connection)

    def accept() -> None:
        while not over.is_set():
            with suppress(TimeoutError):
                pool.submit(serve, listening.accept()[0])

    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor() as pool:
        listening.settimeout(0.05)
        accepting = pool.submit(accept)
        yield listening.getsockname()[1]
        over.set()
        accepting.result()


def sends(said: bytes) -> Callable[[socket.socket], None]:
    """Read something, and send this, whatever it was."""

    def serve(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(said)

    return serve


def speaks_tls(connection: socket.socket) -> None:
    """Shake hands, and answer nothing that is no TLS."""
    with serving(GOOD).wrap_socket(connection, server_side=True) as secure:
        secure.recv(4096)


def waits_for_more(connection: socket.socket) -> None:
    """Be plain HTTP, and wait for the end of a request: that is what qBittorrent does when TLS comes."""
    received = b""
    while b"\r\n\r\n" not in received:
        if not (chunk := connection.recv(4096)):
            return
        received += chunk
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def check(url: str) -> None:
    """Ask it as a client does."""
    with QBittorrentClient(url, timeout=LONG) as client:
        client.check()


def fetch(url: str) -> None:
    """Ask it as a fetcher does."""
    with HttpFetcher(trusted_origins=[url], timeout=LONG) as fetcher:
        fetcher.fetch(request("Dune", torrent_url=f"{url}/Dune?passkey=s3cret"))


BOTH = pytest.mark.parametrize(("ask", "argument"), [(check, "verify="), (fetch, "tls=")], ids=["client", "fetcher"])


def trouble(ask: Ask, url: str) -> str:
    """Return what is said of it, which comes soon and does not pass by itself."""
    start = time.monotonic()
    with pytest.raises((ClientError, FetchError)) as caught:
        ask(url)
    assert time.monotonic() - start < SOON
    assert not caught.value.transient
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert "s3cret" not in str(caught.value)
    return str(caught.value)


class TestCertificates:
    """What a server shows, and who is trusted."""

    @BOTH
    @pytest.mark.parametrize("certificate", [GOOD, SELF_SIGNED], ids=["unknown authority", "self-signed"])
    def test_nobody_known_has_signed_it(self, ask: Ask, argument: str, certificate: str) -> None:
        """The message says what to give as which argument."""
        with TlsServer(serving(certificate)) as server:
            said = trouble(ask, server.url)

        assert "not accepted, because its authority is not known here" in said
        assert said.endswith(f"as {argument}")

    @pytest.mark.parametrize(
        ("certificate", "why"),
        [
            (OTHER_NAME, "it is for another name"),
            (EXPIRED, "it has expired"),
            (NOT_YET_VALID, "it is not valid yet"),
        ],
        ids=["other name", "expired", "not yet valid"],
    )
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
    def test_it_is_not_good(self, tmp_path: Path, certificate: str, why: str, host: str) -> None:
        """Although its authority is trusted."""
        authority = tmp_path / "authority.pem"
        authority.write_text(AUTHORITY)
        with TlsServer(serving(certificate)) as server:
            url = server.url.replace("127.0.0.1", host)
            with QBittorrentClient(url, verify=authority) as client:
                assert why in trouble(lambda _: client.check(), url)
            with HttpFetcher(trusted_origins=[url], tls=authority) as fetcher:
                wanted = request("Dune", torrent_url=f"{url}/Dune?passkey=s3cret")
                assert why in trouble(lambda _: fetcher.fetch(wanted), url)

    @pytest.mark.parametrize(
        ("certificate", "trusted"), [(GOOD, AUTHORITY), (SELF_SIGNED, SELF_SIGNED)], ids=["authority", "self-signed"]
    )
    @pytest.mark.parametrize("kind", [str, Path, lambda file: ssl.create_default_context(cafile=file)])
    def test_what_a_file_vouches_for_is_accepted(
        self, tmp_path: Path, certificate: str, trusted: str, kind: Callable[[Path], str | Path | ssl.SSLContext]
    ) -> None:
        """As a file or a context: of a self-signed certificate, itself."""
        file = tmp_path / "trusted.pem"
        file.write_text(trusted)
        given = kind(file)
        if isinstance(given, ssl.SSLContext):
            given.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # as Python 3.13 does by itself
            given.verify_flags &= ~ssl.VERIFY_X509_STRICT
        with TlsServer(serving(certificate)) as server:
            with QBittorrentClient(server.url, verify=given) as client:
                client.check()
            with HttpFetcher(trusted_origins=[server.url], tls=given) as fetcher:
                assert fetcher.fetch(request("Dune", torrent_url=f"{server.url}/Dune")).name == "Dune"

    @pytest.mark.parametrize("content", [None, b"", b"no certificate", b"\xff"])
    @pytest.mark.parametrize(
        ("make", "argument"),
        [
            (lambda file: QBittorrentClient("https://nas", verify=file), "verify="),
            (lambda file: HttpFetcher(tls=file), "tls="),
        ],
        ids=["client", "fetcher"],
    )
    def test_a_file_that_is_none_is_refused_at_once(
        self, tmp_path: Path, content: bytes | None, make: Callable[[Path], object], argument: str
    ) -> None:
        """With the name of the argument."""
        file = tmp_path / "x.pem"
        if content is not None:
            file.write_bytes(content)

        with pytest.raises(ConfigurationError, match=f"the file given as {argument}"):
            make(file)

    @pytest.mark.parametrize("given", [True, False, 1])
    def test_it_is_no_switch(self, given: object) -> None:
        """Whoever wants no check at all says so with a context."""
        with pytest.raises(ConfigurationError, match="takes a file of certificates"):
            QBittorrentClient("https://nas", verify=given)  # type: ignore[arg-type]

    def test_it_is_for_https_and_an_own_client(self) -> None:
        """Elsewhere it would be ignored."""
        with pytest.raises(ConfigurationError, match="verify="):
            QBittorrentClient("http://nas", verify="x.pem")
        with httpx.Client() as http, pytest.raises(ConfigurationError, match="verify="):
            QBittorrentClient("https://nas", verify="x.pem", http=http)

    def test_a_given_client_has_the_argument_itself(self) -> None:
        """The message says so."""
        with TlsServer(serving(GOOD)) as server, httpx.Client(trust_env=False) as http:
            client = QBittorrentClient(server.url, http=http)

            assert trouble(lambda _: client.check(), server.url).endswith("the http client's own verify=")


class TestTheOtherProtocol:
    """A URL with the wrong one of http and https."""

    @BOTH
    @pytest.mark.parametrize(
        "serve",
        [
            sends(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
            sends(b"<html>400 The request could not be understood</html>"),
            sends(b"SSH-2.0-OpenSSH_9.2p1\r\n"),
        ],
        ids=["HTTP", "HTML", "SSH"],
    )
    def test_https_where_no_tls_is_spoken(
        self, ask: Ask, argument: str, serve: Callable[[socket.socket], None]
    ) -> None:
        """The answer is no TLS."""
        assert argument
        with port_that(serve) as port:
            assert "does not speak TLS: is http:// meant?" in trouble(ask, f"https://127.0.0.1:{port}")

    @pytest.mark.parametrize("serve", [waits_for_more, sends(b"")], ids=["waits", "hangs up"])
    def test_https_where_plain_http_waits_or_hangs_up(self, serve: Callable[[socket.socket], None]) -> None:
        """A client asks the port once more, to say which of the two it is."""

        def picky(connection: socket.socket) -> None:
            if connection.recv(1, socket.MSG_PEEK) == b"H":
                sends(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(connection)
            else:
                serve(connection)

        with port_that(picky) as port:
            assert "does not speak TLS" in trouble(check, f"https://127.0.0.1:{port}")

    def test_http_where_tls_is_spoken(self) -> None:
        """Most servers just hang up; a client asks the port once more."""
        with port_that(speaks_tls) as port:
            assert "speaks TLS: is https:// meant?" in trouble(check, f"http://127.0.0.1:{port}")

    @pytest.mark.parametrize("alert", [b"\x15\x03\x03\x00\x02\x02\x46", b"\x15\x03\x01\x00\x02\x02\x16"])
    def test_http_where_an_alert_comes_back(self, alert: bytes) -> None:
        """Others say it in TLS."""

        def serve(connection: socket.socket) -> None:
            if connection.recv(1, socket.MSG_PEEK) == b"\x16":
                speaks_tls(connection)
            else:
                sends(alert)(connection)

        with port_that(serve) as port:
            assert "speaks TLS" in trouble(check, f"http://127.0.0.1:{port}")

    @BOTH
    @pytest.mark.parametrize(
        "page",
        [
            b"<center>The plain HTTP request was sent to HTTPS port</center>",
            b"Reason: You're speaking plain HTTP to an SSL-enabled server port.<br />",
            b"Client sent an HTTP request to an HTTPS server.\n",
        ],
        ids=["nginx", "Apache", "Go"],
    )
    def test_http_where_a_page_says_so(self, ask: Ask, argument: str, page: bytes) -> None:
        """And some in plain HTTP."""
        assert argument
        with LoopbackServer(lambda exchange: exchange.send(400, page, Content_Length=str(len(page)))) as server:
            assert "speaks TLS: is https:// meant?" in trouble(ask, server.url)

    @BOTH
    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_what_just_hangs_up_may_be_back(self, ask: Ask, argument: str, scheme: str) -> None:
        """It speaks neither, which may be so for the moment."""
        assert argument
        with port_that(sends(b"")) as port, pytest.raises((ClientError, FetchError)) as caught:
            ask(f"{scheme}://127.0.0.1:{port}")

        assert caught.value.transient


class TestHandshakes:
    """Where both speak TLS, and do not agree."""

    @BOTH
    @pytest.mark.filterwarnings("ignore:ssl:DeprecationWarning")
    def test_an_old_version(self, ask: Ask, argument: str) -> None:
        """Nothing below 1.2 is accepted."""
        assert argument
        context = serving(GOOD)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
        with TlsServer(context) as server:
            assert "too old to be safe" in trouble(ask, server.url)

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_a_certificate_of_ours_is_asked_for(self, tmp_path: Path, version: ssl.TLSVersion) -> None:
        """That takes a context."""
        file = tmp_path / "trusted.pem"
        file.write_text(AUTHORITY)
        context = serving(GOOD)
        context.maximum_version = version
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(file)
        with TlsServer(context) as server, QBittorrentClient(server.url, verify=file) as client:
            said = trouble(lambda _: client.check(), server.url)

        assert "certificate of ours" in said or "does not agree with us on TLS" in said


def test_the_command_takes_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the client, and for what it fetches from; without it, the message says what is missing."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    file, batch = tmp_path / "own.pem", tmp_path / "batch.json"
    file.write_text(SELF_SIGNED)
    with TlsServer(serving(SELF_SIGNED)) as server:
        wanted = {"title": "Dune", "author": "Frank Herbert", "torrent_url": f"{server.url}/Dune"}
        batch.write_text(json.dumps({"downloads": [wanted]}))
        command = ["run", str(batch), "--client", server.url, "--trust", server.url]

        refused, said = main(command), capsys.readouterr().out
        taken = main([*command, "--ca-file", str(file)])

    assert (refused, taken) == (1, 0)
    assert "give the file of that certificate" in said


def test_a_batch_ends_at_once() -> None:
    """It is not tried seven times."""
    with TlsServer(serving(GOOD)) as server, QBittorrentClient(server.url) as client:
        downloader = BatchDownloader(
            client=client,
            fetcher=FakeFetcher(),
            repository=MemoryRepository(),
            confirm_retry=RetryPolicy(attempts=7, wait=LONG, max_wait=LONG),
        )
        start = time.monotonic()
        result = downloader.run([request("Dune"), request("Emma")])

    assert time.monotonic() - start < SOON
    assert [failure.code for failure in result.failed] == ["client_error", "not_attempted"]
