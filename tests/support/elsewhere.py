"""Let a process that talks to made-up servers reach real ones on loopback, without its knowledge."""

from __future__ import annotations

from collections.abc import Mapping
from unittest.mock import patch

import httpx

from audiobatch.fetchers import http


def lead_elsewhere(places: Mapping[str, str]) -> None:
    """From now on, send what is meant for one origin to another, and nothing to any that is not named.

    What a fetcher guards against is off with that: it would not go to loopback.
    """
    handle_request = httpx.HTTPTransport.handle_request

    def lead(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        there = httpx.URL(places[f"{request.url.scheme}://{request.url.netloc.decode()}"])
        headers = request.headers.copy()
        headers["Host"] = there.netloc.decode()
        url = request.url.copy_with(scheme=there.scheme, netloc=there.netloc)
        led = httpx.Request(request.method, url, headers=headers, stream=request.stream, extensions=request.extensions)
        return handle_request(transport, led)

    patch.object(httpx.HTTPTransport, "handle_request", lead).start()
    patch.object(http, "GuardedTransport", lambda *_: httpx.HTTPTransport(verify=False)).start()
