"""A URL is read once: all of it, or not at all."""

from __future__ import annotations

import re

import httpx
import pytest
from pytest_httpx import HTTPXMock

from audiobatch import BatchDownloader, DownloadFailure
from audiobatch.errors import AudiobatchError, BlockedAddress, ConfigurationError
from audiobatch.fetchers._location import join, read_location
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.repositories.memory import MemoryRepository
from support.fakes import FakeClient
from support.torrents import book

GOOD = "http://tracker.example/1"
UNREADABLE = [
    "http://[::%\u00e9]/",
    "http://[::%25\u00e9]/",
    "http://[\u00e9]/",
    "http://[::1%\u00e9]:80/x",
    "http://[::/",
    "http://ex ample/",
    "http://tracker.example:99999/",
    "http://tracker.example:-1/",
    "http://tracker.example:\u0661/",
    "http://\u00e9\u200d/",
    "//tracker.example/",
    "http:tracker.example",
    "http://@/",
    "http://:80/",
    "http://",
]


@pytest.mark.parametrize("url", UNREADABLE)
def test_what_cannot_be_read_is_refused(url: str) -> None:
    """With an error of ours, and never with one of a library on the way."""
    with pytest.raises(BlockedAddress):
        read_location(url)


@pytest.mark.parametrize("url", UNREADABLE[:-1])  # a redirect to the last one means the page itself
def test_one_of_them_spoils_nothing_for_the_others(httpx_mock: HTTPXMock, url: str) -> None:
    """Given, or as where a redirect leads: the others of the batch have their outcomes, and so has this one."""
    redirecting = "http://tracker.example/2"
    httpx_mock.add_response(url=re.compile("http://tracker.example/+[^12]*$"), status_code=404, is_optional=True)
    httpx_mock.add_response(url=GOOD, content=book("Dune"))
    httpx_mock.add_response(url=redirecting, status_code=302, headers={b"Location": url.encode()})
    with HttpFetcher(transport=httpx.HTTPTransport()) as fetcher:
        downloader = BatchDownloader(client=FakeClient(), fetcher=fetcher, repository=MemoryRepository())
        given = [{"title": "T", "author": "A", "torrent_url": each} for each in (url, redirecting, GOOD)]
        outcomes = downloader.run(given).outcomes

    assert [isinstance(outcome, DownloadFailure) for outcome in outcomes] == [True, True, False]


@pytest.mark.parametrize("host", ["xn--", "xn--a", "xn--zzzzzzzz"])
def test_a_name_that_no_reader_can_show_is_only_a_name(host: str) -> None:
    """Whether there is such a host, the name server says."""
    assert read_location(f"http://{host}/").host == host


@pytest.mark.parametrize("host", ["a" * 64, "a" * 63 + ".b" * 100, "\u00e9" * 62, ".".join(["a" * 60] * 5)])
def test_a_host_is_no_longer_than_a_name_can_be(host: str) -> None:
    """Its labels have 63 characters at the most, and all of it 253, in the form in which it is asked for."""
    with pytest.raises(BlockedAddress):
        read_location(f"http://{host}/")


def test_a_long_name_that_can_be_is_read() -> None:
    """The limits are those of the DNS."""
    host = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])

    assert read_location(f"http://{host}:8080/x?y#z").host == host


def test_it_says_all_there_is_to_know() -> None:
    """In ASCII, and with nothing of it left to be computed."""
    location = read_location("HTTPS://EX\u00c4MPLE.de/a%20b?passkey=1")

    assert (location.scheme, location.host, location.port) == ("https", "xn--exmple-cua.de", 443)
    assert location.origin == "https://xn--exmple-cua.de"
    assert location.path == "/a%20b"
    assert str(location) == "https://xn--exmple-cua.de/a%20b?passkey=1"
    assert "passkey" not in repr(location)


def test_what_a_redirect_leads_to_is_joined() -> None:
    """What cannot be joined is None."""
    location = read_location("http://tracker.example/a/b?c")

    assert join(location, "../d") == "http://tracker.example/d"
    assert join(location, "http://tracker.example:b/") is None


@pytest.mark.parametrize("url", [*UNREADABLE, "http://[::%\u00e9]"])
def test_settings_with_such_a_url_are_refused_at_once(url: str) -> None:
    """Whatever takes the URL of a server."""
    for settings in ({"trusted_origins": [url]}, {"credentials": {url: {"Cookie": "x"}}}, {"proxy": url}):
        with pytest.raises(ConfigurationError):
            HttpFetcher(**settings)


@pytest.mark.parametrize("url", UNREADABLE)
def test_a_fetcher_asked_directly_says_so_too(url: str) -> None:
    """The port names the errors that it may raise."""
    with HttpFetcher() as fetcher, pytest.raises(AudiobatchError):
        fetcher._retrieval.get(url)
