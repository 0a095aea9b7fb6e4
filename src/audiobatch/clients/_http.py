"""Talk HTTP to a torrent client: the one place where httpx's errors become ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TypeAlias
from urllib.parse import urlsplit

import httpx

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
        self._owned = http is None
        # Proxies and .netrc from the environment are for the internet, not for a client at home.
        # Certificates, which take long to load, only where they are needed: no redirect is followed.
        self._http = http or httpx.Client(trust_env=False, verify=self._origin.startswith("https://"))

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
        """
        failure = None
        try:
            with quiet():
                response = self._http.post(
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
        if self._owned:
            self._http.close()


def _describe(error: Exception) -> str:
    match error:
        case httpx.ConnectTimeout() | httpx.ConnectError():
            return "cannot be reached"
        case httpx.TimeoutException():
            return "did not answer in time"
        case _:
            return f"gave no usable answer ({type(error).__name__})"
