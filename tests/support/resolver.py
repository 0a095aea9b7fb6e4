"""A made-up network: names with the addresses that a test gives them, and nothing behind those but loopback."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

import pytest

from support.server import PATIENCE

Place = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int]]


class Net:
    """Answers in place of the system's resolver, and sees every connection before it is made.

    Whatever a test does, no name server is asked, and only loopback is connected to.

    Attributes:
        names: For a name, its answers: the first look-up gets the first, and the last one stays.
        routes: For an address, the URL of the server on loopback that plays it; what has none refuses.
        answering: While it is not set, the resolver keeps whoever looks up a name waiting.
        silent: Addresses that swallow everything: whoever connects has waited in vain.
        held: Addresses that swallow everything too, but whoever connects does wait, until `released`.
        asked: The names that were looked up, in order.
        connected: Address and port of each try to connect, in order.
        patience: The seconds that each of those would have waited.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.names: dict[str, list[list[str]]] = {}
        self.routes: dict[str, str] = {}
        self.answering = threading.Event()
        self.answering.set()
        self.silent: set[str] = set()
        self.held: set[str] = set()
        self.released = threading.Event()
        self.asked: list[str] = []
        self.connected: list[tuple[str, int]] = []
        self.patience: list[float | None] = []
        self._look_up = socket.getaddrinfo
        self._connect = socket.socket.connect
        patch.setattr(socket, "getaddrinfo", self.getaddrinfo)
        # Beneath everything that connects; and a function, for a method of ours would not be told of the socket.
        patch.setattr(socket.socket, "connect", lambda connecting, place: self.connect(connecting, place))  # noqa: PLW0108

    def getaddrinfo(
        self,
        host: str,
        port: int,
        family: int = 0,
        type: int = 0,  # noqa: A002
        proto: int = 0,
        flags: int = 0,
    ) -> Sequence[object]:
        """Let the system read what is an address in any spelling, and look everything else up here."""
        try:
            return self._look_up(host, port, family, type, proto, flags | socket.AI_NUMERICHOST)
        except socket.gaierror:
            if flags & socket.AI_NUMERICHOST:
                raise
        self.asked.append(host)
        self.answering.wait(PATIENCE)
        return [_place(address, port) for address in self._answer(host)]

    def connect(self, connecting: socket.socket, place: tuple[str, int]) -> None:
        """Connect to what plays the address, if anything does."""
        address, port = place[:2]
        self.connected.append((address, port))
        self.patience.append(connecting.gettimeout())
        if address in self.held:
            self.released.wait(min(connecting.gettimeout() or PATIENCE, PATIENCE))
        if address in self.silent or (address in self.held and address not in self.routes):
            raise TimeoutError
        if address in self.routes:
            server = urlsplit(self.routes[address])
            assert server.hostname is not None
            self._connect(connecting, (server.hostname, server.port))
        elif ip_address(address).is_loopback:
            self._connect(connecting, place)
        else:
            raise ConnectionRefusedError

    def _answer(self, host: str) -> list[str]:
        answers = self.names.get(host.lower())
        if not answers:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return answers.pop(0) if len(answers) > 1 else answers[0]


def _place(address: str, port: int) -> Place:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))
