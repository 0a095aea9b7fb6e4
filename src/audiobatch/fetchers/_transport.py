"""Connect only to addresses that were checked, and only for as long as an errand may take.

httpx has no public place to choose an address at, httpcore beneath it has: a network
backend. So this is a thin transport of our own over httpcore's public classes. The
packages that guard httpx reach into its private parts, or are too young to lean on.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from importlib import import_module
from ipaddress import ip_address
from threading import Lock
from typing import Any, Final

import httpcore
import httpx
from attrs import define, field
from attrs.converters import optional

from audiobatch._fork import abandon, here, renew_in_child, sever_in_child
from audiobatch._quiet import quiet
from audiobatch._tls import Verify, accepting
from audiobatch._urls import origin
from audiobatch.errors import BlockedAddress, ConfigurationError, NotATorrent
from audiobatch.fetchers._addresses import Address, Destinations
from audiobatch.fetchers._connecting import Connector
from audiobatch.fetchers._heads import HeadReader
from audiobatch.fetchers._resolution import LookUps, is_own, resolve

_IDLE: Final = 30.0  # seconds that an unused connection is kept
_MAX_IDLE: Final = 8  # unused connections with TLS, and as many without

_look_ups: Final = LookUps()


@define
class Errand:
    """What one fetch may take, over all its hops: the rest of its time, and of its bytes.

    Attributes:
        deadline: When its time is over, by the monotonic clock.
        bytes_left: Bytes that may still be received.
        trusted: The user vouches for the server of this hop.
        answered: A server has answered, if only with a redirect.
    """

    deadline: float
    bytes_left: int
    trusted: bool = False
    answered: bool = False

    def time_left(self, timeout: float | None) -> float:
        """Return the seconds that a step may take: its own limit, and no more than is left.

        Raises:
            httpx.ReadTimeout: Nothing is left, even if the step would not have to wait.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise httpx.ReadTimeout("the time for all of it is over")
        return left if timeout is None else min(timeout, left)

    def count(self, received: int) -> None:
        """Take what was received off what is left.

        Raises:
            NotATorrent: It was too much.
        """
        self.bytes_left -= received
        if self.bytes_left < 0:
            raise NotATorrent("the answer is larger than it may be")


_errand: ContextVar[Errand] = ContextVar("audiobatch_errand")


@contextmanager
def on_errand(errand: Errand) -> Iterator[None]:
    """Bind whatever is sent and received in this block, by this thread, to the limits of the errand."""
    token = _errand.set(errand)
    try:
        with quiet():
            yield
    finally:
        _errand.reset(token)


class _PunctualStream(httpcore.NetworkStream):
    """A connection, each of whose steps knows what is left of the errand that it is on."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self._heads = HeadReader()

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        while True:
            received = self._stream.read(max_bytes, _errand.get().time_left(timeout))
            _errand.get().count(len(received))
            given = self._heads.take(received)
            if given or not received:
                return given

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._heads.expect()
        self._stream.write(buffer, _errand.get().time_left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _errand.get().time_left(timeout)
        return _own_to_this_process(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _own_to_this_process(stream: httpcore.NetworkStream) -> _PunctualStream:
    connection = stream.get_extra_info("socket")
    if isinstance(connection, socket.socket):
        sever_in_child(connection)
    return _PunctualStream(stream)


class _GuardedBackend(httpcore.NetworkBackend):
    """Resolves a host once, checks every address it has, and connects to one of exactly these.

    The host's name stays what TLS is checked against.
    """

    def __init__(self, destinations: Destinations | None) -> None:
        self._destinations = destinations
        self._network = httpcore.SyncBackend()
        self._connector = Connector()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        errand, guard = _errand.get(), self._destinations
        addresses = _resolve(host, port, errand.time_left(timeout))
        if guard is not None:
            guard.require(addresses, host=host, trusted=errand.trusted)
            guard.require_foreign(filter(is_own, addresses), host=host, trusted=errand.trusted)

        def connect(address: Address, seconds: float) -> httpcore.NetworkStream:
            return self._network.connect_tcp(str(address), port, seconds, local_address, socket_options)

        address, stream = self._connector.connect(host, addresses, errand.time_left(timeout), connect)
        if guard is not None and _leads_back(address, stream):
            try:
                guard.require_foreign([address], host=host, trusted=errand.trusted)
            except BlockedAddress:
                stream.close()
                raise
        return _own_to_this_process(stream)


def _resolve(host: str, port: int, timeout: float) -> list[Address]:
    try:
        with suppress(OSError):
            return resolve(host, port, flags=socket.AI_NUMERICHOST)  # no name: nobody is asked, so it takes no time
        return _look_ups.addresses(host, port, timeout)
    except TimeoutError:
        raise httpcore.ConnectTimeout from None
    except (OSError, UnicodeError):
        raise httpcore.ConnectError from None


def _leads_back(address: Address, stream: httpcore.NetworkStream) -> bool:
    """Tell whether both ends of a connection are one address, which is one of this machine then."""
    here = stream.get_extra_info("client_addr")
    return bool(here) and ip_address(str(here[0]).partition("%")[0]) == address


@define
class _Body(httpx.SyncByteStream):
    _response: httpcore.Response

    def __iter__(self) -> Iterator[bytes]:
        with _httpx_errors():
            yield from self._response.iter_stream()

    def close(self) -> None:
        with _httpx_errors():
            self._response.close()


@contextmanager
def _httpx_errors() -> Iterator[None]:
    try:
        yield
    except (
        httpcore.TimeoutException,
        httpcore.NetworkError,
        httpcore.ProtocolError,
        httpcore.ProxyError,
        httpcore.UnsupportedProtocol,
    ) as error:
        # Both libraries have the same names for the same troubles.
        raise getattr(httpx, type(error).__name__)(str(error)) from None
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "socksio":
            raise
        # httpcore lets these through, where a SOCKS proxy hangs up, or is none.
        raise httpx.ProxyError("the proxy does not speak SOCKS5") from None


def _read_proxy(url: str) -> httpcore.Proxy:
    wrong = "a proxy must look like http://host:port, https://host:port or socks5://host:port"
    try:
        read, shown = httpx.Proxy(url), origin(url)
        place = httpcore.URL(
            scheme=read.url.raw_scheme, host=read.url.raw_host, port=read.url.port, target=read.url.raw_path
        )
        if shown != origin(str(read.url)) and shown.isascii():
            shown = ""
    except (httpx.InvalidURL, ValueError):
        shown = ""  # and on from out here, for that error can hold a password
    if not shown.startswith(("http://", "https://", "socks5://", "socks5h://")):
        raise ConfigurationError(wrong)
    if shown.startswith("socks5"):
        try:
            import_module("socksio")
        except ImportError:
            raise ConfigurationError("a SOCKS proxy needs one more package: pip install 'httpx[socks]'") from None
    return httpcore.Proxy(place, auth=read.raw_auth, headers=read.headers.raw)


def _read_tls(given: Verify) -> ssl.SSLContext:
    if isinstance(given, ssl.SSLContext):
        return given
    return accepting(given, "tls=", httpx.create_ssl_context(trust_env=False))


@define
class GuardedTransport(httpx.BaseTransport):
    """An httpx transport that goes only where it may, and takes no longer than its errand may; see `on_errand`.

    Args:
        destinations: Where it may connect to.
        proxy: A proxy that connects in its stead. Then the addresses of hosts are the
            proxy's to find and to check.
        tls: How servers are checked, or a file of certificates to accept besides those that httpx brings.

    Raises:
        ConfigurationError: The proxy's URL cannot be used, or the file of certificates.
    """

    _destinations: Destinations
    _proxy: httpcore.Proxy | None = field(default=None, converter=optional(_read_proxy))
    _tls: ssl.SSLContext | None = field(default=None, converter=optional(_read_tls))
    _pools: dict[bool, httpcore.ConnectionPool] = field(factory=dict, init=False)
    _backend: _GuardedBackend = field(init=False)
    _lock: Lock = field(factory=Lock, init=False)
    _closed: bool = field(default=False, init=False)
    _own_tls: ssl.SSLContext | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        # With a proxy, it is the proxy that is connected to, and its user has named it.
        self._backend = _GuardedBackend(self._destinations if self._proxy is None else None)
        renew_in_child(self, GuardedTransport._renew)

    def _renew(self) -> None:
        self._lock = Lock()
        abandon((self._pools, self._own_tls))
        self._pools, self._own_tls = {}, None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return the answer as soon as its headers are there."""
        url = request.url
        _errand.get().trusted = self._destinations.trusts(str(url))
        with _httpx_errors():
            response = self._pool(secure=url.scheme == "https").handle_request(
                httpcore.Request(
                    request.method,
                    httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                    headers=request.headers.raw,
                    extensions=request.extensions,
                )
            )
        return httpx.Response(response.status, headers=response.headers, stream=_Body(response))

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for pool in self._pools.values():
                pool.close()
            self._pools.clear()
            self._closed = True

    def _pool(self, *, secure: bool) -> httpcore.ConnectionPool:
        """Return the connections to use: those with TLS are kept by themselves.

        A connection serves one origin alone, so one to a server that the user vouches for serves nobody else.
        """
        here()
        with self._lock:
            if self._closed:
                raise RuntimeError("nothing can be fetched any more: the fetcher was closed")
            if secure not in self._pools:
                self._pools[secure] = self._open(secure=secure)
            return self._pools[secure]

    def _open(self, *, secure: bool) -> httpcore.ConnectionPool:
        if secure and self._tls is None and self._own_tls is None:
            # Made when it is needed, for it reads a large file, and once, for httpcore would do so at each connection.
            self._own_tls = httpx.create_ssl_context(trust_env=False)
        return httpcore.ConnectionPool(
            ssl_context=self._tls or self._own_tls,
            proxy=self._proxy,
            max_connections=None,
            max_keepalive_connections=_MAX_IDLE,
            keepalive_expiry=_IDLE,
            network_backend=self._backend,
        )
