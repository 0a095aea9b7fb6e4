"""Find the addresses of a host."""

from __future__ import annotations

import socket
from ipaddress import ip_address

from audiobatch.fetchers._addresses import Address


def resolve(host: str, port: int, *, flags: int = 0) -> list[Address]:
    """Return the addresses of a host, in the order to try them.

    Args:
        host: A name, or an address in any spelling that the system takes, such as ``0x7f.1``.
        port: Where the connection will go.
        flags: For `socket.getaddrinfo`.

    Raises:
        OSError: There is no such host.
        UnicodeError: It cannot be a host.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    # A dictionary, for it keeps the order and drops what comes twice; of an address with a zone, the address.
    return list(dict.fromkeys(ip_address(str(place[0]).partition("%")[0]) for *_, place in found))


def spelled_out(host: str, port: int) -> list[Address]:
    """Return the address that a host itself says, or nothing if it is a name: no name server is asked."""
    host = host.lower().rstrip(".")  # the root's dot makes a name of an address for some, for others it does not
    if host.rpartition(".")[2] == "localhost":
        host = "127.0.0.1"
    try:
        return resolve(host, port, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return []
