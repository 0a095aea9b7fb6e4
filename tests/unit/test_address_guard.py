"""Where a fetcher does not go, however the way there is spelled; and what opens it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

import httpx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from audiobatch.errors import BlockedAddress, ConfigurationError, FetchError, FetchUnavailable, InvalidRequestError
from audiobatch.fetchers._addresses import Address, Destinations
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.metainfo import Torrent, TorrentFile
from audiobatch.models import DownloadRequest
from support.resolver import Net
from support.server import Exchange, LoopbackServer
from support.torrents import book
from support.tracker import Tracker

BODY = book("Dune")
PUBLIC = "8.8.8.8"

PLAIN = [
    *("127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255"),
    *("192.168.0.1", "100.64.0.1", "100.127.255.254", "192.0.0.1", "192.0.0.170", "192.0.0.192"),
    *("169.254.0.1", "169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16"),
    *("192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "198.19.255.255", "192.88.99.1"),
    *("192.31.196.1", "192.52.193.1", "192.175.48.1"),
    *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
]
SPELLINGS = [
    *("2130706433", "017700000001", "0x7f000001", "0X7F000001", "0x7f.1", "0x7f.0.0.0x1", "127.0.0.0x1"),
    *("0177.0.0.1", "0177.1", "127.1", "127.0.1", "00000177.1", "10.1", "192.168.257", "0", "0x0", "00"),
    *("2852039166", "0xa9fea9fe", "0xA9.0xFE.0xA9.0xFE", "0251.0376.0251.0376", "169.254.43518", "3232235521"),
    *("127.0.0.1.", "2130706433.", "0x7f.1.", "127.1.", "169.254.169.254.", "127.0.0.1..", ".127.0.0.1", "127..0.1"),
    *("localhost", "LOCALHOST", "LocalHost", "localhost.", "foo.localhost", "a.b.LOCALHOST.", "localhost.."),
    *("256.256.256.256", "127.0.0.256", "."),
]
IPV6 = [
    *("::1", "::", "0:0:0:0:0:0:0:1", "0000:0000:0000:0000:0000:0000:0000:0000"),
    *("::ffff:127.0.0.1", "::ffff:7f00:1", "::FFFF:10.0.0.1", "0:0:0:0:0:ffff:a9fe:a9fe", "::ffff:0:127.0.0.1"),
    *("::127.0.0.1", "::7f00:1", "::8.8.8.8", "2002:7f00:1::", "2002:c0a8:1::1", "2002:808:808::1"),
    *("2001:0:7f00:1::", "2001::1", "2001:0:808:808:0:0:80ff:fffe", "64:ff9b::127.0.0.1", "64:FF9B::a00:1"),
    *("64:ff9b::169.254.169.254", "64:ff9b:1::127.0.0.1", "64:ff9b:1::8.8.8.8", "100::1", "100:0:0:1::1"),
    *("fe80::1", "febf::1", "fc00::1", "fd12:3456:789a::1", "fd00:ec2::254", "fd20:ce::254", "fec0::1"),
    *("ff02::1", "FF0E::1", "2001:db8::1", "2001:2::1", "2001:20::1", "3fff::1", "5f00::1", "2620:4f:8000::1"),
    *("fe80::1%25eth0", "fe80::1%eth0", "::1%25lo", "::1%lo", "2606:4700::1111%25eth0"),
]
HOSTS = [*PLAIN, *SPELLINGS, *(f"[{address}]" for address in IPV6)]

# Whole URLs, which some take for another server than others do, or for none.
TRICKS = [
    *("http://tracker.example@127.0.0.1/", "http://tracker.example:80@127.0.0.1/", "http://user:pw@tracker.example/"),
    *("http://127.0.0.1@tracker.example/", "http://@127.0.0.1/", "http://a@b@127.0.0.1/", "http://1.1.1.1&@127.0.0.1/"),
    *("http://tracker.example\\@127.0.0.1/", "http://127.0.0.1\\@tracker.example/"),
    *(
        "http://127.0.0.1\\.tracker.example/",
        "http://127.0.0.1\\/tracker.example/",
        "http://tracker.example\\127.0.0.1",
    ),
    *("http://127%2e0%2e0%2e1/", "http://%31%32%37.0.0.1/", "http://127.0.0.1%2f.tracker.example/", "http://%6c/"),
    *("http://127.0.0.1%00.tracker.example/", "http://localhost%20/", "http://tracker.example%0d%0a.example/"),
    *("http://127.0.0.1 /", "http://127.0.0.1 .tracker.example/", "http://tracker .example/", "http://[::1] /"),
    *("http://127.0.0.1\t/", "http://12\t7.0.0.1/", "http://tracker\t.example/"),
    *("http://\uff11\uff12\uff17.0.0.1/", "http://\u2460\u2461\u2466.0.0.1/", "http://127\u30020\u30020\u30021/"),
    *(
        "http://\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3/",
        "http://localho\u017ft/",
        "http://127.0.0\u00ad.1/",
    ),
    *(
        "http://[::\uff11]/",
        "http://tracker\uff0fexample/",
        "http://127.0.0.1\u200b/",
        "http://\u0661\u0662\u0667.0.0.1/",
    ),
    *("http://[::1/", "http://::1]/", "http://[127.0.0.1]/", "http://[v1.x]/", "http://[::1].tracker.example/"),
    *("http://127.0.0.1:80:80/", "http://127.0.0.1;.tracker.example/", "http://127.0.0.1,tracker.example/"),
    *("http://tracker.example:65536/", "http://tracker.example:-1/", "http://tracker.example:8x/"),
    *("https://127.0.0.1/", "HTTP://127.0.0.1/", "http://127.0.0.1#@tracker.example/", "http://127.0.0.1?@x.example/"),
    *("ftp://127.0.0.1/", "file:///etc/passwd", "gopher://127.0.0.1/", "unix://run/docker.sock", "javascript:alert(1)"),
]
HOSTLESS = ["http:///", "http:///127.0.0.1/", "http://", "http://:80/", "http://?x", "http://#x", "http://@/"]
PORTS = [
    *(0, 1, 7, 19, 21, 22, 23, 25, 53, 79, 81, 110, 139, 442, 445, 587, 993, 1023),
    *(2049, 4190, 5060, 6000, 6667, 10080),
]

# What a name server may answer.
ANSWERS = [
    *(["127.0.0.1"], ["10.0.0.1"], ["192.168.1.1"], ["172.16.0.1"], ["100.64.0.1"], ["169.254.169.254"]),
    *(["0.0.0.0"], ["224.0.0.1"], ["255.255.255.255"], ["198.18.0.1"], ["192.0.2.1"]),
    *(["::1"], ["::"], ["fe80::1%eth0"], ["fd00:ec2::254"], ["fc00::1"], ["ff02::1"], ["::ffff:127.0.0.1"]),
    *(["::ffff:7f00:1"], ["::10.0.0.1"], ["2002:a00:1::"], ["64:ff9b::a9fe:a9fe"], ["64:ff9b:1::a00:1"]),
    *([PUBLIC, "127.0.0.1"], ["127.0.0.1", PUBLIC], [PUBLIC, "::1"], ["2606:4700::1111", "fe80::1%2"]),
    *([PUBLIC, "1.1.1.1", "9.9.9.9", "1.0.0.1", "8.8.4.4", "192.168.1.1"], ["64:ff9b::808:808", "64:ff9b::a00:1"]),
]

# Nobody keeps a tracker there, so nobody can open it.
NEVER = [
    *("169.254.169.254", "169.254.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "0.0.0.0", "0.0.0.1"),
    *("224.0.0.1", "239.255.255.250", "255.255.255.255"),
    *("::", "fe80::1", "ff02::1", "ff0e::1", "fd00:ec2::254", "fd20:ce::254"),
    *("::ffff:169.254.169.254", "::169.254.169.254", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::"),
    *("::ffff:0.0.0.0", "::ffff:224.0.0.1", "64:ff9b::6464:64c8"),
]

EVERYTHING = ("0.0.0.0/0", "::/0")

PERMITTED = [
    *(PUBLIC, "1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0"),
    *("169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0"),
    *("198.17.255.255", "198.20.0.0", "223.255.255.255", "192.0.1.0", "192.0.3.0"),
    *("2606:4700::1111", "2001:4860:4860::8888", "2001:200::1", "2003::1", "2400::1", "2a00::1", "3ffe:ffff::1"),
    *("::ffff:8.8.8.8", "::ffff:808:808", "64:ff9b::8.8.8.8", "64:ff9b::101:101"),
]


class Redirector(LoopbackServer):
    """Leads wherever a test wants.

    Attributes:
        location: Where to.
    """

    location = ""

    def __init__(self) -> None:
        super().__init__(self._lead)

    def _lead(self, exchange: Exchange) -> None:
        # http.server writes Latin-1, and this makes UTF-8 of it.
        exchange.send(302, Location=self.location.encode().decode("latin-1"), Content_Length="0")


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> Net:
    """Put a made-up network in place of the real one."""
    return Net(monkeypatch)


@pytest.fixture(scope="module")
def redirector() -> Iterator[Redirector]:
    """Run a server that redirects."""
    with Redirector() as server:
        yield server


@pytest.fixture(scope="module")
def tracker() -> Iterator[Tracker]:
    """Run a tracker."""
    with Tracker() as server:
        yield server


def fetch(url: str, **options: Any) -> Torrent:
    """Fetch with a fetcher of these options."""
    request = DownloadRequest(title="Dune", author="Frank Herbert", torrent_url=url)
    with HttpFetcher(**options) as fetcher:
        return fetcher.fetch(request)


def port_of(server: LoopbackServer) -> int:
    """Tell at which port of loopback a server is."""
    return int(server.url.rpartition(":")[2])


def never_asked(request: httpx.Request) -> httpx.Response:
    """Fail, for nothing must be sent."""
    raise AssertionError(request.url)


def is_refused(address: Address, *, trusted: bool = False, **opened: Any) -> bool:
    """Tell whether there is no way to this address."""
    try:
        Destinations(**opened).require([address], host="x", trusted=trusted)
    except BlockedAddress:
        return True
    return False


class TestHostileUrls:
    """Nothing is looked up, and nothing is connected to."""

    @pytest.mark.parametrize("host", HOSTS)
    def test_a_private_host_is_refused(self, net: Net, host: str) -> None:
        """In whatever spelling it is given."""
        with pytest.raises(BlockedAddress):
            fetch(f"http://{host}/x.torrent")

        assert not net.connected
        assert not net.asked

    @pytest.mark.parametrize("host", HOSTS)
    def test_a_redirect_to_a_private_host_is_refused(self, net: Net, redirector: Redirector, host: str) -> None:
        """Also from a server that is trusted itself."""
        redirector.location = f"http://{host}/x.torrent"

        with pytest.raises(BlockedAddress, match=f"{redirector.url} redirects"):
            fetch(redirector.url, trusted_origins=[redirector.url])

        assert net.connected == [("127.0.0.1", port_of(redirector))]
        assert not net.asked

    @pytest.mark.parametrize("host", HOSTS)
    def test_other_transports_do_not_get_it_either(self, host: str) -> None:
        """What a URL spells out is refused before a transport, such as one to a proxy, hears of it."""
        with pytest.raises(BlockedAddress):
            fetch(f"http://{host}/x.torrent", transport=httpx.MockTransport(never_asked))

    @pytest.mark.parametrize("url", TRICKS, ids=ascii)
    def test_a_url_that_can_be_misread_is_refused(self, net: Net, url: str) -> None:
        """If not by the fetcher, then by the request already."""
        with pytest.raises((BlockedAddress, InvalidRequestError)):
            fetch(url)

        assert not net.connected
        assert not net.asked

    @pytest.mark.parametrize("url", TRICKS, ids=ascii)
    def test_a_redirect_that_can_be_misread_is_refused(self, net: Net, redirector: Redirector, url: str) -> None:
        """No request has looked at that URL."""
        redirector.location = url

        with pytest.raises(BlockedAddress, match=f"{redirector.url} redirects"):
            fetch(redirector.url, trusted_origins=[redirector.url])

        assert net.connected == [("127.0.0.1", port_of(redirector))]
        assert not net.asked

    def test_a_dot_that_is_none_is_refused(self, net: Net) -> None:
        """Some read it as one, so one name is two: a check elsewhere may have seen the other."""
        with pytest.raises(BlockedAddress, match="more than one way"):
            fetch("http://tracker\u3002example/")

        assert not net.asked

    @pytest.mark.parametrize("url", [*HOSTLESS, "http:127.0.0.1/", "http:/127.0.0.1/", "https://", "https:10.0.0.1"])
    def test_no_host_is_no_other_host(self, net: Net, redirector: Redirector, url: str) -> None:
        """As a request it is refused; as a redirect it leads round and round on the same server, if anywhere."""
        redirector.location = url

        with pytest.raises(InvalidRequestError):
            fetch(url)
        assert not net.connected

        with pytest.raises(FetchError):
            fetch(redirector.url, trusted_origins=[redirector.url])
        assert set(net.connected) == {("127.0.0.1", port_of(redirector))}

    @pytest.mark.parametrize("location", ["//127.0.0.1/", "//169.254.169.254/latest/meta-data/", "//0x7f.1", "//[::1]"])
    def test_a_redirect_without_a_scheme_is_judged_too(self, net: Net, redirector: Redirector, location: str) -> None:
        """It takes the scheme of the page before, and a host of its own."""
        redirector.location = location

        with pytest.raises(BlockedAddress, match="private"):
            fetch(redirector.url, trusted_origins=[redirector.url])

        assert len(net.connected) == 1

    @pytest.mark.parametrize(
        "host", ["xn--", "xn--a", "xn--ls8h", "a" * 64, "a." * 130 + "a", "a_b", "-", "4294967297"]
    )
    def test_a_host_that_cannot_be_is_an_error_of_ours(self, net: Net, redirector: Redirector, host: str) -> None:
        """Whatever the libraries think of it."""
        redirector.location = f"http://{host}/"

        for url in (redirector.location, redirector.url):
            with pytest.raises(FetchError):
                fetch(url, trusted_origins=[redirector.url])

        assert net.connected == [("127.0.0.1", port_of(redirector))]


class TestPorts:
    """Where nobody vouches for a server, it must be where web servers are."""

    @pytest.mark.parametrize("port", PORTS)
    @pytest.mark.parametrize("host", [PUBLIC, "tracker.example", "[2606:4700::1111]"])
    def test_ports_of_other_protocols_are_refused(self, net: Net, host: str, port: int) -> None:
        """Be the host as public as it may."""
        net.names["tracker.example"] = [[PUBLIC]]

        with pytest.raises(BlockedAddress, match=f":{port} has a port"):
            fetch(f"http://{host}:{port}/")

        assert not net.connected
        assert not net.asked

    def test_a_redirect_to_such_a_port_is_refused(self, net: Net, redirector: Redirector) -> None:
        """A trusted server may not send us to a mail server."""
        redirector.location = f"http://{PUBLIC}:25/"

        with pytest.raises(BlockedAddress, match=":25 has a port"):
            fetch(redirector.url, trusted_origins=[redirector.url])

        assert len(net.connected) == 1

    @pytest.mark.parametrize("port", [80, 443, 1024, 3000, 8080, 8443, 9117, 9696, 65535])
    def test_ports_of_web_servers_are_asked(self, net: Net, tracker: Tracker, port: int) -> None:
        """Many a tracker is on an odd one."""
        net.routes[PUBLIC] = tracker.url

        assert isinstance(fetch(f"http://{PUBLIC}:{port}/v1/Dune"), TorrentFile)
        assert net.connected == [(PUBLIC, port)]


class TestNames:
    """A name is looked up once, and all of its addresses are judged before one of them is used."""

    @pytest.mark.parametrize("answer", ANSWERS, ids=" ".join)
    def test_a_name_with_a_private_address_is_refused(self, net: Net, answer: list[str]) -> None:
        """If only one of many is private; and which, it does not tell."""
        net.names["tracker.example"] = [answer]

        with pytest.raises(BlockedAddress, match=r"^tracker\.example leads into") as caught:
            fetch("http://tracker.example/")

        assert not net.connected
        assert net.asked == ["tracker.example"]
        assert not any(address in str(caught.value) for address in answer if len(address) > 2)

    @pytest.mark.parametrize("answer", ANSWERS, ids=" ".join)
    def test_a_redirect_to_such_a_name_is_refused(self, net: Net, redirector: Redirector, answer: list[str]) -> None:
        """That a trusted server names it does not make it better."""
        net.names["tracker.example"] = [answer]
        redirector.location = "http://tracker.example/"

        with pytest.raises(BlockedAddress):
            fetch(redirector.url, trusted_origins=[redirector.url])

        assert net.connected == [("127.0.0.1", port_of(redirector))]

    def test_what_was_judged_is_what_is_connected_to(self, net: Net, tracker: Tracker) -> None:
        """A name that turns private between look-up and connection finds that there is no second look-up."""
        net.names["rebinding.example"] = [[PUBLIC], ["127.0.0.1"]]
        net.routes[PUBLIC] = tracker.url

        fetch("http://rebinding.example/v1/Dune")
        assert net.connected == [(PUBLIC, 80)]
        assert net.asked == ["rebinding.example"]

        with pytest.raises(BlockedAddress):
            fetch("http://rebinding.example/v1/Dune")
        assert net.connected == [(PUBLIC, 80)]

    def test_each_hop_is_judged_anew(self, net: Net, redirector: Redirector) -> None:
        """Also if it stays on the same host, with the same fetcher."""
        net.names["rebinding.example"] = [[PUBLIC], ["127.0.0.1"]]
        net.routes[PUBLIC] = redirector.url
        redirector.location = "/again"

        with pytest.raises(BlockedAddress):
            fetch("http://rebinding.example/")

        assert net.connected == [(PUBLIC, 80)]
        assert net.asked == ["rebinding.example"] * 2

    def test_a_name_of_nobody_cannot_be_reached(self, net: Net) -> None:
        """That may pass, so it is not called blocked."""
        with pytest.raises(FetchUnavailable, match="cannot be reached"):
            fetch("http://tracker.example/")

        assert net.asked == ["tracker.example"]


class TestAddresses:
    """The decision itself, address by address."""

    @pytest.mark.parametrize("address", PERMITTED)
    def test_public_addresses_are_permitted(self, address: str) -> None:
        """Up to the last one before a special network, and from the first one after it."""
        assert not is_refused(ip_address(address))

    @pytest.mark.parametrize(
        "host", ["tracker.example", "tracker.example.", "b\u00fccher.example", "xn--bcher-kva.example"]
    )
    def test_public_names_are_asked(self, net: Net, tracker: Tracker, host: str) -> None:
        """Also those that are not written in ASCII."""
        net.names |= {name: [[PUBLIC]] for name in (host, "xn--bcher-kva.example")}
        net.routes[PUBLIC] = tracker.url

        assert isinstance(fetch(f"http://{host}/v1/Dune"), TorrentFile)

    @pytest.mark.parametrize("address", [address for address in PERMITTED if "::ffff" not in address])
    def test_public_addresses_can_be_spelled_out(self, address: str) -> None:
        """Nothing between the URL and the transport is in their way."""
        host = f"[{address}]" if ":" in address else address
        transport = httpx.MockTransport(lambda _: httpx.Response(200, content=BODY))

        assert isinstance(fetch(f"https://{host}/x.torrent", transport=transport), TorrentFile)

    @given(st.ip_addresses(v=4))
    def test_an_ipv4_address_hides_in_no_ipv6_address(self, inner: IPv4Address) -> None:
        """What is another spelling of it is judged like it, and what tunnels to it is refused anyhow."""
        value = int(inner)
        spellings = [0xFFFF << 32, 0x64FF9B << 96]
        tunnels = [IPv6Address(value), IPv6Address(0x2002 << 112 | value << 80), IPv6Address(0x20010000 << 96 | value)]
        tunnels += [IPv6Address(0x20010000 << 96 | value << 64), IPv6Address(0x64FF9B0001 << 80 | value)]

        assert {is_refused(IPv6Address(prefix | value)) for prefix in spellings} == {is_refused(inner)}
        assert all(map(is_refused, tunnels))

    @given(st.ip_addresses(v=4))
    def test_nor_does_one_that_nobody_can_open(self, inner: IPv4Address) -> None:
        """Neither trust nor an open network helps; only ::1 is loopback, and does not stand for 0.0.0.1."""
        assume(inner != IPv4Address("0.0.0.1"))
        forms = [0xFFFF << 32, 0x64FF9B << 96, 0, 0x64FF9B0001 << 80]
        outer = [IPv6Address(form | int(inner)) for form in forms] + [IPv6Address(0x2002 << 112 | int(inner) << 80)]
        closed = is_refused(inner, trusted=True, allowed_networks=EVERYTHING)

        assert {is_refused(each, trusted=True) for each in outer} == {closed}
        assert not closed or all(is_refused(each, allowed_networks=EVERYTHING) for each in outer)

    @given(st.ip_addresses())
    def test_whatever_python_calls_special_is_refused(self, address: Address) -> None:
        """The two prefixes that only spell IPv4 in another way are looked at above."""
        assume(not any(address in IPv6Network(each) for each in ("::ffff:0:0/96", "64:ff9b::/96")))
        assume(
            address.is_private
            or address.is_loopback
            or address.is_link_local
            or address.is_multicast
            or address.is_reserved
            or address.is_unspecified
            or not address.is_global
        )

        assert is_refused(address)


class TestTrustedOrigins:
    """A server that is vouched for: scheme, host and port, and nothing else."""

    def test_it_may_have_any_address_and_port(self, net: Net, tracker: Tracker) -> None:
        """By name, however that is written, or by address."""
        net.names["nas.example"] = [["127.0.0.1"]]
        port = port_of(tracker)

        for host in ("nas.example", "NAS.Example", "127.0.0.1"):
            trusted = [f"http://NAS.example:{port}", f"http://127.0.0.1:{port}/"]
            assert isinstance(fetch(f"http://{host}:{port}/v1/Dune", trusted_origins=trusted), TorrentFile)

    def test_it_may_be_localhost(self, net: Net, tracker: Tracker) -> None:
        """That is ::1 first on many a system."""
        net.names["localhost"] = [["::1", "127.0.0.1"]]
        url = f"http://localhost:{port_of(tracker)}"

        assert isinstance(fetch(f"{url}/v1/Dune", trusted_origins=[url]), TorrentFile)

    def test_the_system_port_is_no_hindrance(self, net: Net, tracker: Tracker) -> None:
        """Whoever has a tracker there has named it."""
        net.routes["10.0.0.7"] = tracker.url

        assert isinstance(fetch("http://10.0.0.7:81/v1/Dune", trusted_origins=["http://10.0.0.7:81"]), TorrentFile)
        assert net.connected == [("10.0.0.7", 81)]

    @pytest.mark.parametrize(
        "trusted",
        [
            *("http://nas.example", "http://nas.example:9697", "http://nas.example:969", "https://nas.example:9696"),
            *("http://127.0.0.1:9696", "http://nas:9696", "http://x.nas.example:9696", "http://example:9696"),
            *("http://nas.example.:9696", "http://nas.example.org:9696", "http://localhost:9696"),
        ],
    )
    def test_another_is_not(self, net: Net, trusted: str) -> None:
        """Also if it is the same machine in the end."""
        net.names |= {name: [["127.0.0.1"]] for name in ("nas.example", "nas", "localhost")}

        with pytest.raises(BlockedAddress):
            fetch("http://nas.example:9696/1/download", trusted_origins=[trusted])

        assert not net.connected

    def test_a_public_tracker_may_lead_there(self, net: Net, redirector: Redirector, tracker: Tracker) -> None:
        """So a Prowlarr at home can be behind a short link."""
        net.names |= {"tracker.example": [[PUBLIC]], "nas.example": [["127.0.0.1"]]}
        net.routes[PUBLIC] = redirector.url
        nas = f"http://nas.example:{port_of(tracker)}"
        redirector.location = f"{nas}/v1/Dune"

        assert isinstance(fetch("http://tracker.example/", trusted_origins=[nas]), TorrentFile)
        assert net.connected == [(PUBLIC, 80), ("127.0.0.1", port_of(tracker))]

    def test_it_may_not_lead_to_its_neighbours(self, net: Net, redirector: Redirector, tracker: Tracker) -> None:
        """Neither on the same machine nor on the next."""
        net.names |= {name: [["127.0.0.1"]] for name in ("nas.example", "other.example")}
        nas = f"http://nas.example:{port_of(redirector)}"

        for neighbour in (
            tracker.url,
            f"http://nas.example:{port_of(tracker)}",
            "http://other.example",
            "http://10.0.0.1",
        ):
            redirector.location = f"{neighbour}/v1/Dune"
            with pytest.raises(BlockedAddress):
                fetch(nas, trusted_origins=[nas])

        assert set(net.connected) == {("127.0.0.1", port_of(redirector))}

    def test_a_redirect_leaves_https_only_for_it(self) -> None:
        """Elsewhere, what was secret so far would be read on the way."""
        locations = iter(["http://nas:9696/x", "http://nas:9697/x", "http://tracker.example/x"])

        def answer(request: httpx.Request) -> httpx.Response:
            if request.url.scheme == "https":
                return httpx.Response(302, headers={"Location": next(locations)})
            assert request.url.host == "nas"
            return httpx.Response(200, content=BODY)

        options = {"trusted_origins": ["http://nas:9696"], "transport": httpx.MockTransport(answer)}
        assert isinstance(fetch("https://tracker.example/", **options), TorrentFile)
        for _ in range(2):
            with pytest.raises(BlockedAddress, match=r"from https to http://.*trusted_origins"):
                fetch("https://tracker.example/", **options)

    @pytest.mark.parametrize(
        "origin",
        [
            *("", "nas", "nas:9696", "//nas:9696", "ftp://nas", "magnet:?x", "http://", "http://:80", "http:nas"),
            *("http://nas:x", "http://nas:65536", "http://nas/prowlarr", "http://nas/a/", "http://[::1"),
            *("http://s3cret@nas", "http://me:s3cret@nas:9696", "http://nas?apikey=s3cret", "http://nas#s3cret"),
        ],
    )
    def test_it_must_be_an_origin(self, origin: str) -> None:
        """Nothing that would be ignored, and nothing that cannot be read."""
        with pytest.raises(ConfigurationError, match="an origin must look like") as caught:
            HttpFetcher(trusted_origins=["http://nas:9696", origin])

        assert "s3cret" not in str(caught.value)

    @pytest.mark.parametrize("argument", ["trusted_origins", "allowed_networks"])
    def test_one_text_is_no_list(self, argument: str) -> None:
        """Its letters would be taken for entries."""
        with pytest.raises(ConfigurationError, match=f"{argument} takes a list"):
            HttpFetcher(**{argument: "http://nas:9696"})  # type: ignore[arg-type]


class TestAllowedNetworks:
    """A network that counts as public."""

    def test_everything_in_it_can_be_fetched_from(self, net: Net, tracker: Tracker) -> None:
        """By any name, and across redirects."""
        net.names["nas.example"] = [["10.1.2.3"]]
        net.routes["10.1.2.3"] = tracker.url

        torrent = fetch("http://nas.example:9696/v1/Dune", allowed_networks=["10.1.0.0/16"])

        assert isinstance(torrent, TorrentFile)
        assert net.connected == [("10.1.2.3", 9696)]

    def test_what_lies_beside_it_stays_closed(self, net: Net) -> None:
        """And so does a name that has one address within and one without."""
        net.names |= {"mixed.example": [["10.1.2.3", "10.2.0.1"]]}

        for host in ("10.2.0.1", "127.0.0.1", "[fd12::1]", "mixed.example"):
            with pytest.raises(BlockedAddress):
                fetch(f"http://{host}/", allowed_networks=["10.1.0.0/16", "fd11::/16"])

        assert not net.connected

    def test_its_ports_are_those_of_web_servers(self, net: Net) -> None:
        """As they are in public."""
        with pytest.raises(BlockedAddress, match="port"):
            fetch("http://10.1.2.3:22/", allowed_networks=["10.0.0.0/8"])

        assert not net.connected

    @pytest.mark.parametrize(
        ("network", "address", "opened"),
        [
            ("127.0.0.0/8", "127.0.0.1", True),
            ("127.0.0.0/8", "::ffff:127.0.0.1", True),
            ("127.0.0.0/8", "::127.0.0.1", False),
            ("127.0.0.0/8", "2002:7f00:1::", False),
            ("127.0.0.0/8", "::1", False),
            ("::1/128", "::1", True),
            ("::1", "::1", True),
            ("::1", "127.0.0.1", False),
            ("fd12:3456::/32", "fd12:3456::7", True),
            ("fd12:3456::/32", "fd12:3457::7", False),
            ("192.168.1.7", "192.168.1.7", True),
            ("192.168.1.7", "192.168.1.8", False),
            ("64:ff9b:1::/48", "64:ff9b:1::8.8.8.8", True),
            ("64:ff9b:1::/48", "64:ff9b:1::10.0.0.1", False),
        ],
    )
    def test_it_holds_what_it_says(self, network: str, address: str, opened: bool) -> None:  # noqa: FBT001
        """An address that stands for two must be open as both."""
        assert is_refused(ip_address(address), allowed_networks=[network]) is not opened

    @pytest.mark.parametrize("network", ["", "nas", "10.0.0.1/8", "10.0.0.0/33", "10.0.0", "fd12::/129", "*", "10.*"])
    def test_it_must_be_a_network(self, network: str) -> None:
        """One with bits behind its length is a mistake, and which, nobody can tell."""
        with pytest.raises(ConfigurationError, match="each of allowed_networks must look like"):
            HttpFetcher(allowed_networks=["10.0.0.0/8", network])


class TestWhatStaysClosed:
    """Link-local, multicast, no address at all, and metadata services."""

    @pytest.mark.parametrize("address", NEVER)
    @pytest.mark.parametrize(
        "opened",
        [lambda origin: {"trusted_origins": [origin]}, lambda _: {"allowed_networks": EVERYTHING}],
        ids=["trusted", "allowed"],
    )
    def test_nobody_can_open_it(self, net: Net, address: str, opened: Callable[[str], dict[str, Any]]) -> None:
        """Neither spelled out nor behind a name."""
        net.names["nas.example"] = [[address], [PUBLIC, address]]

        for host in (f"[{address}]" if ":" in address else address, "nas.example", "nas.example"):
            with pytest.raises(BlockedAddress, match="always refused"):
                fetch(f"http://{host}/", **opened(f"http://{host}"))

        assert not net.connected
