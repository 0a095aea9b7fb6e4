"""What is a batch, what of it is fetched, and what is done once."""

from __future__ import annotations

import logging

import pytest

from audiobatch import (
    BatchDownloader,
    BatchTooLargeError,
    Download,
    EmptyBatchError,
    FailureCode,
    InvalidBatchError,
    Stage,
)
from audiobatch.errors import (
    ClientAuthError,
    ConfigurationError,
    FetchDenied,
    FetchUnavailable,
    RateLimited,
    TorrentNotFound,
)
from audiobatch.repositories.memory import MemoryRepository
from support.fakes import AT_ONCE, FakeClient, FakeFetcher, codes, request, torrent


class TestTheBatchItself:
    """What is a batch, and what is refused as a whole."""

    def test_all_succeed(self, downloader: BatchDownloader, client: FakeClient, repository: MemoryRepository) -> None:
        """Every good item is in the client, on record, and reported with its own info-hash."""
        names = [f"book {number}" for number in range(50)]

        result = downloader.run([request(name) for name in names])

        assert [torrent(name).info_hashes.v1 for name in names] == [done.info_hash for done in result.successful]
        assert names == client.names(*names)
        found = repository.find([done.info_hash for done in result.successful], client="fake")
        assert {done.id for done in result.successful} == {record.id for record in found.values()}
        assert all(
            (done.client, done.status, done.already_present, done.torrent) == ("fake", "queued", False, None)
            for done in result.successful
        )

    def test_some_fail(self, downloader: BatchDownloader, client: FakeClient) -> None:
        """Good items succeed beside bad ones, each with its index, its request and its reason."""
        bad = {"title": " ", "author": "B", "torrent_url": "http://x.test/"}

        result = downloader.run([bad, request("missing"), request("good")])

        assert codes(result) == ["invalid_request", "torrent_not_found", "ok"]
        validation, fetch = result.failed
        assert (validation.index, validation.request, validation.stage) == (0, bad, Stage.VALIDATE)
        assert validation.error == "Validation failed: title is required"
        assert (fetch.index, fetch.request, fetch.stage) == (1, request("missing"), Stage.FETCH)
        assert fetch.error.startswith("Failed to download torrent: ")
        assert [done.index for done in result.successful] == [2]
        assert client.names("missing", "good") == ["good"]

    def test_all_fail(self, downloader: BatchDownloader) -> None:
        """A batch in which nothing succeeds is a result like any other."""
        result = downloader.run([request("missing 1"), request("missing 2")])

        assert result.successful == ()
        assert len(result.failed) == 2

    def test_a_batch_without_a_valid_request_does_not_bother_the_client(
        self, downloader: BatchDownloader, client: FakeClient
    ) -> None:
        """There is nothing that it could be asked."""
        assert codes(downloader.run([{}, {"title": "T"}])) == ["invalid_request"] * 2
        assert client.calls == []

    def test_an_empty_batch_is_refused(self, downloader: BatchDownloader, client: FakeClient) -> None:
        """There is nothing to do, and nothing is touched."""
        with pytest.raises(EmptyBatchError):
            downloader.run([])

        assert client.calls == []

    def test_one_too_many_is_refused(
        self, downloader: BatchDownloader, client: FakeClient, fetcher: FakeFetcher
    ) -> None:
        """At 51 items nothing is touched, not even the first fifty."""
        with pytest.raises(BatchTooLargeError, match="limit of 50"):
            downloader.stream([request(f"book {number}") for number in range(51)])

        assert (client.calls, fetcher.fetched) == ([], [])

    @pytest.mark.parametrize("batch", ['{"downloads": []}', b"x", {"downloads": []}])
    def test_what_is_no_list_is_refused(self, downloader: BatchDownloader, batch: object) -> None:
        """A JSON text or its outermost object is a batch only after it was read."""
        with pytest.raises(InvalidBatchError, match="load_batch"):
            downloader.run(batch)  # type: ignore[arg-type]

    def test_an_endless_iterable_is_not_read_to_its_end(self, downloader: BatchDownloader) -> None:
        """It is known to be too large after one item more than the limit."""
        with pytest.raises(BatchTooLargeError):
            downloader.run(iter(lambda: request("again"), None))

    @pytest.mark.parametrize("limits", [{"max_batch_size": 0}, {"max_concurrent_fetches": 0}])
    def test_limits_below_one_make_no_sense(self, limits: dict[str, int]) -> None:
        """They are refused when the downloader is made."""
        with pytest.raises(ConfigurationError):
            BatchDownloader(client=FakeClient(), fetcher=FakeFetcher(), repository=MemoryRepository(), **limits)  # type: ignore[arg-type]

    def test_a_mapping_counts_as_a_request(self, downloader: BatchDownloader, client: FakeClient) -> None:
        """It is read as the JSON contract says, and its options reach the client."""
        mapping = {"title": "T", "author": "A", "torrent_url": "http://x.test/book", "category": "Audio", "tags": ["a"]}

        (done,) = downloader.run([mapping]).successful

        (options,) = client.torrents.values()
        assert (options.category, options.tags) == ("Audio", ("a",))
        assert done.request.title == "T"

    def test_a_magnet_link_needs_no_fetch(self, downloader: BatchDownloader, fetcher: FakeFetcher) -> None:
        """It holds all there is to know."""
        (done,) = downloader.run([request("x", torrent_url="magnet:?xt=urn:btih:" + "a" * 40)]).successful

        assert (done.info_hash, fetcher.fetched) == ("a" * 40, [])

    def test_single_downloads_return_or_raise(self, downloader: BatchDownloader) -> None:
        """What a batch reports as a failure is raised for a single request."""
        assert isinstance(downloader.download(request("one")), Download)
        with pytest.raises(TorrentNotFound, match="Failed to download torrent: "):
            downloader.download(request("missing"))

    def test_outcomes_stream_before_the_batch_is_done(
        self, downloader: BatchDownloader, client: FakeClient, fetcher: FakeFetcher
    ) -> None:
        """The first outcome is there while later torrents have not been asked for."""
        stream = downloader.stream([request(f"book {number}") for number in range(20)])

        first = next(stream)

        assert isinstance(first, Download)
        assert len(fetcher.fetched) < 20
        stream.close()
        assert len(client.torrents) < 20

    def test_sizes_and_counts_are_logged_without_secrets(
        self, downloader: BatchDownloader, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The log tells how large a batch was and how it ended."""
        caplog.set_level(logging.DEBUG, logger="audiobatch")

        downloader.run([request("good"), request("missing")])

        told = [entry for entry in caplog.records if entry.name == "audiobatch" and entry.levelno >= logging.INFO]
        assert [entry.getMessage() for entry in told] == [
            "batch of 2 started",
            "item 1 failed: Failed to download torrent: no such torrent",
            "batch finished: 1 successful, 1 failed",
        ]
        assert "s3cret" not in caplog.text


class TestFetching:
    """When a tracker is asked again, and when not at all."""

    def test_a_tracker_with_trouble_is_asked_again(self, downloader: BatchDownloader, fetcher: FakeFetcher) -> None:
        """Two transient errors in a row do not lose the item."""
        fetcher.errors["one"] = [FetchUnavailable("down"), FetchUnavailable("still down")]

        assert codes(downloader.run([request("one")])) == ["ok"]
        assert fetcher.fetched == ["one"] * 3

    @pytest.mark.parametrize(
        ("error", "tries"),
        [
            (FetchUnavailable("down"), 3),
            (RateLimited("slow down", retry_after=3600), 1),
            (FetchDenied("no"), 1),
        ],
    )
    def test_only_what_may_pass_is_tried_again(
        self, downloader: BatchDownloader, fetcher: FakeFetcher, error: FetchUnavailable, tries: int
    ) -> None:
        """A refusal stays one, and a long wait is left to the caller."""
        fetcher.errors["one"] = [error] * 5

        (failure,) = downloader.run([request("one")]).failed

        assert (failure.code, failure.retryable, failure.retry_after) == (
            error.code,
            error.transient,
            error.retry_after,
        )
        assert len(fetcher.fetched) == tries

    def test_a_tracker_that_asks_to_slow_down_is_left_alone(
        self, client: FakeClient, fetcher: FakeFetcher, repository: MemoryRepository
    ) -> None:
        """The rest of its items is not attempted, with the time to wait; other trackers are asked as before."""
        downloader = BatchDownloader(
            client=client, fetcher=fetcher, repository=repository, max_concurrent_fetches=1, fetch_retry=AT_ONCE
        )
        fetcher.errors["a2"] = [RateLimited("slow down", retry_after=3600)]
        here = [request(f"a{number}") for number in range(1, 5)]
        there = [request(f"b{number}", torrent_url=f"http://other.test/b{number}.torrent") for number in range(1, 5)]

        result = downloader.run([item for pair in zip(here, there, strict=True) for item in pair])

        assert codes(result) == ["ok", "ok", "rate_limited", "ok", "not_attempted", "ok", "not_attempted", "ok"]
        assert {failure.retry_after for failure in result.failed} == {3600}
        assert [name for name in fetcher.fetched if name.startswith("a")] == ["a1", "a2"]

    def test_what_is_in_the_client_and_on_record_is_not_fetched_again(
        self, downloader: BatchDownloader, fetcher: FakeFetcher
    ) -> None:
        """Trackers count each fetch: a second click costs none."""
        (first,) = downloader.run([request("one")]).successful

        (second,) = downloader.run([request("one", title="Another title")]).successful

        assert fetcher.fetched == ["one"]
        assert (second.id, second.info_hash, second.already_present) == (first.id, first.info_hash, True)
        assert second.request.title == "Another title"

    def test_what_the_user_has_removed_is_fetched_anew(
        self, downloader: BatchDownloader, fetcher: FakeFetcher, client: FakeClient
    ) -> None:
        """On record, seen twice, and then deleted from the client: asking for it again brings it back."""
        downloader.run([request("one")])
        downloader.run([request("one")])
        client.torrents.clear()

        (done,) = downloader.run([request("one")]).successful

        assert not done.already_present
        assert client.names("one") == ["one"]
        assert fetcher.fetched == ["one", "one"]

    def test_what_could_not_be_handed_over_needs_no_second_fetch(
        self, downloader: BatchDownloader, fetcher: FakeFetcher, client: FakeClient
    ) -> None:
        """The torrent stays on record when the client refuses the login in the middle."""
        client.on_add = lambda _: ClientAuthError("who are you?")
        assert codes(downloader.run([request("one")])) == ["client_auth"]
        client.on_add = lambda _: None

        assert codes(downloader.run([request("one")])) == ["ok"]
        assert fetcher.fetched == ["one"]


class TestDuplicates:
    """The same thing twice is done once, and answered twice."""

    def test_the_same_url_twice_is_fetched_once(
        self, downloader: BatchDownloader, fetcher: FakeFetcher, client: FakeClient
    ) -> None:
        """Each index has its answer, with its own request."""
        result = downloader.run([request("one"), request("two"), request("one", title="Twin")])

        assert sorted(fetcher.fetched) == ["one", "two"]
        first, _, twin = result.successful
        assert (twin.id, twin.info_hash, twin.request.title) == (first.id, first.info_hash, "Twin")
        assert (first.already_present, twin.already_present) == (False, True)
        assert sum(call.startswith("add") for call in client.calls) == 2

    def test_twins_of_a_failed_item_fail_with_it(self, downloader: BatchDownloader, fetcher: FakeFetcher) -> None:
        """The reason is the same, the index is not."""
        result = downloader.run([request("missing"), request("missing")])

        assert [(failure.index, failure.code) for failure in result.failed] == [
            (0, FailureCode.TORRENT_NOT_FOUND),
            (1, FailureCode.TORRENT_NOT_FOUND),
        ]
        assert fetcher.fetched == ["missing"]

    def test_two_urls_of_one_torrent_are_added_once(
        self, downloader: BatchDownloader, fetcher: FakeFetcher, client: FakeClient
    ) -> None:
        """Only after the fetch it shows that they are the same."""
        fetcher.served["other"] = "one"

        first, second = downloader.run([request("one"), request("other")]).successful

        assert (first.info_hash, first.id) == (second.info_hash, second.id)
        assert second.already_present
        assert client.calls.count("add one") == 1

    def test_what_is_in_the_client_already_is_a_success(
        self, downloader: BatchDownloader, client: FakeClient, repository: MemoryRepository
    ) -> None:
        """It is not added, whoever brought it there, and its record is made."""
        downloader.run([request("newer")])
        client.torrents = {torrent(name).info_hashes: request(name).options for name in ("old", "newer")}

        (done,) = downloader.run([request("old")]).successful

        assert (done.info_hash, done.already_present) == (torrent("old").info_hashes.v1, True)
        assert "add old" not in client.calls
        assert done.info_hash in repository.find([done.info_hash], client="fake")
