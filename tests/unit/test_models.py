"""What a request may hold, what shows of it, and how outcomes are told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from attrs.exceptions import FrozenInstanceError

from audiobatch import errors
from audiobatch.errors import AudiobatchError, FailureCode, InvalidRequestError, NotATorrent, error_for
from audiobatch.metainfo import InfoHashes, parse_torrent
from audiobatch.models import AddOptions, Download, DownloadRequest, DownloadStatus
from audiobatch.results import BatchResult, DownloadFailure, Outcome, Stage
from support.torrents import book

V1, V2 = "a" * 40, "b" * 64
MAGNET = f"magnet:?xt=urn:btih:{V1}"


def asked(**changes: Any) -> DownloadRequest:
    """Make a request, with these things changed."""
    return DownloadRequest(
        **{"title": "A Book", "author": "An Author", "torrent_url": "https://tracker.example/1", **changes}
    )


def downloaded(index: int = 0, **changes: Any) -> Download:
    """Make a download, with these things changed."""
    parts: dict[str, Any] = {
        "id": f"id {index}",
        "request": asked(title=f"Book {index}"),
        "info_hashes": InfoHashes(v1=V1),
        "client": "a client",
        "status": DownloadStatus.QUEUED,
        "created_at": datetime(2026, 1, 2, tzinfo=UTC),
    }
    return Download(index=index, **{**parts, **changes})


def failed(error: AudiobatchError, index: int = 0, stage: Stage = Stage.FETCH) -> DownloadFailure:
    """Make the failure of an item by an error."""
    return DownloadFailure.from_error(error, index=index, stage=stage, request=asked(title=f"Book {index}"))


def refusal(**changes: Any) -> str:
    """Return the message by which a request with these things changed is refused."""
    with pytest.raises(InvalidRequestError) as caught:
        asked(**changes)
    return str(caught.value)


@pytest.mark.parametrize(("name", "maximum"), [("title", 500), ("author", 200), ("series", 200)])
def test_texts_may_be_one_character_or_the_maximum(name: str, maximum: int) -> None:
    """The limits count characters, not bytes, after the trimming."""
    for length in (1, maximum):
        request = asked(**{name: " " + "ü" * length + "\n"})
        assert getattr(request, name) == "ü" * length
    assert refusal(**{name: "ü" * (maximum + 1)}) == f"{name} is longer than {maximum} characters"


@pytest.mark.parametrize("name", ["title", "author", "torrent_url"])
@pytest.mark.parametrize("blank", ["", " ", "\t\r\n", None])
def test_a_required_text_is_not_blank(name: str, blank: str | None) -> None:
    """What is missing is named."""
    assert refusal(**{name: blank}) == f"{name} is required"


@pytest.mark.parametrize("name", ["series", "category", "save_path"])
@pytest.mark.parametrize("blank", ["", " ", "\t\r\n", None])
def test_a_blank_optional_text_counts_as_absent(name: str, blank: str | None) -> None:
    """An empty field of a form is no wish."""
    assert getattr(asked(**{name: blank}), name) is None


def test_all_texts_are_trimmed() -> None:
    """White space around a text is nobody's intention."""
    names = ("title", "author", "series", "category", "save_path")
    request = asked(**{name: f" {name} x\n" for name in names}, tags=[" one ", "two\t"], torrent_url=f" {MAGNET}\n")
    assert [getattr(request, name) for name in names] == [f"{name} x" for name in names]
    assert (request.tags, request.torrent_url) == (("one", "two"), MAGNET)


@pytest.mark.parametrize("name", ["title", "author", "torrent_url", "series", "category", "save_path"])
@pytest.mark.parametrize("wrong", [5, 1.5, True, b"bytes", ["text"], {"text": 1}, object()])
def test_a_text_of_another_type_is_refused(name: str, wrong: object) -> None:
    """Nothing is turned into text by guessing."""
    assert refusal(**{name: wrong}) == f"{name} must be text"


@pytest.mark.parametrize("name", ["title", "author", "torrent_url", "series", "category", "save_path", "tags"])
@pytest.mark.parametrize("character", ["\0", chr(0xD800), chr(0xDFFF)])
def test_characters_that_no_file_or_database_takes_are_refused(name: str, character: str) -> None:
    """JSON can hold NUL and half of a surrogate pair."""
    text = f"https://tracker.example/{character}x"
    message = refusal(**{name: [text] if name == "tags" else text})
    assert message == f"{'each of the tags' if name == 'tags' else name} holds characters that are no valid text"


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        (None, "tags must be a list of texts"),
        ("one,two", "tags must be a list of texts"),
        ({"one"}, "tags must be a list of texts"),
        ({"one": 1}, "tags must be a list of texts"),
        ([""], "each of the tags is required"),
        (["one", " "], "each of the tags is required"),
        (["one", None], "each of the tags is required"),
        (["one", 5], "each of the tags must be text"),
        (["one,two"], "a tag cannot hold a comma"),
    ],
)
def test_tags_are_a_list_of_texts_without_commas(tags: object, message: str) -> None:
    """Clients take tags with commas between them."""
    assert refusal(tags=tags) == message


@pytest.mark.parametrize("tags", [[], (), ["one"], ("one", "two words", "drei-ü")])
def test_tags_are_kept_as_a_tuple(tags: list[str] | tuple[str, ...]) -> None:
    """A list or a tuple will do, and the order stays."""
    assert asked(tags=tags).tags == tuple(tags)


@pytest.mark.parametrize("paused", [None, True, False])
def test_paused_may_be_left_to_the_client(paused: bool | None) -> None:  # noqa: FBT001
    """None, which is the default, is told from False: the client's own settings decide."""
    assert asked().paused is None
    assert asked(paused=paused).paused is asked(paused=paused).options.paused is paused


@pytest.mark.parametrize("paused", [0, 1, "true", "no"])
def test_paused_is_true_or_false(paused: object) -> None:
    """A text like `no` would be true otherwise."""
    assert refusal(paused=paused) == "paused must be true or false"


@pytest.mark.parametrize(
    "url",
    [
        *("http://host", "https://host:8443/x?y=z#w", "HTTPS://HOST/", "http://user:key@host/", "http://[::1]:80/x"),
        *(
            "http://192.0.2.1/x",
            "http://bücher.example/ü",
            "http://host:65535",
            MAGNET,
            MAGNET.replace("magnet", "MAGNET"),
        ),
    ],
)
def test_a_url_of_a_known_scheme_is_kept_as_it_came(url: str) -> None:
    """HTTP, HTTPS and magnet links are taken, in either case."""
    assert asked(torrent_url=url).torrent_url == url


@pytest.mark.parametrize(
    ("url", "message"),
    [
        *(
            (url, "must be an http, https or magnet URL")
            for url in ("ftp://host/x", "file:///x", "data:,x", "http:/host")
        ),
        *(
            (url, "must be an http, https or magnet URL")
            for url in ("host/x", "//host/x", V1, "javascript:x", "httpx://h")
        ),
        *(
            (url, "names no host, or a port that is no number")
            for url in ("http://", "http:///x", "http://:80/", "http://@")
        ),
        *(
            (f"http://host:{port}/", "a port that is no number")
            for port in ("x", "-1", "65536", "8_0", "+80", "\u0663")
        ),
        *((f"http://{host}/", "names no host") for host in ("[::1", "::1]", "[x]", "\u2100")),
        *(
            (f"http://host/{character}x", "not allowed in a URL")
            for character in "\n\r\t\x1b\x7f\x80\x85\x9f\u2028\u2029"
        ),
        *((f"{MAGNET}{character}&dn=x", "torrent_url") for character in "\n\r\t\x1b\x85\u2028\u2029"),
        *((magnet, "torrent_url is not a usable magnet link") for magnet in ("magnet:", "magnet:?dn=x", MAGNET[:-1])),
        ("http://host/".ljust(8193, "x"), "torrent_url is longer than 8192 characters"),
        (f"{MAGNET}&dn=".ljust(65_537, "x"), "torrent_url is longer than 65536 characters"),
    ],
    ids=lambda value: ascii(value)[:60],
)
def test_a_url_that_leads_nowhere_is_refused(url: str, message: str) -> None:
    """Other schemes, no host, a bad port, control characters and bad magnet links are refused, without being shown."""
    shown = refusal(torrent_url=url)
    assert message in shown
    assert V1 not in shown


def test_the_longest_url_is_accepted() -> None:
    """Up to 8192 characters pass, of a magnet link 65,536; it stays as it came."""
    for url in ("http://host/".ljust(8192, "x"), f"{MAGNET}&dn=".ljust(65_536, "x")):
        assert asked(torrent_url=url).torrent_url == url


@pytest.mark.parametrize("character", "\u00a0\u00ad\u200b\u200c\u200d\u202e\u3000\ufeff\ue000\U0001fae9\U000e0001")
def test_what_can_be_percent_encoded_is_accepted_in_a_url(character: str) -> None:
    """Spaces of all kinds, joiners, and what this version of Python does not know yet are no control characters."""
    for url in (f"http://host/a{character}b?c={character}d", f"{MAGNET}&dn=a{character}b"):
        assert asked(torrent_url=url).torrent_url == url


def test_every_problem_is_named_at_once() -> None:
    """Nobody has to come back once for each mistake."""
    message = refusal(
        title="",
        author=5,
        torrent_url="ftp://host",
        series="x" * 201,
        category=5,
        save_path="\0",
        tags=[5, "a,b"],
        paused=1,
    )
    assert message.split("; ") == [
        "title is required",
        "author must be text",
        "torrent_url must be an http, https or magnet URL",
        "series is longer than 200 characters",
        "category must be text",
        "save_path holds characters that are no valid text",
        "each of the tags must be text",
        "a tag cannot hold a comma",
        "paused must be true or false",
    ]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://tracker.example/s3cret/1?passkey=s3cret#s3cret", "'https://tracker.example/...'"),
        ("https://s3cret:s3cret@Tracker.example:8443/s3cret", "'https://tracker.example:8443/...'"),
        ("HTTP://s3cret@[::1]:80", "'http://[::1]/...'"),
        (f"{MAGNET}&dn=s3cret&tr=https%3A%2F%2Ftracker.example%2Fs3cret", "'magnet:...'"),
        (f"MAGNET:?xt=urn:btih:{V1}&tr=s3cret", "'magnet:...'"),
    ],
)
def test_the_repr_shows_the_host_of_a_url_alone(url: str, shown: str) -> None:
    """User, path and query can hold passkeys, and so can anything that holds the request."""
    request = asked(torrent_url=url)
    failure = DownloadFailure.from_error(errors.RateLimited("slower"), index=0, request=request, stage=Stage.FETCH)
    assert f"torrent_url={shown}" in repr(request)
    for holder in (request, failure, downloaded(request=request), BatchResult([failure])):
        assert "s3cret" not in repr(holder)
        assert V1 not in repr(holder).replace(f"v1='{V1}'", "")


def test_the_repr_of_a_failure_hides_what_did_not_validate() -> None:
    """Raw data may hold a passkey under any key."""
    raw = {"titel": "A Book", "torrent_url": "https://tracker.example/s3cret"}
    failure = DownloadFailure.from_error(InvalidRequestError("no"), index=0, request=raw, stage=Stage.VALIDATE)
    assert failure.request is raw
    assert "s3cret" not in repr(failure)


def test_the_options_are_what_the_client_is_told() -> None:
    """Everything but what the book is and where it comes from."""
    request = asked(series="A Series", category="books", tags=["one"], save_path="/books", paused=True)
    assert request.options == AddOptions(category="books", tags=("one",), save_path="/books", paused=True)
    assert asked().options == AddOptions()


@pytest.mark.parametrize("info_hashes", [InfoHashes(v1=V1), InfoHashes(v2=V2), InfoHashes(v1=V1, v2=V2)])
def test_the_info_hash_of_a_download_is_the_primary_one(info_hashes: InfoHashes) -> None:
    """V1 where there is one, else v2."""
    assert downloaded(info_hashes=info_hashes).info_hash == (V2 if info_hashes.v1 is None else V1)


def test_the_repr_of_a_download_leaves_the_torrent_out() -> None:
    """A record carries the whole file, which nobody wants in a log."""
    assert "announce" not in repr(downloaded(torrent=parse_torrent(book("A Book", announce="https://host/s3cret"))))


@pytest.mark.parametrize("stage", Stage)
def test_a_failure_tells_where_it_failed_and_why(stage: Stage) -> None:
    """Validation and fetch have a prefix of their own, everything else is the creation of the download."""
    prefixes = {Stage.VALIDATE: "Validation failed: ", Stage.FETCH: "Failed to download torrent: "}
    failure = failed(errors.RateLimited("slower please", retry_after=7.5), index=3, stage=stage)
    assert failure == DownloadFailure(
        index=3,
        request=asked(title="Book 3"),
        error=prefixes.get(stage, "Failed to create download: ") + "slower please",
        code=FailureCode.RATE_LIMITED,
        stage=stage,
        retryable=True,
        retry_after=7.5,
    )


@pytest.mark.parametrize("code", FailureCode)
def test_a_failure_turns_back_into_an_error_of_its_class(code: FailureCode) -> None:
    """Class, sentence and hint are kept, the index comes as a note, and the class says if it may be retried."""
    failure = failed(error_for(code, "it broke", retry_after=2.0), index=4)
    error = failure.as_error()
    assert type(error) is type(error_for(code, ""))
    assert (str(error), error.retry_after) == (failure.error, 2.0)
    assert error.__notes__ == ["item 4 of the batch"]
    assert failure.retryable is error.transient


def test_a_result_is_in_request_order() -> None:
    """Outcomes come in as they end, and go out as they were asked for."""
    rejected, unsure = failed(errors.ClientError("no"), index=2), failed(errors.Unconfirmed("not seen"), index=0)
    first, last = downloaded(1), downloaded(3)
    result = BatchResult(outcome for outcome in (last, rejected, first, unsure))
    assert result.outcomes == (unsure, first, rejected, last)
    assert result.successful == (first, last)
    assert result.failed == (unsure, rejected)


def test_only_valid_requests_that_may_succeed_later_are_worth_another_run() -> None:
    """A raw request is not, nor is one that was refused for good."""
    raw = DownloadFailure.from_error(
        errors.NotAttempted("stopped"), index=3, request={"title": 1}, stage=Stage.VALIDATE
    )
    outcomes: list[Outcome] = [
        failed(NotATorrent("a web page"), index=0),
        failed(errors.ClientUnavailable("down"), index=2),
        downloaded(1),
        raw,
        failed(errors.RateLimited("slower"), index=4),
    ]
    assert BatchResult(outcomes).retryable == (asked(title="Book 2"), asked(title="Book 4"))


@pytest.mark.parametrize("outcomes", [[], [downloaded(0), downloaded(1)]])
def test_nothing_is_raised_where_nothing_failed(outcomes: list[Outcome]) -> None:
    """A batch without failures, or without anything, raises nothing."""
    result = BatchResult(outcomes)
    result.raise_for_failures()
    assert (result.failed, result.retryable) == ((), ())


def test_failures_are_raised_as_a_group() -> None:
    """There is one error for each failed item, in request order, and `except*` picks a kind of them."""
    outcomes: list[Outcome] = [
        failed(NotATorrent("a web page"), index=2),
        downloaded(1),
        failed(errors.ClientUnavailable("down"), index=0),
    ]
    groups: list[BaseExceptionGroup[AudiobatchError]] = []
    try:
        BatchResult(outcomes).raise_for_failures()
    except* errors.FetchError as group:
        groups.append(group)
    except* errors.ClientError as group:
        groups.append(group)
    assert [type(group) for group in groups] == [errors.BatchFailed, errors.BatchFailed]
    assert [[(type(error), error.__notes__) for error in group.exceptions] for group in groups] == [
        [(NotATorrent, ["item 2 of the batch"])],
        [(errors.ClientUnavailable, ["item 0 of the batch"])],
    ]
    with pytest.raises(errors.BatchFailed, match="2 of 3 downloads failed") as caught:
        BatchResult(outcomes).raise_for_failures()
    assert [type(error) for error in caught.value.exceptions] == [errors.ClientUnavailable, NotATorrent]


@pytest.mark.parametrize("value", [asked(), downloaded(), failed(NotATorrent("no")), BatchResult([downloaded()])])
def test_values_are_equal_by_content_and_cannot_be_changed(value: Any) -> None:
    """Two of the same content are one for a set, and no field takes a new value."""
    name = next(iter(value.__attrs_attrs__)).name
    copy = type(value)(**{field.name: getattr(value, field.name) for field in value.__attrs_attrs__})
    assert copy is not value
    assert len({copy, value}) == 1
    with pytest.raises(FrozenInstanceError):
        setattr(value, name, None)
