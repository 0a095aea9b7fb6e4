"""Several torrents in one request: what goes together, and what is true when that does not go well."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import pytest

from audiobatch import BatchDownloader, BatchResult, DownloadStatus
from audiobatch.errors import (
    ClientAuthError,
    ClientError,
    ClientUnavailable,
    NotAdded,
    TorrentRejected,
    Unsupported,
)
from audiobatch.metainfo import InfoHashes
from audiobatch.models import TorrentStatus
from audiobatch.repositories.memory import MemoryRepository
from support.fakes import AT_ONCE, FakeBulkClient, FakeClient, FakeFetcher, codes, request, torrent
from support.inline import Inline

FOUR: Final = ("a", "b", "c", "d")
CLEAR: Final = (None, TorrentRejected("one of them"), NotAdded("no reason"))
UNCLEAR: Final = (ClientUnavailable("lost"), ClientError("odd"))
DONE: Final = (*CLEAR, *UNCLEAR)
"""Answers after which any of the torrents may be there."""


@pytest.fixture
def client() -> FakeBulkClient:
    """Give an empty client that takes several at once."""
    return FakeBulkClient()


@pytest.fixture
def downloader(
    client: FakeClient, fetcher: FakeFetcher, repository: MemoryRepository, monkeypatch: pytest.MonkeyPatch
) -> BatchDownloader:
    """Give a downloader to which a batch is one group: all fetches are done before the client's turn comes."""
    return one_group(client, fetcher, repository, monkeypatch)


def one_group(
    client: FakeClient, fetcher: FakeFetcher, repository: MemoryRepository, monkeypatch: pytest.MonkeyPatch
) -> BatchDownloader:
    """Make a downloader to which a batch is one group."""
    monkeypatch.setattr("audiobatch._lookahead.ThreadPoolExecutor", lambda *_, **__: Inline(ahead=True))
    return BatchDownloader(
        client=client,
        fetcher=fetcher,
        repository=repository,
        max_concurrent_fetches=50,
        fetch_retry=AT_ONCE,
        confirm_retry=AT_ONCE,
    )


def run(downloader: BatchDownloader, *names: str, stop: threading.Event | None = None) -> BatchResult:
    """Ask for the books of these names."""
    return downloader.run([request(name) for name in names], stop=stop)


def reserved(repository: MemoryRepository) -> list[str]:
    """Return the titles of what is left open."""
    records = repository.unsettled(client="fake")
    return [record.request.title for record in records if record.status is DownloadStatus.RESERVED]


class TestWhatGoesTogether:
    """One request for each kind of options, as long as it does not get too large."""

    def test_fifty_go_in_one_request(
        self, downloader: BatchDownloader, client: FakeBulkClient, repository: MemoryRepository
    ) -> None:
        """One check, one look before, one request, one look after: all are there, in order, and on record."""
        names = [f"book{number}" for number in range(50)]

        result = run(downloader, *names)

        assert codes(result) == ["ok"] * 50
        assert client.calls == ["check", "status", f"add_all {' '.join(names)}", "status"]
        assert not any(done.already_present for done in result.successful)
        assert {done.status for done in result.successful} == {DownloadStatus.QUEUED}
        assert client.names(*names) == names
        assert reserved(repository) == []

    def test_all_are_on_record_before_the_request(
        self, downloader: BatchDownloader, client: FakeBulkClient, repository: MemoryRepository
    ) -> None:
        """A crash in the middle of it leaves each of them to a recovery."""
        seen: list[str] = []

        def look(_: Sequence[str]) -> None:
            seen.extend(reserved(repository))

        client.on_add_all = look
        run(downloader, *FOUR)

        assert seen == [*FOUR]

    def test_a_single_one_is_added_as_ever(self, downloader: BatchDownloader, client: FakeBulkClient) -> None:
        """There is nobody to go with."""
        assert codes(run(downloader, "one")) == ["ok"]
        assert client.calls == ["check", "status", "add one", "status"]

    def test_different_options_go_apart(self, downloader: BatchDownloader, client: FakeBulkClient) -> None:
        """All of one kind go with its first; one look-up serves them all."""
        batch = [
            request("a", category="x"),
            request("b"),
            request("c", category="x"),
            request("d", paused=True),
            request("e"),
        ]

        result = downloader.run(batch)

        assert codes(result) == ["ok"] * 5
        assert client.calls == ["check", "status", "add_all a c", "add_all b e", "add d", "status"]
        assert client.options == [batch[0].options, batch[1].options]
        assert {client.torrents[torrent(name).info_hashes] for name in "ac"} == {batch[0].options}
        assert client.torrents[torrent("d").info_hashes] == batch[3].options

    def test_doubtful_ones_go_alone(self, downloader: BatchDownloader, client: FakeBulkClient) -> None:
        """A request that a client refuses because of one of them is refused for all in it."""
        result = run(downloader, "a", "doubtful1", "b", "doubtful2", "c")

        assert codes(result) == ["ok"] * 5
        assert client.calls == ["check", "status", "add_all a b c", "add doubtful1", "add doubtful2", "status"]
        assert not any(done.already_present for done in result.successful)

    def test_a_doubtful_one_that_is_refused_says_why(self, downloader: BatchDownloader, client: FakeBulkClient) -> None:
        """The client has the last word; ours is only what might have led to it."""
        client.on_add = lambda name: TorrentRejected(f"not {name}") if name == "doubtful" else None

        result = run(downloader, "a", "doubtful", "b")

        assert codes(result) == ["ok", "torrent_rejected", "ok"]
        assert str(result.failed[0].error).endswith("not doubtful: more bytes follow after its end")

    @pytest.mark.parametrize(
        ("names", "fit", "calls"),
        [
            ("a b c d e", "a b", ["add_all a b", "add_all c d", "add e"]),
            ("a large b", "a b", ["add_all a b", "add large"]),
            ("large a b", "a b", ["add large", "add_all a b"]),
            ("large huge c", "large c", ["add_all large c", "add huge"]),
            ("a huge b more", "a huge", ["add_all a huge", "add_all b more"]),
        ],
    )
    def test_a_large_group_is_split(
        self,
        downloader: BatchDownloader,
        client: FakeBulkClient,
        monkeypatch: pytest.MonkeyPatch,
        names: str,
        fit: str,
        calls: list[str],
    ) -> None:
        """What does not fit in goes in a later request; what is too large by itself goes alone."""
        limit = sum(len(torrent(name).content) for name in fit.split())
        monkeypatch.setattr("audiobatch._submission._MAX_TOGETHER", limit)

        result = run(downloader, *names.split())

        assert codes(result) == ["ok"] * len(result.outcomes)
        assert client.calls == ["check", "status", *calls, "status"]

    def test_what_goes_elsewhere_does_not_count(
        self, downloader: BatchDownloader, client: FakeBulkClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Torrents with other options take no room in a request."""
        monkeypatch.setattr("audiobatch._submission._MAX_TOGETHER", 2 * len(torrent("a").content))

        downloader.run([request("a"), request("b", paused=True), request("c"), request("d", paused=True)])

        assert client.calls == ["check", "status", "add_all a c", "add_all b d", "status"]

    def test_magnet_links_go_with_the_files(self, downloader: BatchDownloader, client: FakeBulkClient) -> None:
        """They are torrents like the others."""
        link = f"magnet:?xt=urn:btih:{torrent('c').info_hashes.v1}&dn=c"

        result = downloader.run([request("a"), request("c", torrent_url=link), request("b")])

        assert codes(result) == ["ok"] * 3
        assert client.calls == ["check", "status", "add_all a c b", "status"]

    def test_what_is_there_does_not_go(self, downloader: BatchDownloader, client: FakeBulkClient) -> None:
        """It was there before, and the others were not."""
        client.torrents[torrent("b").info_hashes] = request("b").options

        result = run(downloader, *FOUR)

        assert [done.already_present for done in result.successful] == [False, True, False, False]
        assert client.calls == ["check", "status", "add_all a c d", "status"]

    def test_one_torrent_goes_once(
        self, downloader: BatchDownloader, client: FakeBulkClient, fetcher: FakeFetcher
    ) -> None:
        """Also under another URL, or as a magnet link: the first brings it, for the others it is there."""
        fetcher.served["other"] = "a"
        link = f"magnet:?xt=urn:btih:{torrent('a').info_hashes.v1}&dn=a"

        result = downloader.run(
            [request("a"), request("other"), request("b"), request("a", torrent_url=link), request("a")]
        )

        assert codes(result) == ["ok"] * 5
        assert [done.already_present for done in result.successful] == [False, True, False, True, True]
        assert client.calls == ["check", "status", "add_all a b", "status"]

    def test_a_recovery_puts_back_all_in_one_request(self, downloader: BatchDownloader, client: FakeBulkClient) -> None:
        """What the client has lost is added as a group, too."""
        run(downloader, *FOUR)
        client.torrents.clear()
        client.calls.clear()

        assert codes(downloader.recover()) == ["ok"] * 4
        assert client.calls == ["check", "status", "add_all a b c d", "status"]

    def test_a_client_that_takes_one_at_a_time_gets_one_at_a_time(
        self, fetcher: FakeFetcher, repository: MemoryRepository, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Then as before one look-up serves the group."""
        client = FakeClient()

        assert codes(run(one_group(client, fetcher, repository, monkeypatch), *FOUR)) == ["ok"] * 4
        assert client.calls == ["check", "status", *(f"add {name}" for name in FOUR), "status"]


class TestWhenItDoesNotGoWell:
    """All are looked up, and what is not there is handed over once more, alone."""

    @pytest.mark.parametrize("there", ["", "a", "bd", "abcd"])
    @pytest.mark.parametrize("answer", DONE, ids=lambda answer: type(answer).__name__)
    def test_the_missing_ones_are_added_alone(
        self, downloader: BatchDownloader, client: FakeBulkClient, answer: ClientError | None, there: str
    ) -> None:
        """Whatever was answered, and whichever of them it has brought in: none of them was there before."""
        client.on_add_all = lambda _: answer
        client.applied_anyway = set(there)
        client.left_out = set(FOUR) - set(there)

        result = run(downloader, *FOUR)

        alone = [f"add {name}" for name in FOUR if name not in there]
        looks = ["status"] if there == "abcd" else ["status"] * AT_ONCE.attempts
        assert codes(result) == ["ok"] * 4
        assert not any(done.already_present for done in result.successful)
        assert client.calls == ["check", "status", "add_all a b c d", *looks, *alone, *(["status"] if alone else [])]

    def test_the_missing_ones_go_before_what_has_other_options(
        self, downloader: BatchDownloader, client: FakeBulkClient
    ) -> None:
        """After a lost answer it is looked before anything more is sent."""
        client.on_add_all = lambda names: ClientUnavailable("lost") if "a" in names else None

        downloader.run([request("a"), request("b"), request("c", paused=True), request("d", paused=True)])

        looks = ["status"] * AT_ONCE.attempts
        calls = ["check", "status", "add_all a b", *looks, "add a", "add b", "add_all c d", "status"]
        assert client.calls == calls

    @pytest.mark.parametrize("answer", CLEAR, ids=lambda answer: type(answer).__name__)
    def test_a_bad_one_among_good_ones_fails_alone(
        self,
        downloader: BatchDownloader,
        client: FakeBulkClient,
        repository: MemoryRepository,
        answer: ClientError | None,
    ) -> None:
        """It has the answer that it got for itself, and is settled; the good ones succeed."""
        client.on_add_all = lambda _: answer
        client.applied_anyway = {"a"}
        client.left_out = {"b"}
        client.on_add = lambda name: TorrentRejected("not this one") if name == "b" else None

        result = run(downloader, *FOUR)

        assert codes(result) == ["ok", "torrent_rejected", "ok", "ok"]
        assert result.failed[0].error == "Failed to create download: not this one"
        assert reserved(repository) == []

    @pytest.mark.parametrize("answer", UNCLEAR, ids=lambda answer: type(answer).__name__)
    def test_a_refusal_after_a_lost_answer_says_nothing(
        self, downloader: BatchDownloader, client: FakeBulkClient, repository: MemoryRepository, answer: ClientError
    ) -> None:
        """The first request may still be on its way: it is unconfirmed, and stays open."""
        client.on_add_all = lambda _: answer
        client.on_add = lambda name: TorrentRejected("perhaps a duplicate") if name == "b" else None

        assert codes(run(downloader, *FOUR)) == ["ok", "unconfirmed", "ok", "ok"]
        assert reserved(repository) == ["b"]

    @pytest.mark.parametrize("second", [None, NotAdded("?"), ClientAuthError("who?"), Unsupported("no")])
    @pytest.mark.parametrize("answer", DONE, ids=lambda answer: type(answer).__name__)
    def test_what_may_have_arrived_is_not_denied(
        self,
        downloader: BatchDownloader,
        client: FakeBulkClient,
        repository: MemoryRepository,
        answer: ClientError | None,
        second: ClientError | None,
    ) -> None:
        """It came with the others but does not show; whatever it is answered alone, recovery finds it."""
        client.on_add_all = lambda _: answer
        client.on_add = lambda name: second if name == "d" else None
        client.applied_anyway = set(FOUR)
        client.hidden = {torrent("d").info_hashes}

        assert codes(run(downloader, *FOUR)) == ["ok", "ok", "ok", "unconfirmed"]
        assert reserved(repository) == ["d"]
        client.hidden.clear()
        assert codes(downloader.recover()) == ["ok"] * 4
        assert reserved(repository) == []

    @pytest.mark.parametrize("second", [NotAdded("?"), TorrentRejected("a duplicate")])
    def test_a_duplicate_of_the_first_request_was_not_there_before(
        self, downloader: BatchDownloader, client: FakeBulkClient, second: ClientError
    ) -> None:
        """It had arrived after all, in the first request of this very batch."""
        client.left_out = {"b"}
        client.applied_anyway = {"b"}
        client.on_add = lambda _: second

        result = run(downloader, *FOUR)

        assert codes(result) == ["ok"] * 4
        assert not any(done.already_present for done in result.successful)

    @pytest.mark.parametrize("answer", DONE, ids=lambda answer: type(answer).__name__)
    @pytest.mark.parametrize("second", [None, *UNCLEAR])
    def test_nothing_is_sent_a_third_time(
        self,
        downloader: BatchDownloader,
        client: FakeBulkClient,
        answer: ClientError | None,
        second: ClientError | None,
    ) -> None:
        """Once with the others and once alone is enough."""
        client.on_add_all = lambda _: answer
        client.on_add = lambda _: second
        client.hidden = {torrent(name).info_hashes for name in FOUR}

        assert codes(run(downloader, *FOUR)) == ["unconfirmed"] * 4
        assert [client.times(name) for name in FOUR] == [2] * 4

    def test_a_client_that_dies_of_it_is_left_alone(
        self, downloader: BatchDownloader, client: FakeBulkClient, repository: MemoryRepository
    ) -> None:
        """No look-up can tell what has arrived: nothing more is sent, and a recovery settles it."""

        def die(_: Sequence[str]) -> ClientError:
            client.lookups = [ClientUnavailable("gone")] * AT_ONCE.attempts
            return ClientUnavailable("lost")

        client.on_add_all = die
        client.applied_anyway = {"a", "b"}

        result = downloader.run([*map(request, FOUR), request("e", paused=True)])

        assert codes(result) == ["unconfirmed"] * 4 + ["not_attempted"]
        assert [client.times(name) for name in (*FOUR, "e")] == [1] * 4 + [0]
        client.on_add_all = lambda _: None
        assert codes(downloader.recover()) == ["ok"] * 4
        assert reserved(repository) == []


class TestWhenNothingWasSent:
    """Two errors say that the client got nothing."""

    def test_a_refused_login_ends_the_batch(
        self, downloader: BatchDownloader, client: FakeBulkClient, repository: MemoryRepository
    ) -> None:
        """Those of the request say so, the rest was not attempted, and nothing is left open."""
        client.on_add_all = lambda _: ClientAuthError("expired")

        result = downloader.run([request("a"), request("b"), request("c", paused=True), request("d", paused=True)])

        assert codes(result) == ["client_auth"] * 2 + ["not_attempted"] * 2
        assert [call for call in client.calls if call.startswith("add")] == ["add_all a b"]
        assert reserved(repository) == []
        client.on_add_all = lambda _: None
        assert codes(run(downloader, *FOUR)) == ["ok"] * 4

    def test_what_is_unsupported_is_told_of_each(
        self, downloader: BatchDownloader, client: FakeBulkClient, repository: MemoryRepository
    ) -> None:
        """Each one gets its answer alone, and as nothing was sent before, it is certain."""
        client.on_add_all = lambda _: Unsupported("no such category")
        client.on_add = lambda _: Unsupported("no such category")

        result = run(downloader, *FOUR)

        assert codes(result) == ["unsupported"] * 4
        assert result.failed[0].error == "Failed to create download: no such category"
        assert reserved(repository) == []

    def test_one_that_is_unsupported_does_not_stop_the_others(
        self, downloader: BatchDownloader, client: FakeBulkClient
    ) -> None:
        """They get their turn, with all the tries that one alone has."""
        answers: dict[str, list[ClientError]] = {"b": [Unsupported("no")], "c": [ClientUnavailable("lost")]}
        client.on_add_all = lambda _: Unsupported("one of them")
        client.on_add = lambda name: answers[name].pop() if answers.get(name) else None

        assert codes(run(downloader, *FOUR)) == ["ok", "unsupported", "ok", "ok"]
        assert client.calls.count("add c") == 2

    @pytest.mark.parametrize("second", [NotAdded("a duplicate"), TorrentRejected("a duplicate")])
    def test_what_somebody_else_brought_meanwhile_was_there(
        self, downloader: BatchDownloader, client: FakeBulkClient, second: ClientError
    ) -> None:
        """The batch has sent nothing before that refusal."""
        client.on_add_all = lambda _: Unsupported("one of them")
        client.on_add = lambda name: second if name == "b" else None
        client.applied_anyway = {"b"}

        result = run(downloader, *FOUR)

        assert [done.already_present for done in result.successful] == [False, True, False, False]


class TestStoppingInBetween:
    """Told to stop while the request is on its way."""

    @pytest.mark.parametrize("there", ["", "bd", "abcd"])
    @pytest.mark.parametrize("answer", DONE, ids=lambda answer: type(answer).__name__)
    def test_what_was_sent_is_settled(
        self,
        downloader: BatchDownloader,
        client: FakeBulkClient,
        repository: MemoryRepository,
        answer: ClientError | None,
        there: str,
    ) -> None:
        """What shows is a success, what does not is unconfirmed, also after a refusal: it did not say of whom."""
        stop = threading.Event()

        def halt(_: Sequence[str]) -> ClientError | None:
            stop.set()
            return answer

        client.on_add_all = halt
        client.applied_anyway = set(there)
        client.left_out = set(FOUR) - set(there)

        result = downloader.run([*map(request, FOUR), request("e", paused=True)], stop=stop)

        expected = ["ok" if name in there else "unconfirmed" for name in FOUR]
        assert codes(result) == [*expected, "not_attempted"]
        assert [client.times(name) for name in (*FOUR, "e")] == [1] * 4 + [0]
        assert reserved(repository) == [name for name in FOUR if name not in there]

    def test_what_was_not_sent_was_not_attempted(
        self, downloader: BatchDownloader, client: FakeBulkClient, repository: MemoryRepository
    ) -> None:
        """That something in the group is not supported says nothing of each."""
        stop = threading.Event()

        def halt(_: Sequence[str]) -> ClientError:
            stop.set()
            return Unsupported("one of them")

        client.on_add_all = halt

        result = run(downloader, *FOUR, stop=stop)

        assert codes(result) == ["not_attempted"] * 4
        assert client.torrents == {}
        assert reserved(repository) == []

    def test_those_that_were_added_alone_until_then_are_settled(
        self, downloader: BatchDownloader, client: FakeBulkClient
    ) -> None:
        """The others have been sent with the group alone, and nobody knows of them."""
        stop = threading.Event()
        client.left_out = set(FOUR)
        client.on_add = lambda name: stop.set() if name == "b" else None

        result = run(downloader, *FOUR, stop=stop)

        assert codes(result) == ["ok", "ok", "unconfirmed", "unconfirmed"]

    def test_stopped_before_the_request_nothing_goes(self, downloader: BatchDownloader, client: FakeBulkClient) -> None:
        """No item was attempted."""
        stop = threading.Event()
        look = client.status

        def halt_and_look(info_hashes: Collection[InfoHashes], /) -> Mapping[InfoHashes, TorrentStatus]:
            stop.set()
            return look(info_hashes)

        client.status = halt_and_look  # type: ignore[method-assign]

        assert codes(run(downloader, *FOUR, stop=stop)) == ["not_attempted"] * 4
        assert client.torrents == {}
