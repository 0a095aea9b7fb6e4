"""A request survives the way through JSON and back."""

from __future__ import annotations

import json
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st

from audiobatch.errors import InvalidRequestError
from audiobatch.models import DownloadRequest
from audiobatch.results import BatchResult, DownloadFailure, Stage
from audiobatch.wire import dump_request, dump_result, load_batch, load_request

CHARACTERS = st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])
TEXTS = st.text(CHARACTERS, max_size=30)
REQUIRED = TEXTS.filter(str.strip)
OPTIONAL = st.none() | TEXTS
URLS = st.builds(
    "{}://{}{}/{}".format,
    st.sampled_from(["http", "https", "HTTP"]),
    st.sampled_from(["host", "user:key@host", "tracker.example", "[2001:db8::1]", "192.0.2.1"]),
    st.sampled_from(["", ":1", ":8080", ":65535"]),
    TEXTS.filter(str.isprintable),
) | st.builds("magnet:?xt=urn:btih:{}".format, st.binary(min_size=20, max_size=20).map(bytes.hex))
REQUESTS = st.builds(
    DownloadRequest,
    title=REQUIRED,
    author=REQUIRED,
    torrent_url=URLS,
    series=OPTIONAL,
    category=OPTIONAL,
    tags=st.lists(REQUIRED.filter(lambda tag: "," not in tag), max_size=4),
    save_path=OPTIONAL,
    paused=st.none() | st.booleans(),
)
FIELDS = [attribute.name for attribute in attrs.fields(DownloadRequest)]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary() | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=10,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(REQUESTS)
def test_a_request_comes_back_equal(request: DownloadRequest) -> None:
    """From data, and from data that went through text, an equal request is read."""
    dumped = dump_request(request)
    assert load_request(dumped) == request
    assert load_batch(json.dumps({"downloads": [dumped]})) == [dumped]
    assert load_request(json.loads(json.dumps(dumped))) == request


@given(st.dictionaries(st.sampled_from(FIELDS), ANYTHING))
def test_any_object_is_a_request_or_invalid(item: dict[str, Any]) -> None:
    """Whatever the fields hold, there is one error for it."""
    try:
        request = load_request(item)
    except InvalidRequestError:
        return
    assert load_request(dump_request(request)) == request


@given(ANYTHING)
def test_a_result_is_written_whatever_was_asked_for(item: Any) -> None:
    """A raw request of any shape can be reported as JSON."""
    assert json.loads(report(item))["failed"][0]["index"] == 0


@given(JSON)
def test_a_raw_request_of_json_comes_back_as_it_was(item: Any) -> None:
    """What was JSON without fractions is reported unchanged."""
    assert json.loads(report(item))["failed"][0]["request"] == item


def report(item: Any) -> str:
    """Write the result of a batch of one request that did not validate."""
    failure = DownloadFailure.from_error(InvalidRequestError("no"), index=0, request=item, stage=Stage.VALIDATE)
    return json.dumps(dump_result(BatchResult([failure])), allow_nan=False)
