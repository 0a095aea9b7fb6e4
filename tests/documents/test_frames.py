"""The rows of results and plans make data frames as they are."""

from __future__ import annotations

import pytest

from audiobatch import BatchDownloader, BatchPlan, BatchResult
from audiobatch.errors import RateLimited
from audiobatch.models import GivenRequest
from audiobatch.repositories.memory import MemoryRepository
from support.fakes import AT_ONCE, FakeClient, FakeFetcher, request

pandas = pytest.importorskip("pandas", reason="pandas is not installed")
polars = pytest.importorskip("polars", reason="polars is not installed")

OUTCOMES = ["queued"] * 20 + ["failed", "failed", "failed", "already_present"]


def batch() -> tuple[BatchResult, BatchPlan]:
    """Return a result and a plan with everything in them that there is."""
    fetcher = FakeFetcher()
    fetcher.errors["slow"] = [RateLimited("slow down", retry_after=600.5)]
    downloader = BatchDownloader(
        client=FakeClient(),
        fetcher=fetcher,
        repository=MemoryRepository(),
        max_concurrent_fetches=1,  # one after the other, for what comes after the slow one is not attempted
        fetch_retry=AT_ONCE,
        confirm_retry=AT_ONCE,
    )
    good = [request(f"book {number}", series="The Series") for number in range(20)]
    requests: list[GivenRequest] = [
        *good,
        request("missing"),
        {"title": 3},
        request("slow"),
        request("book 0", title="Again"),
    ]
    result = downloader.run(requests)
    return result, downloader.plan(requests)


def test_in_pandas() -> None:
    """Columns have the names of the keys, and what does not apply is missing."""
    result, plan = batch()
    frame, planned = pandas.DataFrame(result.rows()), pandas.DataFrame(plan.rows())

    assert list(frame["outcome"]) == OUTCOMES
    assert list(frame["index"]) == list(range(24))
    assert frame["retry_after"].dropna().to_dict() == {22: 600.5}
    assert frame[frame["outcome"] == "failed"]["info_hash"].isna().all()
    assert frame["error"].notna().sum() == 3
    assert planned["action"].value_counts().to_dict() == {"present": 20, "fetch": 2, "invalid": 1, "duplicate": 1}
    assert planned["same_as"].dropna().to_dict() == {23: 0}


def test_in_polars() -> None:
    """Each column has one type, although many a value is missing."""
    result, plan = batch()
    frame, planned = polars.DataFrame(result.rows()), polars.DataFrame(plan.rows())

    assert frame["outcome"].to_list() == OUTCOMES
    texts = ("outcome", "title", "author", "series", "info_hash", "code", "stage", "error")
    assert {frame.schema[name] for name in texts} == {polars.String}
    assert (frame.schema["index"], frame.schema["retryable"], frame.schema["retry_after"]) == (
        polars.Int64,
        polars.Boolean,
        polars.Float64,
    )
    assert frame.filter(polars.col("retryable"))["title"].to_list() == ["slow"]
    assert planned.filter(polars.col("action") == "duplicate")["same_as"].to_list() == [0]


def test_in_polars_with_a_large_batch() -> None:
    """It looks at the first hundred rows, unless it is told to look at all."""
    result, _ = batch()
    rows = [*[row for row in result.rows() if row["code"] is None] * 10, *result.rows()]

    assert polars.DataFrame(rows, infer_schema_length=None).schema["code"] == polars.String
