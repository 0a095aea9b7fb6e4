"""Torrents from any http or https URL: public trackers, Prowlarr and Jackett links."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import parse_qs, urlsplit

import httpx
from attrs import frozen

from audiobatch._closing import Closing
from audiobatch._fork import here
from audiobatch._tls import Verify
from audiobatch._urls import origin
from audiobatch.errors import ConfigurationError, FetchError, FetchUnavailable
from audiobatch.fetchers._addresses import Destinations, read_origin
from audiobatch.fetchers._answers import error_of, torrent_in, unavailable
from audiobatch.fetchers._notices import error_told
from audiobatch.fetchers._pace import Paces
from audiobatch.fetchers._retrieval import MAX_SIZE, TIMEOUT, Answer, Redirection, Retrieval
from audiobatch.fetchers._transport import GuardedTransport
from audiobatch.fetchers._wait import retry_after
from audiobatch.metainfo import Torrent, parse_magnet
from audiobatch.models import DownloadRequest

_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")
_MAX_GAP: Final = 3600.0
_INDEXER_PAUSE: Final = 60.0  # seconds, for Prowlarr and Jackett ask the tracker behind them each time


@frozen(kw_only=True)
class Politeness:
    """How hard a tracker may be pressed.

    Args:
        per_host: Requests to one host at a time, at least 1; the downloader's
            ``max_concurrent_fetches`` is over all hosts.
        gap: Seconds from one request to a host to the next, at least 0.

    Raises:
        ConfigurationError: One of them is less.
    """

    per_host: int = 8
    gap: float = 0.0

    def __attrs_post_init__(self) -> None:
        if self.per_host < 1 or not 0 <= self.gap <= _MAX_GAP:
            raise ConfigurationError(f"per_host must be at least 1, and the gap 0 to {_MAX_GAP:g} seconds")


class HttpFetcher(Closing):
    """Fetches torrents with plain GET requests, and follows redirects itself, five at most.

    It stops at a magnet link, be it in a redirect or in a short answer, and returns that.

    It connects to public addresses only, on ports where web servers are: the URL comes from
    somebody else, and must not lead into your network. What you need there, you open:
    ``trusted_origins`` for a Prowlarr at home, ``allowed_networks`` for more than that.
    Each redirect is judged anew. Proxies and passwords from the environment are not used.

    Args:
        trusted_origins: Servers that you vouch for, each as ``scheme://host`` or
            ``scheme://host:port``: they may have any address and port, and a redirect may lead
            from https to plain http there. Link-local and metadata addresses stay closed.
        allowed_networks: Networks that count as public, such as ``192.168.1.0/24``.
        denied_networks: Networks of yours whose addresses are public: they count as private.
        credentials: For an origin, the headers that it gets and nobody else, such as
            ``{"https://tracker.example": {"Cookie": "uid=1; pass=..."}}``.
        proxy: ``http://``, ``https://`` or ``socks5://host:port``, with user and password if
            need be. The proxy finds the addresses of hosts then, and has to refuse those that
            are private: here only those are refused that the URL itself spells out.
        tls: A file (PEM) with a certificate that is accepted besides the public authorities', a
            server's own or that of its authority; or an `ssl.SSLContext` that says how all are checked.
        timeout: Seconds that a fetch may take, redirects and all.
        max_size: Bytes that an answer may have, on the wire and unpacked.
        politeness: How hard each host may be pressed.
        transport: An httpx transport to use instead of the guarded one, in tests say. Then, as
            with a proxy, addresses that are not spelled out are its own affair; it stays yours to close.

    Raises:
        ConfigurationError: One of these cannot be used as it is.
    """

    def __init__(  # noqa: PLR0913 - each is a decision of its own
        self,
        *,
        trusted_origins: Iterable[str] = (),
        allowed_networks: Iterable[str] = (),
        denied_networks: Iterable[str] = (),
        credentials: Mapping[str, Mapping[str, str]] | None = None,
        proxy: str | None = None,
        tls: Verify | None = None,
        timeout: float = TIMEOUT,
        max_size: int = MAX_SIZE,
        politeness: Politeness = Politeness(),
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        destinations = Destinations(
            trusted_origins=trusted_origins, allowed_networks=allowed_networks, denied_networks=denied_networks
        )
        self._credentials = {read_origin(place): _read_headers(given) for place, given in (credentials or {}).items()}
        self._trusted = destinations.trusted_origins
        self._paces = Paces(politeness.gap, at_once=politeness.per_host)
        self._owned = transport is None
        self._process = here()
        self._transport = transport or GuardedTransport(destinations, proxy, tls)
        self._retrieval = Retrieval(self._transport, destinations, timeout, max_size, self._paces, keeps_cookies=True)

    def __repr__(self) -> str:
        return f"HttpFetcher(trusted_origins={sorted(self._trusted)})"

    def accepts(self, url: str, /) -> bool:
        """Tell that this fetcher takes every http and https URL."""
        return url.lower().startswith(("http://", "https://"))

    def fetch(self, request: DownloadRequest, /) -> Torrent:
        """Fetch and parse the torrent of a request; see `TorrentFetcher.fetch`.

        Raises:
            ConfigurationError: The transport that was given belongs to the process that this one was forked from.
        """
        if not self._owned:
            self._process.require("the httpx transport given as transport=", "make it and the fetcher anew here")
        answer = self._retrieval.get(request.torrent_url, headers_for=self._headers_for)
        if isinstance(answer, Redirection):
            return parse_magnet(answer.magnet)
        error = error_told(answer) or _indexer_error(answer) or error_of(answer)
        if error is not None:
            raise error
        return torrent_in(answer)

    def close(self) -> None:
        """Close the connections, if they are our own."""
        self._paces.end()
        if self._owned:
            self._transport.close()

    def _headers_for(self, url: str) -> Mapping[str, str]:
        return self._credentials.get(origin(url), {})


def _read_headers(given: Mapping[str, str]) -> Mapping[str, str]:
    for name, value in given.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise ConfigurationError("credentials hold a header that cannot be sent: is there a line break in it?")
    return dict(given)


def _indexer_error(answer: Answer) -> FetchError | None:
    """Name the trouble of Prowlarr or Jackett with a tracker: their status hides what it was.

    Prowlarr answers 500 for whatever went wrong, Jackett 404 (seen in their sources, 2026).
    """
    parts = urlsplit(str(answer.location))
    asked = parse_qs(parts.query)
    if answer.status == 500 and parts.path.endswith("/download") and "apikey" in asked:
        name = "Prowlarr"
    elif answer.status == 404 and "/dl/" in parts.path and "jackett_apikey" in asked:
        name = "Jackett"
    else:
        return None
    wait = retry_after(answer)
    told = (
        f"{name} at {answer.source} could not get the torrent from its tracker, and does not say why "
        f"({answer.status}): its log does"
    )
    return unavailable(told, wait) if wait is not None else FetchUnavailable(told, retry_after=_INDEXER_PAUSE)
