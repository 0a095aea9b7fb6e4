"""Talk HTTP to a torrent client: the one place where httpx's errors become ours."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Final, TypeAlias

import httpx

from audiobatch._fork import abandon, here, renew_in_child
from audiobatch._tls import NOT_TLS, TLS_ONLY, Verify, accepting, tls_trouble, wants_tls
from audiobatch.clients._endpoint import Endpoint
from audiobatch.clients._exchange import MAX_WORDS, Exchange, GivenUp, OutOfTime, Streams, Unreadable
from audiobatch.clients._probe import speaks_http, speaks_tls
from audiobatch.errors import ClientError, ClientUnavailable, ConfigurationError

UploadedFile: TypeAlias = tuple[str, tuple[str, bytes, str]]
"""A form field, with the file's name, content and media type."""

_MAX_TIMEOUT: Final = 24 * 3600.0
_MAX_COOKIES: Final = 50
_STREAMS: Final = 4  # connections that are remembered: more are not open for one request at a time
_ONE_LOGIN: Final = "an API key, a login in the URL and one of the http client need the same header: use one of them"


class _NoTls(Exception):
    """The server answers in plain HTTP where TLS was begun."""


class HttpConnection:
    """An httpx client bound to one server, whose failures are `ClientError`.

    Nothing is repeated here: after a failure the caller does not know whether the
    server acted on the request, and must look.

    Args:
        url: The root of the client; see `Endpoint.read`.
        api: The path of the API below that.
        timeout: Seconds that a call may take. A request with a large body gets more: as
            much as it takes to send it with 64 KiB a second.
        http: A client to use instead of an own one; whoever made it closes it.
        verify: Whose certificates are accepted: those in a file, or as a context says.
        headers: What each request carries besides.

    Raises:
        ConfigurationError: One of these cannot be used as it is, or not beside another one.
    """

    def __init__(
        self,
        url: str,
        *,
        api: str,
        timeout: float,
        http: httpx.Client | None = None,
        verify: Verify | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.endpoint = Endpoint.read(url)
        self._origin = self.endpoint.origin
        self._secure = self._origin.startswith("https://")
        if not 0 < timeout <= _MAX_TIMEOUT:
            raise ConfigurationError("timeout must be a number of seconds above 0, and no more than a day")
        if verify is not None and (http is not None or not self._secure):
            raise ConfigurationError("verify= is for an https URL, and for a client that is not given one as http=")
        login = self.endpoint.authorization
        self._headers = {**({} if login is None else {"Authorization": login}), **(headers or {})}
        if login is not None and self._headers["Authorization"] != login:
            raise ConfigurationError(_ONE_LOGIN)
        self._api = f"{self.endpoint.url}/{api}"
        self._timeout = timeout
        self._owned = http is None
        self._given_to = here()
        self._verify = verify
        self._lock = Lock()
        self._renew()
        self._http: httpx.Client | None = http or self._open()
        renew_in_child(self, HttpConnection._renew_in_child)

    def post(
        self,
        path: str,
        *,
        data: Mapping[str, str] | None = None,
        files: Sequence[UploadedFile] = (),
        limit: int = MAX_WORDS,
    ) -> httpx.Response:
        """Send one request and return the whole answer, whatever its status below 500.

        Args:
            path: What to call, below the API.
            data: Fields of a form.
            files: Files of a form.
            limit: Bytes that the answer may have.

        Raises:
            ClientUnavailable: No answer, a broken one, or a server error.
            ClientError: What will not pass by itself: the URL leads elsewhere, TLS does not
                come about, or the answer is larger than it may be.
            ConfigurationError: The client given as ``http`` has a login of its own besides ours,
                or belongs to the process that this one was forked from.
        """
        outcome = self._ask(path, data, files, limit)
        # httpx's errors hold the request with its URL and headers: they must not travel in a traceback.
        if isinstance(outcome, ClientError):
            raise outcome
        self._answered = True
        http = self._client()
        if self._owned and len(http.cookies.jar) > _MAX_COOKIES:
            http.cookies.clear()  # no client sets that many; a new login makes up for it
        return outcome

    def close(self) -> None:
        """Close the connections, if they are our own."""
        if self._owned and self._http is not None:
            self._http.close()

    def _client(self) -> httpx.Client:
        """Return the httpx client of this process."""
        if here() is not self._given_to and not self._owned:
            raise ConfigurationError(
                "the httpx client given as http= belongs to the process that this one was forked from: "
                "make both anew in this process, or leave http= out"
            )
        with self._lock:
            if self._http is None:
                self._http = self._open()
            return self._http

    def _open(self) -> httpx.Client:
        # Proxies and .netrc from the environment are for the internet, not for a client at home.
        # Certificates, which take long to load, only where they are needed: no redirect is followed.
        verify = self._secure if self._verify is None else accepting(self._verify, "verify=")
        return httpx.Client(trust_env=False, verify=verify)

    def _renew(self) -> None:
        self._answered = False
        self._streams: Streams = deque(maxlen=_STREAMS)

    def _renew_in_child(self) -> None:
        self._lock = Lock()
        abandon((self._http, self._streams))  # a close would reach what the parent still uses
        self._renew()
        if self._owned:
            self._http = None

    def _ask(
        self, path: str, data: Mapping[str, str] | None, files: Sequence[UploadedFile], limit: int
    ) -> httpx.Response | ClientError:
        http = self._client()
        if "Authorization" in self._headers and not self._owned and _has_login(http):
            raise ConfigurationError(_ONE_LOGIN)
        sent = {**self._headers, "Accept-Encoding": "identity"}
        try:
            request = http.build_request("POST", f"{self._api}/{path}", data=data, files=files or None, headers=sent)
        except (httpx.InvalidURL, ValueError):
            return ClientError(f"the request to {self._origin} cannot be sent: it holds what is no valid text")
        exchange = Exchange(http, request, limit, self._streams)
        try:
            answer = exchange.wait(self._timeout, on_slow_handshake=lambda: self._require_tls(request.url))
        except _CAUGHT as error:
            return self._describe(error, request.url)
        failure = self._refusal_in(answer)
        return answer if failure is None else failure

    def _refusal_in(self, answer: httpx.Response) -> ClientError | None:
        place, status = f"the torrent client at {self._origin}", answer.status_code
        if status >= 500 or status < 200:
            return ClientUnavailable(f"{place} answered {status}")
        if answer.is_redirect:
            return ClientError(f"{self._origin} redirects elsewhere: give the client's own URL")
        if status == 407:
            return ClientError(f"the proxy on the way to {self._origin} asks for a login (407)")
        if status == 421:
            return ClientError(f"what answers at {self._origin} does not serve that host name (421)")
        if status == 400 and not self._secure and wants_tls(answer.content):
            return ClientError(f"{place} {TLS_ONLY}")
        return None

    def _describe(self, error: Exception, url: httpx.URL) -> ClientError:
        place = f"the torrent client at {self._origin}"
        lasting = self._what_will_not_pass(error, url)
        return ClientError(f"{place} {lasting}") if lasting else ClientUnavailable(f"{place} {_what_may_pass(error)}")

    def _what_will_not_pass(self, error: Exception, url: httpx.URL) -> str | None:
        match error:
            case Unreadable():
                return str(error)
            case _NoTls():
                return NOT_TLS
            case _:
                argument = "verify=" if self._owned else "the http client's own verify="
                return tls_trouble(error, argument) or self._other_protocol(error, url)

    def _other_protocol(self, error: Exception, url: httpx.URL) -> str | None:
        """Say so if what listens there speaks TLS where plain HTTP was sent, or the other way round."""
        # Only where we connect ourselves: what a given client does on the way is its own affair.
        if self._answered or not self._owned or not self._streams:
            return None
        if self._secure and isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return NOT_TLS if speaks_http(url) else None
        if not self._secure and isinstance(error, httpx.ReadError | httpx.WriteError | httpx.RemoteProtocolError):
            return TLS_ONLY if speaks_tls(url) else None
        return None

    def _require_tls(self, url: httpx.URL) -> None:
        if self._owned and speaks_http(url):
            raise _NoTls


def _has_login(http: httpx.Client) -> bool:
    return http.auth is not None or "Authorization" in http.headers


def _what_may_pass(error: Exception) -> str:
    match error:
        case GivenUp():
            return "was not waited for any longer, because the batch was stopped"
        case httpx.ProxyError():
            return "cannot be reached through the proxy of the http client"
        case httpx.ConnectTimeout() | httpx.ConnectError():
            return "cannot be reached"
        case OutOfTime() | httpx.TimeoutException():
            return "did not answer in time"
        case _:
            return f"gave no usable answer ({type(error).__name__})"


# What httpx, a hook of a given client, and the exchange raise.
_CAUGHT: Final = (
    *(httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, ValueError),
    *(OutOfTime, GivenUp, Unreadable, _NoTls),
)
