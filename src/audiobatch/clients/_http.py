"""Talk HTTP to a torrent client: the one place where httpx's errors become ours."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from threading import Lock
from typing import TypeAlias
from urllib.parse import urlsplit

import httpx

from audiobatch._fork import abandon, here, renew_in_child, sever_in_child
from audiobatch._quiet import quiet
from audiobatch._urls import origin
from audiobatch.errors import ClientError, ClientUnavailable, ConfigurationError

UploadedFile: TypeAlias = tuple[str, tuple[str, bytes, str]]
"""A form field, with the file's name, content and media type."""


def base_url(url: str) -> str:
    """Return the URL of a client's API root in one spelling: lower case, no user part, no slash at the end.

    Raises:
        ConfigurationError: It is no http or https URL.
    """
    try:
        root = origin(url) if url.lower().startswith(("http://", "https://")) else ""
    except ValueError:
        root = ""
    if not root:
        raise ConfigurationError("the client's URL must look like http://host:port")
    return root + urlsplit(url).path.rstrip("/")


class HttpConnection:
    """An httpx client bound to one server, whose failures are `ClientError`.

    Nothing is repeated here: after a failure the caller does not know whether the
    server acted on the request, and must look.

    Args:
        url: See `base_url`.
        api: The path of the API below that.
        timeout: Seconds for each of connecting, sending, and waiting for more of the answer.
        http: A client to use instead of an own one; whoever made it closes it.
    """

    def __init__(self, url: str, *, api: str, timeout: float, http: httpx.Client | None = None) -> None:
        self.url = base_url(url)
        self._origin = origin(self.url)
        self._api = f"{self.url}/{api}"
        self._timeout = timeout
        self._given, self._given_to = http, here()
        self._own: httpx.Client | None = None if http else self._open()
        self._lock = Lock()
        renew_in_child(self, HttpConnection._renew)

    def post(
        self,
        path: str,
        *,
        data: Mapping[str, str] | None = None,
        files: Sequence[UploadedFile] = (),
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send one request and return the whole answer, whatever its status below 500.

        Raises:
            ClientUnavailable: No answer, a broken one, or a server error.
            ClientError: The URL leads elsewhere: a redirect.
            ConfigurationError: The httpx client that was given belongs to another process.
        """
        http = self._client()
        failure = None
        try:
            with quiet():
                response = http.post(
                    f"{self._api}/{path}",
                    data=data,
                    files=files or None,
                    headers=headers,
                    timeout=self._timeout,
                    follow_redirects=False,
                )
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            # httpx's errors hold the request with its URL and headers: they must not travel in a traceback.
            failure = _describe(error)
        if failure:
            raise ClientUnavailable(f"the torrent client at {self._origin} {failure}")
        _sever_in_child(response)
        if response.status_code >= 500:
            raise ClientUnavailable(f"the torrent client at {self._origin} answered {response.status_code}")
        if response.is_redirect:
            raise ClientError(f"{self._origin} redirects elsewhere: give the client's own URL")
        with suppress(ValueError):  # raised if a hook of the given client has read it as text already
            # Python knows encodings that are none of text ("hex"), and some that fail: no answer is to name one.
            response.encoding = "utf-8"
        return response

    def close(self) -> None:
        """Close the connections, if they are our own."""
        if self._own is not None:
            self._own.close()

    def _client(self) -> httpx.Client:
        process = here()
        if self._given is not None:
            if process is not self._given_to:
                raise ConfigurationError(
                    "the httpx client given as http= belongs to the process that this one was forked from: "
                    "make both anew in this process, or leave http= out"
                )
            return self._given
        with self._lock:
            if self._own is None:
                self._own = self._open()
            return self._own

    def _open(self) -> httpx.Client:
        # Proxies and .netrc from the environment are for the internet, not for a client at home.
        # Certificates, which take long to load, only where they are needed: no redirect is followed.
        return httpx.Client(trust_env=False, verify=self._origin.startswith("https://"))

    def _renew(self) -> None:
        self._lock = Lock()
        if self._own is not None:
            abandon(self._own)
            self._own = None


def _sever_in_child(response: httpx.Response) -> None:
    stream = response.extensions.get("network_stream")  # a mocked transport has none
    connection = stream.get_extra_info("socket") if stream is not None else None
    if isinstance(connection, socket.socket):
        sever_in_child(connection)


def _describe(error: Exception) -> str:
    match error:
        case httpx.ConnectTimeout() | httpx.ConnectError():
            return "cannot be reached"
        case httpx.TimeoutException():
            return "did not answer in time"
        case _:
            return f"gave no usable answer ({type(error).__name__})"
