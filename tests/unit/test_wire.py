"""The JSON contract: what is read from a batch and what is written of a result."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from audiobatch.errors import (
    ConfigurationError,
    FailureCode,
    FetchUnavailable,
    InvalidBatchError,
    InvalidRequestError,
)
from audiobatch.metainfo import InfoHashes, parse_torrent
from audiobatch.models import Download, DownloadRequest, DownloadStatus
from audiobatch.results import BatchResult, DownloadFailure, Stage
from audiobatch.wire import dump_request, dump_result, load_batch, load_request
from support.torrents import book

URL = "https://tracker.example/download/1?passkey=s3cret"
REQUEST = DownloadRequest(title="A Book", author="An Author", torrent_url=URL, tags=("one", "two"))
REQUEST_DATA = {
    "title": "A Book",
    "author": "An Author",
    "torrent_url": URL,
    "series": None,
    "category": None,
    "tags": ["one", "two"],
    "save_path": None,
    "paused": None,
}


class Incomparable:
    """A value that refuses to be compared, as an array does; so it has no hash either."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("the truth of an array is ambiguous")

    __hash__ = None  # type: ignore[assignment]


def self_referential() -> dict[str, Any]:
    """Make a request that holds itself."""
    request: dict[str, Any] = {"title": "A Book", "tags": []}
    request["tags"].append(request)
    return request


def nested(depth: int) -> dict[str, Any]:
    """Make a request that holds lists within lists."""
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return {"title": inner}


def dumped_raw(request: Any) -> Any:
    """Write a result with a request that did not validate, as JSON text, and read it again."""
    failure = DownloadFailure.from_error(InvalidRequestError("no"), index=0, request=request, stage=Stage.VALIDATE)
    return json.loads(json.dumps(dump_result(BatchResult([failure]))))["failed"][0]["request"]


@pytest.mark.parametrize(
    "document",
    [
        '{"downloads": [{"title": "Bücher"}, 5]}',
        '{"downloads": [{"title": "Bücher"}, 5]}'.encode(),
        {"downloads": [{"title": "Bücher"}, 5]},
        {"downloads": ({"title": "Bücher"}, 5), "comment": "other fields do no harm"},
    ],
)
def test_a_batch_is_read_from_text_bytes_or_a_mapping(document: str | bytes | dict[str, Any]) -> None:
    """The items come out as they are, be they requests or not."""
    assert load_batch(document) == [{"title": "Bücher"}, 5]


def test_an_empty_batch_is_read() -> None:
    """That it is empty is for the downloader to say."""
    assert load_batch('{"downloads": []}') == []


@pytest.mark.parametrize(
    "document",
    [
        "",
        "{",
        '{"downloads": [}',
        "downloads",
        b"\xff\xfe\xff",
        pytest.param("[" * 100_000, id="too deep"),
        pytest.param('{"downloads": [' + "1" * 5000 + "]}", id="huge number"),
    ],
)
def test_what_is_no_json_is_refused(document: str | bytes) -> None:
    """Broken, cut short or too deep: there is one error for it."""
    with pytest.raises(InvalidBatchError, match=r"^the batch is not valid JSON$"):
        load_batch(document)


@pytest.mark.parametrize(
    "document",
    [
        *("null", "5", '"downloads"', "[]", '[{"downloads": []}]', "{}", '{"Downloads": []}'),
        *('{"downloads": null}', '{"downloads": {}}', '{"downloads": "text"}', '{"downloads": 5}'),
        *({}, {"downloads": None}, {"downloads": {"title"}}, {"downloads": "text"}, None, [], 5),
    ],
)
def test_a_batch_of_another_shape_is_refused(document: Any) -> None:
    """It is an object with a list under `downloads`."""
    with pytest.raises(InvalidBatchError, match="must be an object with a list"):
        load_batch(document)


def test_a_request_is_read_from_a_mapping() -> None:
    """Lists become tuples, and what is left out has its default."""
    assert load_request(REQUEST_DATA) == REQUEST
    required = {key: REQUEST_DATA[key] for key in ("title", "author", "torrent_url")}
    assert load_request(required) == DownloadRequest(title="A Book", author="An Author", torrent_url=URL)


@pytest.mark.parametrize("item", [None, 5, "text", [], [("title", "A Book")], REQUEST])
def test_a_request_that_is_no_object_is_refused(item: object) -> None:
    """The message says what it has to have."""
    with pytest.raises(InvalidRequestError, match="must be an object with title, author, torrent_url"):
        load_request(item)


@pytest.mark.parametrize("unknown", [{"titel": 1}, {"Title": 1}, {5: 1}, {"": 1}, {"x" * 1000: 1}])
def test_an_unknown_field_is_refused(unknown: dict[Any, Any]) -> None:
    """A misspelled field is not passed over; it is named, and so are those that are known."""
    with pytest.raises(InvalidRequestError, match="unknown field") as caught:
        load_request({**REQUEST_DATA, **unknown})
    assert repr(next(iter(unknown)))[:50] in str(caught.value)
    assert "title, author, torrent_url, series, category, tags, save_path, paused" in str(caught.value)
    assert len(str(caught.value)) < 300


def test_all_that_is_missing_is_named_at_once() -> None:
    """An empty object lacks three fields."""
    with pytest.raises(InvalidRequestError) as caught:
        load_request({})
    assert str(caught.value) == "title is required; author is required; torrent_url is required"


def test_what_does_not_validate_is_refused() -> None:
    """The rules are those of the request itself."""
    with pytest.raises(InvalidRequestError, match=r"^title must be text; paused must be true or false$"):
        load_request({**REQUEST_DATA, "title": 5, "paused": "no"})


def test_a_request_is_written_with_every_field() -> None:
    """Nothing is left out, and nothing hidden: it is for the caller who gave it."""
    assert json.loads(json.dumps(dump_request(REQUEST))) == REQUEST_DATA


def test_an_empty_result_has_empty_lists() -> None:
    """Never null, never without one of its keys."""
    assert dump_result(BatchResult([])) == {"successful": [], "failed": []}


def test_a_result_has_exactly_the_shape_of_the_contract() -> None:
    """Downloads carry the info-hash and no torrent, failures their reason, both their request."""
    torrent = parse_torrent(book("A Book"))
    download = Download(
        id="6f0c7d0e-0000-4000-8000-000000000000",
        request=REQUEST,
        info_hashes=InfoHashes(v1="a" * 40, v2="b" * 64),
        client="qbittorrent@http://localhost:8080",
        status=DownloadStatus.QUEUED,
        created_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        torrent=torrent,
        index=1,
        already_present=True,
    )
    failure = DownloadFailure.from_error(
        FetchUnavailable("too slow", retry_after=30.0), index=0, request=REQUEST, stage=Stage.FETCH
    )
    assert json.loads(json.dumps(dump_result(BatchResult([download, failure])))) == {
        "successful": [
            {
                "index": 1,
                "info_hash": "a" * 40,
                "id": "6f0c7d0e-0000-4000-8000-000000000000",
                "request": REQUEST_DATA,
                "info_hashes": {"v1": "a" * 40, "v2": "b" * 64},
                "client": "qbittorrent@http://localhost:8080",
                "status": "queued",
                "created_at": "2026-01-02T03:04:05+00:00",
                "already_present": True,
            }
        ],
        "failed": [
            {
                "index": 0,
                "request": REQUEST_DATA,
                "error": "Failed to download torrent: too slow",
                "code": str(FailureCode.FETCH_UNAVAILABLE),
                "stage": "fetch",
                "retryable": True,
                "retry_after": 30.0,
            }
        ],
    }


@pytest.mark.parametrize(
    "request_data",
    [
        {},
        {"title": None, "paused": True, "tags": ["one", ["two", {"three": 3}]]},
        {"title": "\ud800 half a pair", "author": "\0", "series": "Bücher"},
        [],
        "text",
        5,
        None,
    ],
)
def test_a_raw_request_of_json_is_written_as_it_came(request_data: Any) -> None:
    """What was JSON comes out as the same JSON, object or not."""
    assert dumped_raw(request_data) == request_data


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (("one", "two"), ["one", "two"]),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02 00:00:00+00:00"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (b"raw", "b'raw'"),
        ({5: 1}, {"5": 1}),
        (Stage.FETCH, "fetch"),
    ],
)
def test_a_raw_request_of_other_things_is_written_as_text(value: object, written: object) -> None:
    """What JSON has no form for does not stop the others of the batch from being reported."""
    assert dumped_raw({"title": value}) == {"title": written}


@pytest.mark.parametrize("request_data", [self_referential(), nested(21), nested(50_000)])
def test_a_raw_request_is_cut_where_it_is_too_deep(request_data: dict[str, Any]) -> None:
    """A request that is nested without end is written down to a depth of 20."""
    assert json.dumps(dumped_raw(request_data)).count("...") == 1


def test_a_raw_request_with_a_number_beyond_measure_is_written() -> None:
    """Python refuses to write whole numbers of more than 4300 digits; the report must not fail by it."""
    assert set(dumped_raw({"title": 10**5000, "author": "An Author"})) == {"title", "author"}


class TestFieldsOfCallers:
    """`load_batch` with ``allowed``: what somebody else may set of a request."""

    def read(self, *, allowed: set[str], **fields: object) -> DownloadRequest:
        """Read a request with these fields besides the required ones."""
        given = {"title": "T", "author": "A", "torrent_url": "http://t.example/1", **fields}
        (item,) = load_batch({"downloads": [given]}, allowed=allowed)
        return load_request(item)

    @pytest.mark.parametrize(
        ("field", "value"), [("save_path", "/etc"), ("tags", ["x"]), ("paused", True), ("series", "S"), ("tags", "x")]
    )
    def test_what_is_not_allowed_is_refused(self, field: str, value: object) -> None:
        """The sentence names the field, and not what stands in it."""
        with pytest.raises(InvalidRequestError, match=f"^{field} cannot be set here: leave it out$"):
            self.read(allowed={"category"}, **{field: value})

    def test_what_is_allowed_is_read(self) -> None:
        """So is what every request has to have."""
        request = self.read(allowed={"category", "series"}, category="C", series="S")

        assert (request.title, request.category, request.series) == ("T", "C", "S")

    def test_what_nobody_has_set_is_no_reason_to_refuse(self) -> None:
        """A request that a failure has given back can be sent again."""
        request = DownloadRequest(title="T", author="A", torrent_url="http://t.example/1", category="C")
        (item,) = load_batch(json.dumps({"downloads": [dump_request(request)]}), allowed={"category", "paused"})

        assert load_request(item) == request

    def test_what_is_no_request_is_left_for_the_validation(self) -> None:
        """Items are passed on as they are, whatever they are."""
        assert load_batch({"downloads": [1, None, {"title": "T"}]}, allowed=()) == [1, None, {"title": "T"}]

    def test_the_names_can_come_one_by_one(self) -> None:
        """They are kept, so what is allowed is the same for each request, whatever becomes of the caller's own."""
        allowed = {"series"}
        document = {"downloads": [{"title": "T", "author": "A", "torrent_url": "http://t.example/1", "series": "S"}]}
        (with_iterator,) = load_batch(document, allowed=iter(["series"]))  # type: ignore[arg-type]
        (with_set,) = load_batch(document, allowed=allowed)
        allowed.clear()

        assert load_request(with_iterator).series == load_request(with_set).series == "S"

    def test_a_value_that_cannot_be_compared_is_refused_like_any_other(self) -> None:
        """A cell of a data frame may be an array, whose comparison is no truth."""
        with pytest.raises(InvalidRequestError, match="series cannot be set here"):
            self.read(allowed={"category"}, series=Incomparable())

    @pytest.mark.parametrize(
        "allowed", ["category", {"categories"}, ["title", 1], [["series"]], [Incomparable()], 5, object(), b"series"]
    )
    def test_a_name_that_is_no_field_is_a_mistake(self, allowed: Any) -> None:
        """A field that nobody can set would go unnoticed."""
        with pytest.raises(ConfigurationError, match="names title, author"):
            load_batch({"downloads": []}, allowed=allowed)
