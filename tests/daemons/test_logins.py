"""Logins and protocols on real qBittorrents: in the URL, with a key, and with the wrong one of http and https."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import pytest

from audiobatch.clients.qbittorrent import QBittorrentClient
from audiobatch.errors import ClientAuthError, ClientError
from support.qbittorrent import PASSWORD, USERNAME, Daemon, Generation

pytestmark = pytest.mark.daemon

SOON = 4.0  # seconds, for a machine that is busy


def knows_keys(generation: Generation) -> bool:
    """Tell whether it is 5.2 or later."""
    return tuple(map(int, generation.name.split("."))) >= (5, 2)


@contextmanager
def bypassed(daemon: Daemon) -> Iterator[None]:
    """Let everybody on this machine in without a login."""
    preferences = "app/setPreferences"
    daemon.session.post(preferences, data={"json": '{"bypass_local_auth": true}'}).raise_for_status()
    try:
        yield
    finally:
        daemon.session.post(preferences, data={"json": '{"bypass_local_auth": false}'}).raise_for_status()


def test_https_where_it_speaks_plain_http(daemon: Daemon) -> None:
    """It waits in silence for the rest of what it takes for a request."""
    start = time.monotonic()
    with (
        QBittorrentClient(daemon.url.replace("http", "https")) as client,
        pytest.raises(ClientError, match=r"does not speak TLS: is http:// meant\?") as caught,
    ):
        client.check()

    assert not caught.value.transient
    assert time.monotonic() - start < SOON


def test_a_key_where_it_knows_of_none(daemon: Daemon, generation: Generation) -> None:
    """It ignores the key and lets anybody in, who would then not notice that the key protects nothing."""
    if knows_keys(generation):
        pytest.skip("it does")
    with (
        bypassed(daemon),
        QBittorrentClient(daemon.url, api_key="qbt_" + "x" * 28) as client,
        pytest.raises(ClientAuthError, match="would ignore the API key"),
    ):
        client.check()


def test_a_key_where_it_knows_them(daemon: Daemon, generation: Generation) -> None:
    """The right one is taken, and a wrong one refused, also where no login is needed."""
    if not knows_keys(generation):
        pytest.skip("it does not")
    key = daemon.session.post("app/rotateAPIKey").raise_for_status().json()["apiKey"]
    with QBittorrentClient(daemon.url, api_key=key) as client:
        client.check()
    with (
        bypassed(daemon),
        QBittorrentClient(daemon.url, api_key=key[::-1]) as client,
        pytest.raises(ClientAuthError, match="refuses the API key"),
    ):
        client.check()


def test_a_login_in_the_url(daemon: Daemon, generation: Generation) -> None:
    """Since 5.2 it is taken for qBittorrent's own; before that, it is for a proxy alone."""
    url = daemon.url.replace("://", f"://{USERNAME}:{quote(PASSWORD)}@")
    with QBittorrentClient(url) as client:
        if knows_keys(generation):
            client.check()
        else:
            with pytest.raises(ClientAuthError, match="asks for a login"):
                client.check()
    with QBittorrentClient(url, username=USERNAME, password=PASSWORD) as client:
        client.check()


def test_a_wrong_login_in_the_url_is_sent_once(daemon: Daemon, generation: Generation) -> None:
    """Since 5.2 it counts, and five ban the address."""
    if not knows_keys(generation):
        pytest.skip("it does not look at it")
    with QBittorrentClient(daemon.url.replace("://", "://admin:wrong@")) as client:
        for _ in range(6):
            with pytest.raises(ClientAuthError, match="401"):
                client.check()

    with QBittorrentClient(daemon.url, username=USERNAME, password=PASSWORD) as client:
        client.check()
