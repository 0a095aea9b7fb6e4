"""How a fetcher connects: with TLS, over and over, to the next address, in time, and through a proxy."""

from __future__ import annotations

import base64
import itertools
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpcore
import pytest

from audiobatch.errors import (
    AudiobatchError,
    BlockedAddress,
    ConfigurationError,
    FetchDenied,
    FetchError,
    FetchUnavailable,
)
from audiobatch.fetchers import _addresses
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.metainfo import Torrent, TorrentFile
from audiobatch.models import DownloadRequest
from support.errors import family
from support.resolver import Net
from support.server import PATIENCE, Exchange, LoopbackServer
from support.torrents import book
from support.tracker import Tracker
from support.waiting import wait_until

SOON = PATIENCE / 2  # seconds: long before anything here would give up by itself
PUBLIC, SECOND = "8.8.8.8", "8.8.4.4"
HTTP, HTTPS = "http://tracker.example/v1/Dune?passkey=s3cret", "https://tracker.example/v1/Dune?passkey=s3cret"
BODY = book("Dune")

# For these tests alone: a key, and a certificate for tracker.example that is signed with it, until 2126.
KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgw7lybTvcJr2ItkQ9
y8sRoff1Yjy1t1zp/Ky3I5wMKJShRANCAAR6HlEG+M63vMhZYnD+Xj/GXDEbrwi8
hILUrk7+09ZqGnTO85V/K6hBvv6TGgAb2vekUBiVpX3mC5IO+Sw2g7yY
-----END PRIVATE KEY-----
"""
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBuTCCAV+gAwIBAgIUBXPmh48WaIENQ2QBF1VSyhjV4EkwCgYIKoZIzj0EAwIw
GzEZMBcGA1UEAwwQYXVkaW9iYXRjaCB0ZXN0czAgFw0yNjExMjMwNzQyMTdaGA8y
MTI2MTAzMDA3NDIxN1owGzEZMBcGA1UEAwwQYXVkaW9iYXRjaCB0ZXN0czBZMBMG
ByqGSM49AgEGCCqGSM49AwEHA0IABHoeUQb4zre8yFlicP5eP8ZcMRuvCLyEgtSu
Tv7T1moadM7zlX8rqEG+/pMaABva96RQGJWlfeYLkg75LDaDvJijfzB9MB0GA1Ud
DgQWBBQ6K/U5PXAS6vQwbgH5aUKHHu68TTAfBgNVHSMEGDAWgBQ6K/U5PXAS6vQw
bgH5aUKHHu68TTAaBgNVHREEEzARgg90cmFja2VyLmV4YW1wbGUwDwYDVR0TAQH/
BAUwAwEB/zAOBgNVHQ8BAf8EBAMCAoQwCgYIKoZIzj0EAwIDSAAwRQIgRYl1kaNB
Q8v6gkuKuZXByHhRRqnW7H+Dctroj8srMskCIQCm8wV2l/sbgsipVm5BpGs4UpcD
dGlMJO1lJ1BsQOilRQ==
-----END CERTIFICATE-----
"""


class Server(LoopbackServer):
    """Serves one book, as a tracker or as a proxy, over connections that stay open.

    Attributes:
        asked: What was asked for, in order.
        names: Whom each TLS connection was meant for.
        headers: Of each request.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, *, tunnels: bool = False) -> None:
        self.asked: list[str] = []
        self.names: list[str | None] = []
        self.headers: list[dict[str, str]] = []
        super().__init__(self._serve)
        if tls is not None:
            tls.sni_callback = lambda _, name, __: self.names.append(name)
        if tunnels:
            assert tls is not None
            self._server.RequestHandlerClass = self._tunnel(tls)
        elif tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)

    def _note(self, exchange: Exchange) -> None:
        self.asked.append(exchange.path)
        self.headers.append(dict(exchange.headers))

    def _serve(self, exchange: Exchange) -> None:
        self._note(exchange)
        exchange.protocol_version = "HTTP/1.1"
        exchange.close_connection = False
        exchange.send(200, BODY, Content_Length=str(len(BODY)))

    def _tunnel(self, tls: ssl.SSLContext) -> type[Exchange]:
        note = self._note

        class Tunnel(Exchange):
            """Plays the server behind the tunnel as well."""

            def do_CONNECT(self) -> None:  # noqa: N802
                """Agree, and answer one request within."""
                note(self)
                self.send(200)
                with (
                    tls.wrap_socket(self.connection, server_side=True) as inner,
                    inner.makefile("rb") as self.rfile,
                    inner.makefile("wb") as self.wfile,
                ):
                    self.handle_one_request()
                    self.close_connection = True

        return Tunnel


class Redirecting(LoopbackServer):
    """Leads wherever a test wants.

    Attributes:
        location: Where to.
    """

    location = ""

    def __init__(self) -> None:
        super().__init__(lambda exchange: exchange.send(302, Location=self.location, Content_Length="0"))


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> Net:
    """Put a made-up network in place of the real one, with a tracker at a public address."""
    made = Net(monkeypatch)
    made.names["tracker.example"] = [[PUBLIC]]
    return made


@pytest.fixture(scope="module")
def redirects() -> Iterator[Redirecting]:
    """Run a proxy whose every answer is a redirect."""
    with Redirecting() as server:
        yield server


@pytest.fixture
def proving(tmp_path: Path) -> ssl.SSLContext:
    """Give what a server for tracker.example proves itself with."""
    chain = tmp_path / "identity.pem"
    chain.write_text(KEY + CERTIFICATE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return context


@pytest.fixture
def believing() -> ssl.SSLContext:
    """Give what a fetcher checks that with."""
    return ssl.create_default_context(cadata=CERTIFICATE)


def request(url: str) -> DownloadRequest:
    """Ask for a book."""
    return DownloadRequest(title="Dune", author="Frank Herbert", torrent_url=url)


def fetch(url: str, **options: Any) -> Torrent:
    """Fetch with a fetcher of these options."""
    with HttpFetcher(**options) as fetcher:
        return fetcher.fetch(request(url))


def release(net: Net) -> None:
    """Let go of whoever waits for an address that swallows everything, and wait until nobody does."""
    net.released.set()
    for thread in threading.enumerate():
        if thread.name == "audiobatch-connect":
            thread.join()


def port_of(server: LoopbackServer) -> int:
    """Tell at which port of loopback a server is."""
    return int(server.url.rpartition(":")[2])


@contextmanager
def failing(error: type[AudiobatchError], match: str) -> Iterator[None]:
    """Expect this error, soon, and without a secret in it or behind it."""
    start = time.monotonic()
    with pytest.raises(error, match=match) as caught:
        yield
    assert time.monotonic() - start < SOON
    assert not any("s3cret" in str(member) for member in family(caught.value))


class TestTls:
    """It is the name that a server has to prove, though its address is what is connected to."""

    def test_the_name_is_greeted_and_checked(
        self, net: Net, proving: ssl.SSLContext, believing: ssl.SSLContext
    ) -> None:
        """Otherwise no server with several names could be asked, and none be believed."""
        with Server(proving) as server:
            net.routes[PUBLIC] = server.url
            assert isinstance(fetch(HTTPS, tls=believing), TorrentFile)

        assert net.connected == [(PUBLIC, 443)]
        assert server.names == ["tracker.example"]

    @pytest.mark.parametrize("host", ["other.example", "x.tracker.example", PUBLIC])
    def test_under_another_name_it_is_not_believed(
        self, net: Net, proving: ssl.SSLContext, believing: ssl.SSLContext, host: str
    ) -> None:
        """It does not get to see the request."""
        net.names[host] = [[PUBLIC]]

        with Server(proving) as server, failing(FetchError, f"https://{host} .*is for another name"):
            net.routes[PUBLIC] = server.url
            fetch(HTTPS.replace("tracker.example", host), tls=believing)

        assert net.connected == [(PUBLIC, 443)]
        assert not server.asked

    def test_an_unknown_authority_is_not_believed(self, net: Net, proving: ssl.SSLContext) -> None:
        """Unless its user says so, a fetcher believes the public ones only."""
        with Server(proving) as server, failing(FetchError, "authority is not known here"):
            net.routes[PUBLIC] = server.url
            fetch(HTTPS)

        assert net.connected == [(PUBLIC, 443)]
        assert not server.asked

    def test_a_server_without_tls_is_not_believed(self, net: Net, believing: ssl.SSLContext) -> None:
        """Nothing is sent to it in the clear."""
        with Tracker() as tracker, failing(FetchError, "does not speak TLS"):
            net.routes[PUBLIC] = tracker.url
            fetch(HTTPS, tls=believing)

        assert not tracker.asked


class TestConnections:
    """Which addresses are tried, and for how many requests a connection lasts."""

    @pytest.mark.parametrize("url", [HTTP, HTTPS])
    def test_a_connection_is_used_again(
        self, net: Net, proving: ssl.SSLContext, believing: ssl.SSLContext, url: str
    ) -> None:
        """A batch is many requests to the same server."""
        with Server(proving if url == HTTPS else None) as server, HttpFetcher(tls=believing) as fetcher:
            net.routes[PUBLIC] = server.url
            for _ in range(3):
                assert isinstance(fetcher.fetch(request(url)), TorrentFile)

        assert len(server.asked) == 3
        assert len(net.connected) == len(net.asked) == 1

    def test_the_next_address_is_tried(self, net: Net) -> None:
        """In the order of the answer, and each once."""
        net.names["tracker.example"] = [[PUBLIC, SECOND, PUBLIC, "1.1.1.1"]]

        with Server() as server:
            net.routes |= {SECOND: server.url, "1.1.1.1": server.url}
            assert isinstance(fetch(HTTP), TorrentFile)

        assert net.connected == [(PUBLIC, 80), (SECOND, 80)]

    @pytest.mark.parametrize("dead", [PUBLIC, "2606:4700::1111"])
    def test_an_address_that_swallows_everything_does_not_take_all_the_time(self, net: Net, dead: str) -> None:
        """The next one is tried beside it, and wins, and from then on that one is asked first."""
        net.names["tracker.example"] = [[dead, SECOND]]
        net.held.add(dead)

        try:
            with Server() as server, HttpFetcher(timeout=SOON) as fetcher:
                net.routes[SECOND] = server.url
                assert isinstance(fetcher.fetch(request(HTTP)), TorrentFile)
                assert not net.released.is_set()
                assert net.connected == [(dead, 80), (SECOND, 80)]

                assert isinstance(fetcher.fetch(request(HTTP.replace("example", "example:8080"))), TorrentFile)
                assert net.connected[2:] == [(SECOND, 8080)]
        finally:
            release(net)

    def test_an_address_that_answers_late_is_let_go(self, net: Net) -> None:
        """Its connection is closed as soon as it is there, for nobody needs it any more."""
        net.names["tracker.example"] = [[PUBLIC, SECOND]]
        net.held.add(PUBLIC)

        late = LoopbackServer(lambda exchange: left.append(exchange.rfile.read()), raw=True)
        left: list[bytes] = []
        try:
            with late, Server() as server:
                net.routes |= {SECOND: server.url, PUBLIC: late.url}
                assert isinstance(fetch(HTTP, timeout=SOON), TorrentFile)
                release(net)
                wait_until(lambda: left == [b""], "the late connection was closed, and nothing was sent on it")
        finally:
            release(net)

    def test_it_ends_when_all_have_failed(self, net: Net) -> None:
        """An address that refuses makes room for the next one at once."""
        net.names["tracker.example"] = [[PUBLIC, SECOND]]
        net.silent |= {PUBLIC, SECOND}

        with failing(FetchUnavailable, "tracker.example cannot be reached"):
            fetch(HTTP, timeout=PATIENCE)

    def test_it_ends_when_its_time_is_over(self, net: Net) -> None:
        """However many addresses say nothing."""
        net.names["tracker.example"] = [[PUBLIC, SECOND]]
        net.held |= {PUBLIC, SECOND}

        try:
            with failing(FetchUnavailable, "tracker.example cannot be reached"):
                fetch(HTTP, timeout=0.3)
            assert not net.released.is_set()
        finally:
            release(net)

    def test_few_unused_connections_are_kept(self, net: Net) -> None:
        """However many hosts were asked."""
        with Server() as server, HttpFetcher() as fetcher:
            net.routes[PUBLIC] = server.url
            for number in range(30):
                net.names[f"t{number}.example"] = [[PUBLIC]]
                fetcher.fetch(request(f"http://t{number}.example/v1/Dune"))
            (pool,) = fetcher._transport._pools.values()  # type: ignore[attr-defined]
            assert len(pool.connections) <= 16

    def test_this_machine_is_not_reached_by_its_public_address(self, net: Net) -> None:
        """Where both ends of a connection have one address, it leads into the user's own network."""
        with Server() as server:
            net.routes["127.0.0.1"] = server.url
            net.names["tracker.example"] = [["127.0.0.1"]]
            # As if loopback were a public network: what is left is that both ends are the same.
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(_addresses, "_SPECIAL", ())
                with failing(BlockedAddress, "tracker.example leads to this very machine"):
                    fetch(HTTP)
                assert not server.asked

                assert isinstance(fetch(HTTP, trusted_origins=["http://tracker.example"]), TorrentFile)
                assert isinstance(fetch(HTTP, allowed_networks=["127.0.0.0/8"]), TorrentFile)

    def test_a_network_of_ones_own_can_be_denied(self, net: Net) -> None:
        """Its public addresses are refused like private ones, unless the server is trusted."""
        with Server() as server:
            net.routes[PUBLIC] = server.url
            with failing(BlockedAddress, "private or special network"):
                fetch(HTTP, denied_networks=["8.8.8.0/24"])
            with failing(BlockedAddress, "private or special network"):
                fetch(f"http://[::ffff:{PUBLIC}]/x", denied_networks=["8.8.8.0/24"])
            assert not server.asked
            assert isinstance(fetch(HTTP, denied_networks=["8.8.4.0/24"]), TorrentFile)
            trusting = {"denied_networks": ["8.8.8.0/24"], "trusted_origins": ["http://tracker.example"]}
            assert isinstance(fetch(HTTP, **trusting), TorrentFile)

    def test_there_is_an_end_to_trying(self, net: Net) -> None:
        """Whoever answers with a hundred addresses does not keep us busy with them."""
        net.names["tracker.example"] = [[f"8.8.8.{last}" for last in range(100)]]

        with failing(FetchUnavailable, "tracker.example cannot be reached"):
            fetch(HTTP)

        assert 1 < len(net.connected) < 10

    @pytest.mark.parametrize("silent", [set(), {PUBLIC}, {SECOND}, {PUBLIC, SECOND}])
    def test_nobody_is_there(self, net: Net, silent: set[str]) -> None:
        """Be it that they refuse, or that they say nothing: it may pass."""
        net.names["tracker.example"] = [[PUBLIC, SECOND]]
        net.silent |= silent

        with failing(FetchUnavailable, "tracker.example cannot be reached"):
            fetch(HTTP)

        assert net.connected == [(PUBLIC, 80), (SECOND, 80)]


class TestTime:
    """The whole fetch has a limit, the steps before the first byte included."""

    def test_a_slow_name_server_does_not_hold_it_up(self, net: Net) -> None:
        """The system's resolver knows no limit, so it is left behind."""
        net.answering.clear()
        try:
            with failing(FetchUnavailable, "tracker.example cannot be reached"):
                fetch(HTTP, timeout=0.2)
            assert not net.answering.is_set()
        finally:
            net.answering.set()
            for thread in threading.enumerate():
                if thread.name == "audiobatch-resolve":
                    thread.join()

        assert net.asked == ["tracker.example"]
        assert not net.connected

    def test_neither_does_a_server_that_never_greets_back(self, net: Net, believing: ssl.SSLContext) -> None:
        """TLS takes part in the time as well."""
        with socket.create_server(("127.0.0.1", 0)) as held:
            net.routes[PUBLIC] = f"http://127.0.0.1:{held.getsockname()[1]}"
            with failing(FetchUnavailable, "tracker.example"):
                fetch(HTTPS, tls=believing, timeout=0.2)

        assert net.connected == [(PUBLIC, 443)]

    def test_nor_does_a_proxy(self, net: Net, believing: ssl.SSLContext) -> None:
        """Nor one that takes its time with a tunnel."""
        with socket.create_server(("127.0.0.1", 0)) as held:
            proxy = f"http://127.0.0.1:{held.getsockname()[1]}"
            for url in (HTTP, HTTPS):
                with failing(FetchUnavailable, "tracker.example"):
                    fetch(url, tls=believing, timeout=0.2, proxy=proxy)

        assert len(net.connected) == 2


class TestProxy:
    """A proxy connects in the fetcher's stead, and is named by its user alone."""

    def test_it_is_asked_for_the_whole_url(self, net: Net) -> None:
        """To look up the name is its business then."""
        with Server() as proxy:
            assert isinstance(fetch(HTTP, proxy=proxy.url), TorrentFile)

        assert proxy.asked == [HTTP]
        assert net.connected == [("127.0.0.1", port_of(proxy))]
        assert not net.asked

    def test_it_is_asked_for_a_tunnel_to_what_has_tls(
        self, net: Net, proving: ssl.SSLContext, believing: ssl.SSLContext
    ) -> None:
        """Through that it sees neither the URL nor the answer, and the server does not see its password."""
        with Server(proving, tunnels=True) as proxy:
            url = proxy.url.replace("127", "me:s3cret@127", 1)
            assert isinstance(fetch(HTTPS, proxy=url, tls=believing), TorrentFile)

        outer, inner = proxy.headers
        assert proxy.asked == ["tracker.example:443", "/v1/Dune?passkey=s3cret"]
        assert proxy.names == ["tracker.example"]
        assert "Proxy-Authorization" in outer
        assert "Proxy-Authorization" not in inner
        assert not net.asked

    def test_through_a_tunnel_the_name_is_checked_too(
        self, net: Net, proving: ssl.SSLContext, believing: ssl.SSLContext
    ) -> None:
        """A proxy may lead anywhere, but it cannot prove to be somebody else."""
        with Server(proving, tunnels=True) as proxy, failing(FetchError, "other.example .*is for another name"):
            fetch("https://other.example/?passkey=s3cret", proxy=proxy.url, tls=believing)

        assert proxy.asked == ["other.example:443"]
        assert len(net.connected) == 1

    def test_its_user_and_password_are_sent_to_it(self, net: Net) -> None:
        """Decoded, for in a URL some letters must be encoded."""
        with Server() as proxy:
            fetch(HTTP, proxy=proxy.url.replace("127", "me:s3cr%40t%3A@127", 1))

        (headers,) = proxy.headers
        assert headers["Proxy-Authorization"] == "Basic " + base64.b64encode(b"me:s3cr@t:").decode()
        assert len(net.connected) == 1

    def test_its_password_is_not_shown(self, net: Net) -> None:
        """Neither by the fetcher and what it is made of, nor when nobody is there."""
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            proxy = f"http://me:s3cret@127.0.0.1:{held.getsockname()[1]}"
            with HttpFetcher(proxy=proxy) as fetcher:
                shown = [repr(each) for each in (fetcher, fetcher._transport, fetcher._retrieval)]
                for url in (HTTP, HTTPS):
                    with failing(FetchUnavailable, "tracker.example cannot be reached"):
                        fetcher.fetch(request(url))

        assert "s3cret" not in " ".join(shown)
        assert len(net.connected) == 2

    @pytest.mark.parametrize(
        ("url", "error"), [(HTTP, FetchDenied), (HTTPS, FetchUnavailable)], ids=["forwarding", "tunnelling"]
    )
    def test_it_may_refuse(self, net: Net, believing: ssl.SSLContext, url: str, error: type[FetchError]) -> None:
        """Not as a tracker would."""
        with LoopbackServer(lambda it: it.send(407)) as proxy, failing(error, "tracker.example"):
            fetch(url, tls=believing, proxy=proxy.url.replace("127", "me:s3cret@127", 1))

        assert len(net.connected) == 1

    @pytest.mark.parametrize("scheme", ["http", "https"])
    @pytest.mark.parametrize(
        "host",
        [
            *("127.0.0.1", "127.0.0.1.", "127.1", "0x7f.1", "2130706433", "10.0.0.1", "169.254.169.254", "localhost"),
            *("x.localhost.", "[::1]", "[::ffff:127.0.0.1]", "[fd12::1]", ".tracker.example", "tracker..example"),
        ],
    )
    def test_it_is_not_asked_for_private_addresses(
        self, net: Net, redirects: Redirecting, host: str, scheme: str
    ) -> None:
        """Where the URL itself spells them out, be it that of a redirect."""
        redirects.location = f"{scheme}://{host}/"

        with failing(BlockedAddress, "private|more than one way"):
            fetch(redirects.location, proxy=redirects.url)
        assert not net.connected

        with failing(BlockedAddress, "private|more than one way"):
            fetch(HTTP, proxy=redirects.url)
        assert net.connected == [("127.0.0.1", port_of(redirects))]

    def test_it_is_asked_for_a_private_address_that_is_trusted(self, net: Net) -> None:
        """A proxy can stand within that network."""
        with Server() as proxy:
            assert isinstance(
                fetch("http://10.0.0.7:9696/", proxy=proxy.url, trusted_origins=["http://10.0.0.7:9696"]), TorrentFile
            )

        assert proxy.asked == ["http://10.0.0.7:9696/"]
        assert net.connected == [("127.0.0.1", port_of(proxy))]

    @pytest.mark.parametrize(
        "proxy",
        [
            *(
                "",
                "proxy",
                "proxy:3128",
                "//proxy",
                "ftp://me:s3cret@proxy",
                "socks4://proxy",
                "magnet:?x",
                "file:///x",
            ),
            *("http://", "http://:3128", "http://me:s3cret@", "http://me:s3cret", "http://proxy:s3cret"),
            *("http://proxy:65536", "http://me:s3cret@[::1", "http://me:s3cret\n@proxy", "socks5://", "socks5://:1080"),
        ],
        ids=ascii,
    )
    def test_it_must_be_one(self, proxy: str) -> None:
        """And the error does not tell more than how it must look."""
        with failing(ConfigurationError, "a proxy must look like"):
            HttpFetcher(proxy=proxy)

    @pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
    def test_a_missing_package_is_named(self, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
        """At once, and not at the first fetch."""
        monkeypatch.setitem(sys.modules, "socksio", None)

        with failing(ConfigurationError, r"pip install 'httpx\[socks\]'"):
            HttpFetcher(proxy=f"{scheme}://me:s3cret@proxy:1080")

    @pytest.mark.parametrize("module", ["socksio.exceptions", "elsewhere"])
    def test_one_that_speaks_no_socks_is_as_good_as_none(self, net: Net, module: str) -> None:
        """The error of that package is none that httpcore knows; any other one is a bug, and stays one."""

        class ProtocolError(Exception):
            __module__ = module

        class Misunderstanding(httpcore.NetworkStream):
            def write(self, *_: object) -> None:
                raise ProtocolError("Malformed reply")

            def close(self) -> None:
                pass

            def get_extra_info(self, _: str) -> Any:
                return None

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(httpcore.SyncBackend, "connect_tcp", lambda *_, **__: Misunderstanding())
            with failing(FetchUnavailable, "cannot be reached") if "socks" in module else pytest.raises(ProtocolError):
                fetch(HTTP)
        assert not net.connected

    @pytest.mark.parametrize("url", [HTTP, HTTPS])
    def test_the_environment_names_none(
        self,
        net: Net,
        monkeypatch: pytest.MonkeyPatch,
        proving: ssl.SSLContext,
        believing: ssl.SSLContext,
        url: str,
    ) -> None:
        """With a proxy, addresses are no longer checked here: that is not for the surroundings to say."""
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        for scheme, upper in itertools.product(("http", "https", "all"), (False, True)):
            name = f"{scheme}_proxy"
            monkeypatch.setenv(name.upper() if upper else name, "http://10.0.0.1:3128")

        with Server(proving if url == HTTPS else None) as server:
            net.routes[PUBLIC] = server.url
            assert isinstance(fetch(url, tls=believing), TorrentFile)

        assert {address for address, _ in net.connected} == {PUBLIC}
        assert server.asked == ["/v1/Dune?passkey=s3cret"]
