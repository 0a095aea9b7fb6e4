"""Torrents from MyAnonamouse, with the session cookie ``mam_id``.

The site's API pages are for its members only: what is built on here was learnt from the
sources and issues of programs that use it, up to November 2026. The guide "Private
trackers" says so of each fact.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs, urlsplit

import httpx

from audiobatch._closing import Closing
from audiobatch._fork import here
from audiobatch._tls import Verify
from audiobatch.errors import (
    ConfigurationError,
    FetchDenied,
    FetchError,
    RateLimited,
    TorrentNotFound,
    error_for,
)
from audiobatch.fetchers._addresses import Destinations
from audiobatch.fetchers._mam_answers import NEW_SESSION, Refusal, read
from audiobatch.fetchers._mam_cookie import COOKIE, clean, new_cookie
from audiobatch.fetchers._pace import Pace
from audiobatch.fetchers._retrieval import TIMEOUT, Redirection, Retrieval
from audiobatch.fetchers._transport import GuardedTransport
from audiobatch.metainfo import Torrent, parse_magnet
from audiobatch.models import DownloadRequest
from audiobatch.sessions import MemorySessionStore, Session, SessionStore

_DOMAIN: Final = "myanonamouse.net"
_DOWNLOAD: Final = f"https://www.{_DOMAIN}/tor/download.php"
_MIN_GAP: Final = 1.0
_MAX_GAP: Final = 3600.0
_MIN_PAUSE: Final = 60.0  # seconds: after a failure, nothing is asked again at once


def download_url(torrent_id: int | str, *, freeleech_wedge: bool = False) -> str:
    """Return the URL of a torrent on MyAnonamouse, for `DownloadRequest.torrent_url`.

    Args:
        torrent_id: The number in the address of its page.
        freeleech_wedge: Spend a freeleech wedge on it; the fetcher must permit that too.

    Raises:
        ConfigurationError: The id is no number.
    """
    if not re.fullmatch(r"[0-9]{1,12}", str(torrent_id)):
        raise ConfigurationError("a torrent of MyAnonamouse is named by its number, as in the address of its page")
    return f"{_DOWNLOAD}?tid={torrent_id}" + ("&fl" if freeleech_wedge else "")


class MyAnonamouseFetcher(Closing):
    """Fetches torrents from MyAnonamouse: politely, and without losing the session.

    It takes ``https://www.myanonamouse.net/t/123`` (a torrent's page), ``.../tor/download.php?tid=123``,
    and what `download_url` makes of an id. One request at a time goes out, none sooner than
    ``gap`` seconds after the one before, and none is repeated by itself once it was sent.

    The site changes the cookie with its answers: each new value is saved before the answer is
    used. So a session belongs to one fetcher alone; make another one, on the site, for each
    program that needs one, and in the very process that uses it: after a fork, the children
    refuse to fetch, for they would take the cookie from each other. After a refusal the site
    is left alone for as long as it said, or for a minute where it refused the session.

    Args:
        mam_id: The cookie, as the site shows it at Preferences, Security; what people paste
            around it (``mam_id=``, quotes, a semicolon, other cookies) is taken off.
        sessions: Where the newest cookie is kept. Without a `FileSessionStore` it is lost when
            the process ends, and the configured one may be worth nothing by then. A newly
            configured cookie is preferred to what is kept of an older one.
        gap: Seconds from one request to the next, 1 to 3600.
        spend_wedges: Follow URLs that ask to spend a freeleech wedge. Otherwise they are
            refused, for a URL may come from somebody else.
        proxy: See `HttpFetcher`. A session is locked to an address or a network, so it may
            have to be the proxy that your torrent client uses.
        tls: See `HttpFetcher`.
        timeout: Seconds that a fetch may take, from its turn on.
        transport: See `HttpFetcher`.

    Raises:
        ConfigurationError: One of these cannot be used as it is.
    """

    def __init__(
        self,
        mam_id: str,
        *,
        sessions: SessionStore | None = None,
        gap: float = 2.0,
        spend_wedges: bool = False,
        proxy: str | None = None,
        tls: Verify | None = None,
        timeout: float = TIMEOUT,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        cookie = clean(mam_id)
        if cookie is None:
            raise ConfigurationError("that is no mam_id: copy the session's value from Preferences, Security")
        if not _MIN_GAP <= gap <= _MAX_GAP:
            raise ConfigurationError(f"the gap between two requests must be {_MIN_GAP:g} to {_MAX_GAP:g} seconds")
        self._begun = self._session = Session.begin(cookie)
        self._sessions: SessionStore = MemorySessionStore() if sessions is None else sessions
        self._saved = True
        self._spend_wedges = spend_wedges
        self._pace = Pace(gap)
        self._refusal: tuple[FetchError, float] | None = None
        self._refused: set[str] = set()
        self._wedges: set[str] = set()
        destinations = Destinations()
        self._owned = transport is None
        self._process = here()
        self._transport = transport or GuardedTransport(destinations, proxy, tls)
        self._retrieval = Retrieval(self._transport, destinations, timeout)
        self._take_up_session()

    def __repr__(self) -> str:
        return "MyAnonamouseFetcher()"

    def accepts(self, url: str, /) -> bool:
        """Tell whether the URL is one of MyAnonamouse."""
        try:
            return _is_ours(url)
        except ValueError:
            return False

    def fetch(self, request: DownloadRequest, /) -> Torrent:
        """Fetch and parse the torrent of a request; see `TorrentFetcher.fetch`.

        Raises:
            FetchDenied: Not signed in, or the session is locked to another address.
            RateLimited: Too many requests, or too many torrents that are not seeded yet:
                ``retry_after`` says how long that lasts.
            TorrentNotFound: The URL names no torrent, or one that is gone.
            FetchUnavailable: The site has trouble; ``retry_after`` is set.
            FetchError: A wedge may have been spent, or the session's cookie cannot be kept; or
                nobody waits for the torrent any more.
            ConfigurationError: The fetcher belongs to the process that this one was forked from.
        """
        self._process.require("the session of MyAnonamouse", "make a fetcher with a session of its own in each process")
        url, wedge = self._read(request.torrent_url)
        with self._pace.turn():
            self._raise_if_refused()
            self._go_on_with_session()
            self._pace.step()
            if wedge:
                self._note_wedge(url)
            cookie = self._session.current
            got = self._ask(url)
            if not isinstance(got, Refusal):
                return got
            error = _never_at_once(got.error)
            if got.of_session:
                self._refused.add(cookie)
            if got.of_session or isinstance(error, RateLimited):
                self._refusal = error, time.monotonic() + (error.retry_after or _MIN_PAUSE)
        if wedge and error.transient:
            spent = f"{error}; a freeleech wedge may have been spent: look at the site before you ask again"
            raise FetchError(spent, retry_after=error.retry_after)
        raise error

    def close(self) -> None:
        """Close the connections, if they are our own; who waits for a turn waits no longer."""
        self._pace.end()
        if self._owned:
            self._transport.close()

    def _read(self, given: str) -> tuple[str, bool]:
        """Return the URL to ask for, made from nothing but the id, and whether it spends a wedge.

        Raises:
            TorrentNotFound: There is no id in it.
            FetchDenied: It would spend a wedge without permission.
        """
        if not self.accepts(given):
            raise TorrentNotFound("that is no URL of MyAnonamouse")
        parts = urlsplit(given)
        asked = parse_qs(parts.query, keep_blank_values=True)
        page = re.fullmatch(r"/t/([0-9]{1,12})/?", parts.path)
        torrent_id = page[1] if page else asked.get("tid", [""])[0]
        if not re.fullmatch(r"[0-9]{1,12}", torrent_id) or not (page or parts.path.startswith("/tor/download.php")):
            raise TorrentNotFound(
                "the URL names no torrent of MyAnonamouse: take that of the torrent's page, "
                "or a download link with tid=; since July 2026, links without it do not work"
            )
        wedge = "fl" in asked
        if wedge and not self._spend_wedges:
            raise FetchDenied("the URL asks to spend a freeleech wedge, which spend_wedges does not permit")
        return download_url(torrent_id, freeleech_wedge=wedge), wedge

    def _note_wedge(self, url: str) -> None:
        if url in self._wedges:
            raise FetchError("a freeleech wedge was asked for before, for this torrent: that is never done twice")
        self._wedges.add(url)

    def _raise_if_refused(self) -> None:
        if self._refusal is None:
            return
        error, until = self._refusal
        left = until - time.monotonic()
        if left > 0:
            again = f"{error} (it was not asked again: {left:.0f} seconds are left of that)"
            raise error_for(error.code, again, retry_after=left if error.transient else None)

    def _go_on_with_session(self) -> None:
        if not self._saved:
            self._save(self._session)
            return
        try:
            self._take_up_session()
        except ConfigurationError as error:
            raise FetchError(str(error)) from None

    def _take_up_session(self) -> None:
        """Take the newest cookie that is kept, or the configured one where that was refused."""
        kept = self._sessions.load()
        if kept is None or kept.configured != self._begun.configured:
            self._session = self._begun
        else:
            self._session = kept if clean(kept.current) and kept.current not in self._refused else self._begun

    def _ask(self, url: str) -> Torrent | Refusal:
        try:
            answer = self._retrieval.get(url, headers_for=self._headers_for, seen=self._keep_cookie)
        except FetchDenied as error:  # led to the login page
            return Refusal(FetchDenied(f"{error}; {NEW_SESSION}"), of_session=True)
        except FetchError as error:
            return Refusal(error)
        return parse_magnet(answer.magnet) if isinstance(answer, Redirection) else read(answer)

    def _headers_for(self, url: str) -> Mapping[str, str]:
        return {"Cookie": f"{COOKIE}={self._session.current}"} if _may_have_cookie(url) else {}

    def _keep_cookie(self, url: str, headers: httpx.Headers) -> None:
        value = new_cookie(headers) if _may_have_cookie(url) else None
        if value is not None and value != self._session.current:
            self._session = Session(self._begun.configured, value)
            self._save(self._session)

    def _save(self, session: Session) -> None:
        self._saved = False
        try:
            self._sessions.save(session)
        except OSError as error:
            reason = error.strerror or type(error).__name__
        else:
            self._saved = True
            return
        raise FetchError(f"the new cookie of MyAnonamouse cannot be saved ({reason}): nothing is fetched until it is")


def _is_ours(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts.scheme in ("http", "https") and (host == _DOMAIN or host.endswith(f".{_DOMAIN}"))


def _may_have_cookie(url: str) -> bool:
    return url.startswith("https://") and _is_ours(url)


def _never_at_once(error: FetchError) -> FetchError:
    """Make a transient error one that nobody repeats at once: the site may count what it was asked."""
    if error.transient and (error.retry_after or 0) < _MIN_PAUSE:
        error.retry_after = _MIN_PAUSE
    return error
