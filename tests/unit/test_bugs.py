"""Plug-ins with bugs: an exception that nobody expected, or an answer of another type, ends no report."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import pytest
from attrs import evolve

from audiobatch import BatchDownloader, DownloadFailure, DownloadRequest
from audiobatch.errors import AudiobatchError, ClientError, ConfigurationError, FetchError, RepositoryError
from audiobatch.fetchers.choice import FirstAccepting
from audiobatch.metainfo import InfoHashes, parse_magnet
from audiobatch.models import Download, DownloadStatus, GivenRequest, TorrentState, TorrentStatus
from audiobatch.protocols import Repository
from audiobatch.repositories.memory import MemoryRepository
from audiobatch.results import Stage
from audiobatch.wire import dump_result
from support.fakes import AT_ONCE, FakeBulkClient, FakeClient, FakeFetcher, codes, request, torrent

SECRET: Final = "s3cret"
THERE: Final = TorrentStatus(state=TorrentState.DOWNLOADING, progress=0.0)
VICIOUS: Final = type("Bad\x1b[31m" + "x" * 1000, (Exception,), {})


class MuteError(AudiobatchError):
    """One of ours by its class, that cannot be shown."""

    def __str__(self) -> str:
        raise ValueError(SECRET)


def unwaitable() -> AudiobatchError:
    """Return an error of ours whose wait is no number."""
    error = ClientError("no")
    error.retry_after = "soon"  # type: ignore[assignment]
    return error


BUGS: Final = {
    "TypeError": lambda: TypeError(f"http://tracker.test/?passkey={SECRET}"),
    "KeyError": lambda: KeyError(SECRET),
    "StopIteration": lambda: StopIteration(SECRET),
    "MemoryError": MemoryError,
    "RecursionError": lambda: RecursionError(SECRET),
    "AssertionError": lambda: AssertionError(SECRET),
    "UnicodeEncodeError": lambda: UnicodeEncodeError("idna", SECRET, 0, 1, SECRET),
    "ExceptionGroup": lambda: ExceptionGroup(SECRET, [ValueError(SECRET)]),
    "vicious": lambda: VICIOUS(SECRET),
    "mute": lambda: MuteError("no"),
    "unwaitable": unwaitable,
}


@pytest.fixture(params=BUGS)
def bug(request: pytest.FixtureRequest) -> Exception:
    """Give exceptions that nobody expects."""
    made: Exception = BUGS[request.param]()
    return made


@pytest.fixture(autouse=True)
def _no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Look through the log after each test."""
    caplog.set_level(logging.DEBUG)
    yield
    assert SECRET not in caplog.text
    assert "\x1b" not in caplog.text


def downloader_of(client: FakeClient, fetcher: FakeFetcher, repository: Repository, **options: Any) -> BatchDownloader:
    """Make a downloader that does not wait between its tries."""
    return BatchDownloader(
        client=client, fetcher=fetcher, repository=repository, fetch_retry=AT_ONCE, confirm_retry=AT_ONCE, **options
    )


class TestTheFetcher:
    """Its bug is the failure of one item."""

    def test_the_item_fails_and_the_others_get_there(
        self, downloader: BatchDownloader, fetcher: FakeFetcher, bug: Exception, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It is not asked again; the report names the class alone, and the log says where it was raised."""
        fetcher.errors["bug"] = [bug]

        result = downloader.run([request("one"), request("bug"), request("two")])

        assert codes(result) == ["ok", "fetch_error", "ok"]
        (failure,) = result.failed
        assert failure.stage is Stage.FETCH
        assert not failure.retryable
        assert failure.error.startswith("Failed to download torrent: the fetcher failed unexpectedly (")
        assert SECRET not in failure.error
        assert len(failure.error) < 200
        assert failure.error.isprintable()
        assert fetcher.fetched.count("bug") == 1
        (entry,) = [entry for entry in caplog.records if entry.levelno == logging.ERROR]
        assert entry.getMessage() == "the fetcher failed unexpectedly"
        assert entry.pathname.endswith("fakes.py")
        assert "Traceback (most recent call last):" in caplog.text
        assert "fakes.py" in caplog.text

    def test_the_exception_does_not_travel_along(self, downloader: BatchDownloader, fetcher: FakeFetcher) -> None:
        """A program that shows the error with its context does not show it."""
        fetcher.errors["bug"] = [TypeError(SECRET)]

        with pytest.raises(FetchError) as caught:
            downloader.download(request("bug"))

        assert caught.value.__context__ is None
        assert caught.value.__cause__ is None

    def test_a_deep_traceback_is_cut(
        self, downloader: BatchDownloader, fetcher: FakeFetcher, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What is logged is bounded."""

        def dive(depth: int) -> None:
            if depth:
                dive(depth - 1)
            raise TypeError(SECRET)

        with pytest.raises(TypeError) as caught:
            dive(300)
        fetcher.errors["bug"] = [caught.value]

        assert codes(downloader.run([request("bug")])) == ["fetch_error"]
        assert 5 < caplog.text.count("\n  File") <= 20

    def test_nobody_who_wants_no_errors_gets_one(
        self, downloader: BatchDownloader, fetcher: FakeFetcher, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The level of the logger counts."""
        caplog.set_level(logging.CRITICAL, "audiobatch")
        fetcher.errors["bug"] = [TypeError(SECRET)]

        assert codes(downloader.run([request("bug")])) == ["fetch_error"]
        assert not caplog.records

    @pytest.mark.parametrize(
        "returned",
        [
            None,
            b"d4:infod",
            "magnet:?xt=urn:btih:" + "ab" * 20,
            {},
            evolve(torrent("x"), content="text"),  # type: ignore[arg-type]
            evolve(torrent("x"), info_hashes=None),  # type: ignore[arg-type]
            evolve(parse_magnet("magnet:?xt=urn:btih:" + "ab" * 20), info_hashes="ab" * 20),  # type: ignore[arg-type]
            object(),
        ],
        ids=lambda returned: type(returned).__name__,
    )
    def test_what_is_no_torrent_fails_the_item(
        self, downloader: BatchDownloader, fetcher: FakeFetcher, monkeypatch: pytest.MonkeyPatch, returned: object
    ) -> None:
        """A fetcher that returns something else has a bug, too."""
        fetch = fetcher.fetch
        monkeypatch.setattr(fetcher, "fetch", lambda it: returned if "bug" in it.torrent_url else fetch(it))

        result = downloader.run([request("bug"), request("one")])

        assert codes(result) == ["fetch_error", "ok"]
        assert f"({type(returned).__name__})" in result.failed[0].error

    @pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit, GeneratorExit])
    def test_what_is_no_error_passes(
        self, downloader: BatchDownloader, fetcher: FakeFetcher, end: type[BaseException]
    ) -> None:
        """Ctrl-C in a fetcher is Ctrl-C."""
        fetcher.errors["end"] = [end()]  # type: ignore[list-item]

        with pytest.raises(end):
            downloader.run([request("end")])

    def test_a_bug_in_accepts_is_one_of_its_item(
        self, client: FakeClient, fetcher: FakeFetcher, repository: MemoryRepository, bug: Exception
    ) -> None:
        """The choice between several fetchers is a part of fetching."""

        class Picky(FakeFetcher):
            def accepts(self, url: str, /) -> bool:
                if "bug" in url:
                    raise bug
                return True

        downloader = BatchDownloader(
            client=client, fetcher=FirstAccepting(Picky(), fetcher), repository=repository, fetch_retry=AT_ONCE
        )

        assert codes(downloader.run([request("bug"), request("one")])) == ["fetch_error", "ok"]


class Hostile(Mapping[str, object]):
    """A mapping that raises wherever it can."""

    def __getitem__(self, key: str) -> object:
        raise TypeError(SECRET)

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError(SECRET)

    def __len__(self) -> int:
        raise ZeroDivisionError


class HostileText(str):
    """A text that is none."""

    __slots__ = ()

    def strip(self, _: str | None = None, /) -> Any:
        """Raise."""
        raise TypeError(SECRET)


class TestRequests:
    """What does not behave fails alone."""

    def test_a_hostile_mapping(self, downloader: BatchDownloader) -> None:
        """It comes back as it is, and the report can be shown and dumped."""
        hostile = Hostile()

        result = downloader.run([hostile, request("one")])

        assert codes(result) == ["invalid_request", "ok"]
        assert result.failed[0].request is hostile
        assert "the reading of the request failed unexpectedly (RuntimeError)" in str(result)
        assert dump_result(result)["failed"][0]["request"] == "..."
        assert result.rows()
        assert SECRET not in repr(result)

    def test_a_hostile_text_is_a_text(self, downloader: BatchDownloader) -> None:
        """What is derived from one is read as one."""
        given = {name: HostileText(f" {name} ") for name in ("title", "author", "series", "category")}

        (done,) = downloader.run([{**given, "torrent_url": HostileText("http://tracker.test/one.torrent")}]).successful

        assert (done.request.title, done.request.series) == ("title", "series")
        assert type(done.request.title) is type(done.request.torrent_url) is type(done.request.category) is str

    @pytest.mark.parametrize("returned", [None, 5, b"/books", ["/books"], object(), "\ud800"])
    def test_a_save_path_that_is_none(
        self, client: FakeClient, fetcher: FakeFetcher, repository: MemoryRepository, returned: Any
    ) -> None:
        """What the function returns is validated like a given one; None leaves the folder to the client."""

        def place(asked: DownloadRequest) -> str:
            folder: str = returned if asked.title == "bug" else f"/books/{asked.title}"
            return folder

        result = downloader_of(client, fetcher, repository, save_path=place).run([request("bug"), request("one")])

        assert codes(result) == ["ok" if returned is None else "invalid_request", "ok"]

    def test_a_save_path_that_raises(
        self, client: FakeClient, fetcher: FakeFetcher, repository: MemoryRepository, bug: Exception
    ) -> None:
        """In a run, and in a plan."""

        def place(asked: DownloadRequest) -> str:
            if asked.title == "bug":
                raise bug
            return "/books"

        downloader = downloader_of(client, fetcher, repository, save_path=place)
        batch: list[GivenRequest] = [request("bug"), request("one")]

        planned = downloader.plan(batch)
        result = downloader.run(batch)

        assert codes(result) == ["invalid_request", "ok"]
        assert result.failed[0].stage is Stage.VALIDATE
        assert "save_path failed unexpectedly (" in result.failed[0].error
        assert [item.action for item in planned.items] == ["invalid", "fetch"]

    def test_a_save_path_may_raise_what_is_ours(
        self, client: FakeClient, fetcher: FakeFetcher, repository: MemoryRepository
    ) -> None:
        """Whatever branch it is of: it speaks of that request."""

        def place(_: DownloadRequest) -> str:
            raise ConfigurationError("this template needs a series")

        result = downloader_of(client, fetcher, repository, save_path=place).run([request("one")])

        assert codes(result) == ["configuration"]
        assert "needs a series" in result.failed[0].error


class TestTheClient:
    """After a bug in an add the torrent is looked up, because it may be there."""

    @pytest.mark.parametrize("make", [FakeClient, FakeBulkClient])
    @pytest.mark.parametrize("applied", [True, False])
    def test_a_bug_in_an_add(
        self,
        fetcher: FakeFetcher,
        repository: MemoryRepository,
        bug: Exception,
        make: type[FakeClient],
        applied: bool,  # noqa: FBT001
    ) -> None:
        """It is a success where the client shows the torrent, and unconfirmed where it does not."""
        client = make()

        def on_add(name: str) -> AudiobatchError | None:
            return bug if name == "bug" else None  # type: ignore[return-value]

        client.on_add = on_add
        client.applied_anyway = {"bug"} if applied else set()

        result = downloader_of(client, fetcher, repository).run([request("one"), request("bug"), request("two")])

        assert codes(result) == ["ok", "ok" if applied or make is FakeBulkClient else "unconfirmed", "ok"]

    def test_a_bug_in_an_add_of_several(
        self, fetcher: FakeFetcher, repository: MemoryRepository, bug: Exception
    ) -> None:
        """Each is looked up, and handed over alone."""
        client = FakeBulkClient()

        def on_add_all(_: Sequence[str]) -> AudiobatchError | None:
            return bug  # type: ignore[return-value]

        client.on_add_all = on_add_all
        names = ["one", "two", "three", "four", "five", "six"]

        result = downloader_of(client, fetcher, repository).run([request(name) for name in names])

        assert codes(result) == ["ok"] * 6
        assert client.names(*names) == names

    @pytest.mark.parametrize("after", [0, 1])
    def test_a_bug_in_a_lookup_ends_the_batch(
        self, fetcher: FakeFetcher, repository: MemoryRepository, bug: Exception, after: int
    ) -> None:
        """A client that cannot be asked is of no use: each item is told so, and what was handed over is unconfirmed."""
        client = FakeClient()
        client.lookups = [*[None] * after, *[bug] * 9]  # type: ignore[list-item]

        result = downloader_of(client, fetcher, repository, max_concurrent_fetches=1).run(
            [request("one"), request("two")]
        )

        assert codes(result) == ["unconfirmed" if after else "client_error", "not_attempted"]
        assert all(SECRET not in failure.error for failure in result.failed)

    @pytest.mark.parametrize(
        "answer",
        [
            lambda _: None,
            list,
            lambda asked: [(one, THERE) for one in asked],
            dict.fromkeys,
            lambda asked: dict.fromkeys(asked, True),
            lambda asked: dict.fromkeys(asked, evolve(THERE, info_hashes="ab" * 20)),  # type: ignore[arg-type]
        ],
        ids=["None", "list", "pairs", "of None", "of bool", "of statuses with a text for the info-hashes"],
    )
    def test_an_answer_of_another_type_is_none(
        self,
        fetcher: FakeFetcher,
        repository: MemoryRepository,
        monkeypatch: pytest.MonkeyPatch,
        answer: Callable[[Collection[InfoHashes]], Any],
    ) -> None:
        """It does not make a success of anything."""
        client = FakeClient()
        monkeypatch.setattr(client, "status", answer)

        result = downloader_of(client, fetcher, repository).run([request("one")])

        assert codes(result) == ["client_error"]
        assert "the torrent client's status returned what it is not meant to" in result.failed[0].error

    def test_what_was_not_asked_for_says_nothing(
        self, fetcher: FakeFetcher, repository: MemoryRepository, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A client that lists others does not make a torrent present."""
        client = FakeClient()
        others = {InfoHashes(v1=f"{number:040x}"): THERE for number in range(1, 5)}
        monkeypatch.setattr(client, "status", lambda _: others)

        assert codes(downloader_of(client, fetcher, repository).run([request("one")])) == ["unconfirmed"]

    def test_a_bug_in_check(self, downloader: BatchDownloader, client: FakeClient, bug: Exception) -> None:
        """No tracker is asked for anything; a recovery raises an error of ours."""
        client.check_error = bug  # type: ignore[assignment]

        result = downloader.run([request("one"), request("two")])

        assert codes(result) == ["client_error", "not_attempted"]
        with pytest.raises(ClientError, match="the torrent client failed unexpectedly"):
            downloader.recover()
        with pytest.raises(ClientError, match="the torrent client failed unexpectedly"):
            downloader.plan([request("one")])

    @pytest.mark.parametrize("name", [None, 5, b"x"])
    def test_a_name_that_is_none(self, downloader: BatchDownloader, client: FakeClient, name: Any) -> None:
        """Records belong to a name: without one nothing is handed over."""
        client.name = name

        result = downloader.run([request("one")])

        assert codes(result) == ["client_error"]
        assert client.calls == []


class Broken(MemoryRepository):
    """A repository with a method that does not work.

    Attributes:
        broken: For a method, what it raises or returns instead.
    """

    def __init__(self) -> None:
        super().__init__()
        self.broken: dict[str, Any] = {}

    def _do(self, name: str, call: Callable[[], Any]) -> Any:
        if name not in self.broken:
            return call()
        if isinstance(self.broken[name], Exception):
            raise self.broken[name]
        return self.broken[name]

    def sizes(self, urls: Collection[str], /, *, client: str) -> Any:
        """Tell that nothing is kept, or not."""
        del urls, client
        return self._do("sizes", dict)

    def find(self, keys: Collection[str], /, *, client: str) -> Any:
        """Find, or not."""
        return self._do("find", lambda: MemoryRepository.find(self, keys, client=client))

    def reserve(self, downloads: Sequence[Download], /) -> Any:
        """Reserve, or not."""
        return self._do("reserve", lambda: MemoryRepository.reserve(self, downloads))

    def save(self, downloads: Sequence[Download], /) -> Any:
        """Save, or not."""
        return self._do("save", lambda: MemoryRepository.save(self, downloads))

    def unsettled(self, *, client: str) -> Any:
        """Yield, or not."""
        return self._do("unsettled", lambda: MemoryRepository.unsettled(self, client=client))


class TestTheRepository:
    """Without records nothing is handed over; what was, is reported all the same."""

    @pytest.mark.parametrize("method", ["sizes", "find", "reserve"])
    def test_a_bug_before_the_add(self, client: FakeClient, fetcher: FakeFetcher, method: str, bug: Exception) -> None:
        """Nothing is handed over."""
        repository = Broken()
        repository.broken = {method: bug}

        result = downloader_of(client, fetcher, repository).run([request("one"), request("two")])

        assert codes(result) == ["repository_error", "not_attempted"]
        assert not client.torrents

    @pytest.mark.parametrize(
        ("method", "returned"),
        [
            ("sizes", None),
            ("sizes", {"http://tracker.test/one.torrent?passkey=s3cret": "large"}),
            ("find", None),
            ("find", []),
            ("find", {"http://tracker.test/one.torrent?passkey=s3cret": "record"}),
            ("reserve", None),
            ("reserve", []),
            ("reserve", ["record"]),
        ],
    )
    def test_an_answer_of_another_type(
        self, client: FakeClient, fetcher: FakeFetcher, method: str, returned: object
    ) -> None:
        """It is no record, and nothing is handed over."""
        repository = Broken()
        repository.broken = {method: returned}

        assert codes(downloader_of(client, fetcher, repository).run([request("one")])) == ["repository_error"]
        assert not client.torrents

    def test_the_record_of_another_torrent(self, client: FakeClient, fetcher: FakeFetcher) -> None:
        """It does not stand for this one."""
        repository = Broken()
        downloader = downloader_of(client, fetcher, repository)
        downloader.run([request("other")])
        repository.broken = {"reserve": list(repository._records.values())}

        assert codes(downloader.run([request("one")])) == ["repository_error"]

    def test_a_record_with_a_torrent_that_is_none(self, client: FakeClient, fetcher: FakeFetcher) -> None:
        """It is not handed over."""
        repository = Broken()
        downloader = downloader_of(client, fetcher, repository)
        downloader.run([request("one")])
        (held,) = repository._records.values()
        repository.broken = {"find": {held.request.torrent_url: evolve(held, torrent=None)}}
        object.__setattr__(repository.broken["find"][held.request.torrent_url], "torrent", b"d4:infoe")

        assert codes(downloader.run([request("one")])) == ["repository_error"]

    @pytest.mark.parametrize("method", ["find", "reserve"])
    @pytest.mark.parametrize("odd", [{"info_hashes": None}, {"info_hashes": "ab" * 20}, {"request": None}], ids=str)
    def test_a_record_with_a_part_of_another_type(
        self, client: FakeClient, fetcher: FakeFetcher, method: str, odd: dict[str, Any]
    ) -> None:
        """As a plug-in may make one that does not read all that it has written."""
        repository = Broken()
        downloader = downloader_of(client, fetcher, repository)
        downloader.run([request("one")])
        (held,) = repository._records.values()
        bad = evolve(held, **odd)
        repository.broken = {method: [bad] if method == "reserve" else {held.request.torrent_url: bad}}

        assert codes(downloader.run([request("one" if method == "find" else "two")])) == ["repository_error"]

    def test_a_recovery_of_a_record_without_its_torrent(self, client: FakeClient, fetcher: FakeFetcher) -> None:
        """There is nothing to add again."""
        repository = Broken()
        downloader = downloader_of(client, fetcher, repository)
        downloader.run([request("one")])
        (held,) = repository._records.values()
        repository.broken = {"unsettled": [evolve(held, status=DownloadStatus.RESERVED, torrent=None)]}

        with pytest.raises(RepositoryError, match="unsettled returned what it is not meant to"):
            downloader.recover()

    def test_a_bug_after_the_add(self, client: FakeClient, fetcher: FakeFetcher, bug: Exception) -> None:
        """What was confirmed is a success, although that is not on record."""
        repository = Broken()
        repository.broken = {"save": bug}

        result = downloader_of(client, fetcher, repository, max_concurrent_fetches=1).run(
            [request("one"), request("two")]
        )

        assert codes(result) == ["ok", "not_attempted"]
        assert client.names("one", "two") == ["one"]

    @pytest.mark.parametrize("broken", [TypeError(SECRET), None, 5, ["record"]], ids=repr)
    def test_a_bug_in_a_recovery(self, client: FakeClient, fetcher: FakeFetcher, broken: object) -> None:
        """It raises an error of ours."""
        repository = Broken()
        repository.broken = {"unsettled": broken}

        with pytest.raises(RepositoryError, match="the repository"):
            downloader_of(client, fetcher, repository).recover()

    def test_a_bug_when_what_was_fetched_is_kept(
        self, client: FakeClient, fetcher: FakeFetcher, bug: Exception, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The report stays as it is, and the log says that a tracker will be asked again."""
        repository = Broken()
        client.lookups = [ClientError("gone")] * 9
        repository.broken = {"reserve": bug}

        result = downloader_of(client, fetcher, repository).run([request("one")])

        assert isinstance(result.outcomes[0], DownloadFailure)
        assert codes(result) == ["client_error"]
        assert "will have to be fetched again" in caplog.text
