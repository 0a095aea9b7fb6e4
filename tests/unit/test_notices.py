"""Limits and refusals that a tracker tells in words, with whatever status."""

from __future__ import annotations

import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiobatch import BatchDownloader, DownloadRequest, FailureCode
from audiobatch.errors import FetchDenied, FetchError, FetchUnavailable, NotATorrent, RateLimited, TorrentNotFound
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.metainfo import TorrentFile
from audiobatch.repositories.memory import MemoryRepository
from support.fakes import FakeClient
from support.torrents import book

TRACKER = "https://93.184.216.34"
SECRET = "s3cret"


def fetcher(answer: httpx.Response | None = None, asked: list[str] | None = None) -> HttpFetcher:
    """Make a fetcher whose every request is answered like this, and noted."""

    def handle(request: httpx.Request) -> httpx.Response:
        if asked is not None:
            asked.append(str(request.url))
        given = answer or httpx.Response(404)
        return httpx.Response(given.status_code, headers=given.headers, content=given.content)

    return HttpFetcher(transport=httpx.MockTransport(handle), allowed_networks=["127.0.0.0/8"])


def error_for(body: bytes | str, status: int = 200, **headers: str) -> FetchError:
    """Fetch once, and return the error."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with pytest.raises(FetchError) as caught:
        fetcher(httpx.Response(status, headers=named, content=body)).fetch(request())
    assert SECRET not in str(caught.value)
    return caught.value


def request(number: int = 0, path: str = "") -> DownloadRequest:
    """Ask for one of many."""
    return DownloadRequest(title=f"Book {number}", author="A", torrent_url=f"{TRACKER}/{path or number}")


def torznab(code: int, declared: str = '<?xml version="1.0" encoding="UTF-8"?>\n') -> str:
    """Write an error as Torznab has it."""
    return f'{declared}<error code="{code}" description="{SECRET}"/>'


@pytest.mark.parametrize(
    ("code", "error"),
    [
        *dict.fromkeys((429, 500, 501, 910), RateLimited).items(),
        *dict.fromkeys((100, 101, 102, 200, 201), FetchDenied).items(),
        (300, TorrentNotFound),
        *dict.fromkeys((0, 900, 9999), NotATorrent).items(),
    ],
)
@pytest.mark.parametrize("declared", ["", "\ufeff", '<?xml version="1.0"?>'])
def test_an_error_of_torznab_has_its_meaning(code: int, error: type[FetchError], declared: str) -> None:
    """With the status of a success."""
    assert type(error_for(torznab(code, declared))) is error


@pytest.mark.parametrize(
    "body", ["<error code=429 />", "<error description='x' code='501'></error>", " <ERROR CODE='500'"]
)
def test_it_may_be_written_in_any_way(body: str) -> None:
    """Quotes, order and case say nothing."""
    assert type(error_for(body)) is RateLimited


def test_prowlarrs_code_500_is_its_status_alone() -> None:
    """It repeats it there, whatever went wrong."""
    assert type(error_for(torznab(500), 500)) is FetchUnavailable
    assert type(error_for(torznab(429), 400)) is RateLimited


@pytest.mark.parametrize("status", [200, 400, 403, 404, 500, 503])
@pytest.mark.parametrize(
    "words",
    [
        f"User configurable Indexer Daily Grab Limit of 10 Exceeded for {SECRET}",
        "You have reached your daily download limit.",
        "Too many requests",
        "Too Many API requests, slow down!",
        "API rate limit exceeded",
        "Download limit has been reached",
        "quota exceeded",
        "You are being rate-limited",
    ],
)
@pytest.mark.parametrize(
    "shape",
    [
        *("%s", "<html><title>x</title><h1>Error</h1><p>%s</p>", '<error code="1" description="%s"/>'),
        *('{"error": "%s"}', '{"success": false, "errors": ["%s"]}', '[{"error": {"message": "%s"}}]'),
        "\ufeff\r\n%s\n",
    ],
)
def test_a_limit_is_found_in_words(words: str, shape: str, status: int) -> None:
    """Be it text, a page, XML or JSON; nothing of it is repeated, and without a time it is an hour."""
    error = error_for(shape % words, status)

    assert type(error) is RateLimited
    assert error.retry_after == 3600.0


@pytest.mark.parametrize(
    ("document", "error", "pause"),
    [
        ({"status": 429}, RateLimited, 60.0),
        ({"code": "429", "retry_after": 7}, RateLimited, 7.0),
        ({"error": {"code": 429}, "retryAfter": 30.5}, RateLimited, 30.5),
        ({"error": "rate limit", "retry_after": True}, RateLimited, 3600.0),
        ({"error": "rate limit", "retry_after": 1e99}, RateLimited, 3600.0),
        ({"status_code": 401}, FetchDenied, None),
        ({"error": 404}, TorrentNotFound, None),
        ({"status": 503}, FetchUnavailable, None),
        ({"status": 200, "rate_limit": 100}, NotATorrent, None),
        ({"results": [{"name": "rate limit exceeded"}]}, NotATorrent, None),
    ],
)
def test_a_json_document_has_its_meaning(document: object, error: type[FetchError], pause: float | None) -> None:
    """By its status, or by its message."""
    found = error_for(json.dumps(document))

    assert (type(found), found.retry_after) == (error, pause)


@pytest.mark.parametrize(
    "body",
    [
        "<html>" + "<p>All about books.</p>" * 60 + "You have reached your download limit",
        "<html><h1>Log in</h1>There is no rate limit here",
        "<html><title>The Limit</title>Please log in",
        '{"name": "too many requests"}',
        "{" * 5000,
        '{"a":' * 5000,
        "<?xml version='1.0'?><rss>rate limit exceeded</rss>" + "x" * 9000,
        "",
    ],
)
def test_what_is_about_something_else_is_no_limit(body: str) -> None:
    """A long page that speaks of limits too is a page."""
    assert type(error_for(body)) is NotATorrent


def test_a_torrent_may_be_called_anything() -> None:
    """It is a torrent first."""
    torrent = fetcher(httpx.Response(200, content=book("Too many requests: rate limit exceeded"))).fetch(request())

    assert isinstance(torrent, TorrentFile)


def test_a_login_that_is_missing_is_no_limit() -> None:
    """Whatever the page says besides."""
    assert type(error_for("too many requests", 401)) is FetchDenied


@given(st.sampled_from([200, 400, 404, 500]), st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
def test_nothing_but_our_errors(status: int, body: bytes) -> None:
    """Whatever the words."""
    error_for(body, status)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, content=torznab(500)),
        httpx.Response(400, content="Daily grab limit of 10 exceeded"),
        httpx.Response(200, json={"error": "API rate limit reached"}),
        httpx.Response(503, headers={"Retry-After": "3600"}),
        httpx.Response(502, headers={"Retry-After": "11"}),
        httpx.Response(429),
    ],
)
def test_the_tracker_is_left_alone(answer: httpx.Response) -> None:
    """Of twenty, no more are asked for than there are at once."""
    asked: list[str] = []
    downloader = BatchDownloader(
        client=FakeClient(), fetcher=fetcher(answer, asked), repository=MemoryRepository(), max_concurrent_fetches=3
    )

    result = downloader.run([request(number) for number in range(20)])

    assert len(asked) <= 3
    codes = [failure.code for failure in result.failed]
    assert codes.count(FailureCode.RATE_LIMITED) == len(asked)
    assert codes.count(FailureCode.NOT_ATTEMPTED) == 20 - len(asked)


def test_one_tracker_behind_prowlarr_is_left_alone() -> None:
    """The others behind it are asked: they have limits of their own."""
    asked: list[str] = []
    paths = [f"{number % 2 + 1}/download?apikey=x&link={number}" for number in range(8)]
    paths += [f"dl/site{number % 2}/?jackett_apikey=x&path={number}" for number in range(8)]
    downloader = BatchDownloader(
        client=FakeClient(),
        fetcher=fetcher(httpx.Response(429), asked),
        repository=MemoryRepository(),
        max_concurrent_fetches=1,
    )

    downloader.run([request(number, path) for number, path in enumerate(paths)])

    assert [url.removeprefix(TRACKER).partition("?")[0] for url in asked] == [
        "/1/download", "/2/download", "/dl/site0/", "/dl/site1/",
    ]  # fmt: skip
