"""Tell where a fetcher may connect to: which addresses, and which ports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final, TypeAlias

from attrs import field, frozen

from audiobatch._urls import origin
from audiobatch.errors import BlockedAddress, ConfigurationError
from audiobatch.fetchers._location import read_location

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(map(ip_network, texts))


# Nobody keeps a tracker there, and at a cloud's metadata service lie the keys to everything.
_NEVER: Final = _networks(
    *("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32"),
    *("100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32"),  # metadata at Alibaba, Azure and Oracle
    *("::/128", "fe80::/10", "ff00::/8"),
    *("fd00:ec2::/32", "fd20:ce::254/128"),  # metadata at Amazon and Google
)

# The special-purpose registries of the IANA (RFC 6890), without the few entries that are reachable from everywhere.
_SPECIAL: Final = _networks(
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
    *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16"),
    *("192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    # Of IPv6, only 2000::/3 is given out (RFC 4291 and its registry): what lies around it is special as a whole.
    *("::/3", "4000::/2", "8000::/1"),
    *("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"),
)

_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_COMPATIBLE: Final = IPv6Network("::/96")
_LOCAL_NAT64: Final = IPv6Network("64:ff9b:1::/48")

# Those from 1024 up that browsers refuse (WHATWG Fetch, "port blocking"): other protocols live there.
_FOREIGN_PORTS: Final = frozenset(
    {1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, *range(6665, 6670), 6679, 6697, 10080}
)


def _faces(address: Address) -> Iterator[Address]:
    """Yield every address that an address can stand for: IPv6 has five ways to hold an IPv4 address."""
    if isinstance(address, IPv4Address):
        yield address
        return
    last_four = IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _MAPPED or address in _NAT64:
        yield last_four  # a mere spelling of it: where IPv4 goes through NAT64, every host looks like this
        return
    yield address
    if (address in _COMPATIBLE and not address.is_loopback) or address in _LOCAL_NAT64:
        yield last_four
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo


def _read_network(given: str, argument: str) -> Network:
    try:
        return ip_network(given)
    except ValueError:
        pass
    # Raised out here, for that error holds what was given.
    raise ConfigurationError(f"each of {argument} must look like 192.168.1.0/24 or fd12:3456::/32")


def _read_networks(given: Iterable[str], argument: str) -> tuple[Network, ...]:
    return tuple(_read_network(text, argument) for text in _several(given, argument))


def _read_allowed(given: Iterable[str]) -> tuple[Network, ...]:
    return _read_networks(given, "allowed_networks")


def _read_denied(given: Iterable[str]) -> tuple[Network, ...]:
    return _read_networks(given, "denied_networks")


def read_origin(given: str) -> str:
    """Return an origin in one spelling.

    Raises:
        ConfigurationError: It is none, or has a path or a user part besides.
    """
    try:
        read = read_location(given).origin  # the form that is asked for, where a name is not ASCII
    except BlockedAddress:
        read = ""
    if not read or given.strip("/").count("/") != 2 or set("@?#") & set(given):
        raise ConfigurationError("an origin must look like http://host:port, without user and path")
    return read


def _read_origins(given: Iterable[str]) -> frozenset[str]:
    return frozenset(map(read_origin, _several(given, "trusted_origins")))


def _several(given: Iterable[str], name: str) -> Iterable[str]:
    if isinstance(given, str):
        raise ConfigurationError(f"{name} takes a list of texts, not one text")
    return given


@frozen(kw_only=True)
class Destinations:
    """Where a fetcher may connect to: the public internet, and what its user has opened.

    Args:
        trusted_origins: Servers that the user vouches for: any address of theirs will do, and any port.
        allowed_networks: Networks that count as public.
        denied_networks: Networks with public addresses that are the user's own, and count as private.

    Raises:
        ConfigurationError: One of them cannot be read.
    """

    trusted_origins: frozenset[str] = field(default=(), converter=_read_origins)
    allowed_networks: tuple[Network, ...] = field(default=(), converter=_read_allowed)
    denied_networks: tuple[Network, ...] = field(default=(), converter=_read_denied)

    def trusts(self, url: str) -> bool:
        """Tell whether the user vouches for the server of this URL: scheme, host and port."""
        return origin(url) in self.trusted_origins

    def permits_port(self, port: int) -> bool:
        """Tell whether a web server may be asked for at this port, where nobody vouches for it."""
        return port in (80, 443) or (1024 <= port <= 65535 and port not in _FOREIGN_PORTS)

    def require(self, addresses: Iterable[Address], *, host: str, trusted: bool) -> None:
        """Do nothing if all addresses of a host may be connected to.

        A host of which one is refused is refused whole: an attack that changes its answers looks like that.

        Raises:
            BlockedAddress: One of them may not.
        """
        if not all(self._permits(address, trusted=trusted) for address in addresses):
            # The address is not told: whoever gave the URL could map a network with that.
            raise BlockedAddress(
                f"{host} leads into a private or special network: if that is intended, name it in trusted_origins, "
                "or the network in allowed_networks; link-local and metadata addresses are always refused"
            )

    def require_foreign(self, own: Iterable[Address], *, host: str, trusted: bool) -> None:
        """Do nothing if those addresses of a host that this machine itself has may be connected to.

        Raises:
            BlockedAddress: One of them may not.
        """
        if not trusted and not all(_is_in(face, self.allowed_networks) for each in own for face in _faces(each)):
            raise BlockedAddress(f"{host} leads to this very machine: if that is intended, name it in trusted_origins")

    def _permits(self, address: Address, *, trusted: bool) -> bool:
        faces = list(_faces(address))
        if any(_is_in(face, _NEVER) for face in faces):
            return False
        private = (*_SPECIAL, *self.denied_networks)
        return trusted or all(_is_in(face, self.allowed_networks) or not _is_in(face, private) for face in faces)


def _is_in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)
