"""What MyAnonamouse is asked, what becomes of its answers, and that its session is not lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import httpx
import pytest
from attrs import define, evolve

from audiobatch import BatchDownloader, RetryPolicy
from audiobatch.errors import (
    AudiobatchError,
    BlockedAddress,
    ConfigurationError,
    FailureCode,
    FetchDenied,
    FetchError,
    FetchUnavailable,
    NotATorrent,
    RateLimited,
    TorrentNotFound,
)
from audiobatch.fetchers.choice import FirstAccepting
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.fetchers.myanonamouse import MyAnonamouseFetcher, download_url
from audiobatch.metainfo import Torrent, TorrentFile, parse_magnet
from audiobatch.models import DownloadRequest
from audiobatch.protocols import SupportsAccepts
from audiobatch.repositories.memory import MemoryRepository
from audiobatch.results import DownloadFailure
from audiobatch.sessions import FileSessionStore, MemorySessionStore, Session
from support.fakes import FakeClient, codes
from support.myanonamouse import (
    ADDRESS,
    ASN_MISMATCH,
    ATTRIBUTES,
    BROKEN,
    EMPTY,
    ENDED,
    FIRST,
    GONE,
    HANG_UP,
    IP_MISMATCH,
    LOGIN,
    MISSING_TID,
    NO_COOKIE,
    NOT_SIGNED_IN,
    PAGE,
    SILENCE,
    TOO_MANY,
    WRONG_TYPE,
    MyAnonamouse,
    Reply,
    freeze,
    page_url,
    told,
)
from support.torrents import book
from support.waiting import wait_until

PLAIN = "/tor/download.php?tid=7"
HASH = "0123456789abcdef" * 4  # of a download link, where it is a secret
SECRETS = (ADDRESS, FIRST, HASH)
FROZEN_FOR = 93_842.0  # seconds: 1d 02:04:02
UNAUTHORIZED = Reply(401, rotates=False)
FORBIDDEN = Reply(403, told("<h1>Forbidden</h1>*"))
UNAVAILABLE = Reply(503)


@define
class Clock:
    """A clock on which time passes by waiting alone."""

    now: float = 1000.0

    def monotonic(self) -> float:
        """Tell the time."""
        return self.now

    def event(self) -> Event:
        """Make an event of which nobody really waits for anything."""
        return _Awaited(self)


class _Awaited(Event):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        """Let the time pass at once."""
        if not self.is_set():
            self._clock.now += timeout or 0.0
        return self.is_set()


class Diary(MemorySessionStore):
    """A store that can fail, and tells what it was given.

    Attributes:
        saved: Each cookie that was saved, in order.
        trouble: What a save raises.
        on_save: Called with each save that succeeds.
    """

    def __init__(self, session: Session | None = None) -> None:
        super().__init__()
        self.saved: list[str] = []
        self.trouble: OSError | None = None
        self.on_save: Callable[[], None] = lambda: None
        if session is not None:
            super().save(session)

    def save(self, session: Session, /) -> None:
        """Keep the session, or raise what was ordered."""
        if self.trouble is not None:
            raise self.trouble
        super().save(session)
        self.saved.append(session.current)
        self.on_save()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give a clock by which the fetcher keeps its distances."""
    clock = Clock()
    monkeypatch.setattr("audiobatch.fetchers._pace.time", clock)
    monkeypatch.setattr("audiobatch.fetchers._pace.Event", clock.event)
    monkeypatch.setattr("audiobatch.fetchers.myanonamouse.time", clock)
    return clock


@pytest.fixture
def site(clock: Clock) -> Iterator[MyAnonamouse]:
    """Give the site, on the same clock."""
    with MyAnonamouse(clock=clock.monotonic) as site:
        yield site


@pytest.fixture
def store() -> Diary:
    """Give a store that is empty."""
    return Diary()


@pytest.fixture
def fetcher(site: MyAnonamouse, store: Diary) -> Iterator[MyAnonamouseFetcher]:
    """Give a fetcher with the site's session."""
    with fetching(site, sessions=store) as fetcher:
        yield fetcher


@contextmanager
def fetching(site: MyAnonamouse, mam_id: str = FIRST, **options: object) -> Iterator[MyAnonamouseFetcher]:
    """Give a fetcher of these options, that goes to the stand-in."""
    with (
        site.detour() as transport,
        MyAnonamouseFetcher(mam_id, transport=transport, **options) as fetcher,  # type: ignore[arg-type]
    ):
        yield fetcher


@contextmanager
def answered(
    answer: Callable[[httpx.Request], httpx.Response], **options: object
) -> Iterator[tuple[MyAnonamouseFetcher, list[tuple[str, str | None]]]]:
    """Give a fetcher for which a function is all the world, and a list of what it asks there, with which cookie."""
    asked: list[tuple[str, str | None]] = []

    def note(request: httpx.Request) -> httpx.Response:
        asked.append((str(request.url), request.headers.get("cookie")))
        return answer(request)

    with MyAnonamouseFetcher(FIRST, transport=httpx.MockTransport(note), **options) as fetcher:  # type: ignore[arg-type]
        yield fetcher, asked


def wanted(url: str | int, title: str = "Dune") -> DownloadRequest:
    """Make a request for a URL, or for the page of an id."""
    torrent_url = page_url(url) if isinstance(url, int) else url
    return DownloadRequest(title=title, author="Frank Herbert", torrent_url=torrent_url)


def fetch(fetcher: MyAnonamouseFetcher, url: str | int = 7) -> Torrent:
    """Fetch from a URL, or from the page of an id."""
    return fetcher.fetch(wanted(url))


@contextmanager
def failing(
    error: type[AudiobatchError], match: str | None = None, *, retry_after: float | None = None
) -> Iterator[None]:
    """Expect exactly this error, with nothing in it that is nobody's business."""
    with pytest.raises(AudiobatchError, match=match) as caught:
        yield
    assert type(caught.value) is error
    assert caught.value.retry_after == (retry_after if retry_after is None else pytest.approx(retry_after))
    behind: BaseException | None = caught.value
    while behind is not None:
        assert not any(secret in str(behind) for secret in SECRETS)
        assert not type(behind).__module__.startswith("http")
        behind = behind.__cause__ or behind.__context__


def patience(reply: Reply) -> float:
    """Return the timeout to use: a short one only where it is to run out."""
    return 0.3 if reply is SILENCE else 30.0


def downloader(fetcher: MyAnonamouseFetcher, *, at_once: int = 4) -> BatchDownloader:
    """Make a downloader that retries as it does unless told otherwise."""
    return BatchDownloader(
        client=FakeClient(), fetcher=fetcher, repository=MemoryRepository(), max_concurrent_fetches=at_once
    )


class TestTheRequest:
    """What is asked for."""

    @pytest.mark.parametrize(
        "url",
        [
            page_url(7),
            "http://www.myanonamouse.net/t/7",
            "HTTPS://WWW.MyAnonaMouse.NET/t/7/",
            "https://myanonamouse.net/t/7?x=1#comments",
            "https://me:s3cret@www.myanonamouse.net:443/t/7",
            f"https://www.myanonamouse.net{PLAIN}",
            f"http://www.myanonamouse.net{PLAIN}&x=1&dl=s3cret",
            f"https://www.myanonamouse.net/tor/download.php/{HASH}?tid=7",
            f"https://cdn.myanonamouse.net/tor/download.php/{HASH}?x=1&tid=7#x",
            download_url(7),
            download_url("7"),
        ],
    )
    def test_only_the_id_goes_out(self, site: MyAnonamouse, fetcher: MyAnonamouseFetcher, url: str) -> None:
        """Whatever the URL looks like, with the cookie and nothing besides; the torrent comes back untouched."""
        torrent = fetch(fetcher, url)

        assert isinstance(torrent, TorrentFile)
        assert torrent.content == book("mam-7")
        assert site.asked == [PLAIN]
        assert site.cookies == [f"mam_id={FIRST}"]

    @pytest.mark.parametrize(
        "path",
        [
            f"/tor/download.php/{HASH}",
            "/tor/download.php",
            "/tor/download.php?tid=",
            "/tor/download.php?tid=x7",
            "/tor/download.php?tid=7;fl",
            "/tor/download.php?tid=%D9%A7",  # a digit seven, of another script
            "/tor/download.php?tid=1234567890123",
            "/tor/js/loadSearchJSONbasic.php?tid=7",
            "/t/",
            "/t/x",
            "/u/7",
            "/",
        ],
    )
    def test_without_an_id_nothing_goes_out(self, site: MyAnonamouse, fetcher: MyAnonamouseFetcher, path: str) -> None:
        """The site would refuse it anyhow, and might count it."""
        with failing(TorrentNotFound, "names no torrent.*tid="):
            fetch(fetcher, f"https://www.myanonamouse.net{path}")

        assert site.asked == []

    @pytest.mark.parametrize(
        ("url", "accepted"),
        [
            (page_url(7), True),
            ("http://myanonamouse.net", True),
            ("https://cdn.myanonamouse.net/x", True),
            ("HTTPS://WWW.MYANONAMOUSE.NET/T/7", True),
            ("https://tracker.test:80@www.myanonamouse.net/t/7", True),
            ("https://evilmyanonamouse.net/t/7", False),
            ("https://myanonamouse.net.evil.test/t/7", False),
            ("https://www.myanonamouse.net@evil.test/t/7", False),
            ("https://www.myanonamouse.net:x@evil.test/t/7", False),
            ("https://evil.test/https://www.myanonamouse.net/t/7", False),
            ("https://evil.test/?u=www.myanonamouse.net", False),
            ("https://evil.test#@www.myanonamouse.net", False),
            ("https://myanonamouse.org/t/7", False),
            ("https://.net/t/7", False),
            ("https://[myanonamouse.net/t/7", False),
            ("ftp://www.myanonamouse.net/t/7", False),
            ("magnet:?dn=www.myanonamouse.net", False),
            ("", False),
        ],
    )
    def test_it_knows_its_own(
        self, site: MyAnonamouse, fetcher: MyAnonamouseFetcher, url: str, *, accepted: bool
    ) -> None:
        """By the host that would be asked, and by nothing that merely looks like it."""
        assert isinstance(fetcher, SupportsAccepts)
        assert fetcher.accepts(url) is accepted

        if not accepted and url.startswith("https://") and "[" not in url:
            with failing(TorrentNotFound, "no URL of MyAnonamouse"):
                fetch(fetcher, url)
        assert site.asked == []

    @pytest.mark.parametrize("given", [0, 7, 123_456_789_012, "7", "007"])
    def test_a_number_makes_a_url(self, given: int | str) -> None:
        """It is that of the download, with a wedge only if that is asked for."""
        assert download_url(given) == f"https://www.myanonamouse.net/tor/download.php?tid={given}"
        assert download_url(given, freeleech_wedge=True) == f"{download_url(given)}&fl"

    @pytest.mark.parametrize("given", [-1, 10**12, "", "7\n", "7&fl", "x", "\u0667", True])
    def test_anything_else_makes_none(self, given: int | str) -> None:
        """A URL is nothing to be smuggled into."""
        with pytest.raises(ConfigurationError, match="number"):
            download_url(given)


class TestTheCookie:
    """What people paste, and what is sent of it."""

    @pytest.mark.parametrize(
        "pasted",
        [
            FIRST,
            f"\n  {FIRST}\r\n",
            f'"{FIRST}"',
            f"'{FIRST}';",
            f"{FIRST};",
            f"mam_id={FIRST}",
            f"mam_id={FIRST};",
            f"mam_id = '{FIRST}'",
            f"MAM_ID: {FIRST}",
            f'"mam_id={FIRST}"',
            f"Cookie: a=b; mam_id={FIRST}; c=d",
            f"Cookie:mam_id={FIRST}",
            f"a=b;mam_id={FIRST};c=d",
            f"curl -H 'Cookie:mam_id={FIRST}' https://www.myanonamouse.net/",
            f"\nnot_mam_id=5;\nmam_id={FIRST}\n",
        ],
    )
    def test_what_stands_around_it_is_taken_off(self, site: MyAnonamouse, pasted: str) -> None:
        """Its percent escapes stay as they are, for they belong to it."""
        with fetching(site, pasted) as fetcher:
            fetch(fetcher)

        assert site.cookies == [f"mam_id={FIRST}"]

    @pytest.mark.parametrize(
        "pasted",
        [
            *["", " ", ";", "''", "deleted", "mam_id=deleted", "mam_id=", "mam_id=; a=s3cret", "mam_id=;"],
            *[
                "s3 cret",
                "s3cret\ns3cret",
                "s3cret; a=b",
                "s3cret\x00",
                "s3cr\u00e9t",
                "s3\\cret",
                "mam_id=s3\\cret",
            ],
            *["<td>s3cret</td>\n<td>", "Cookie: a=s3cret; c=d", "s3cret\r\nX-Evil: 1"],
        ],
    )
    def test_what_cannot_be_one_is_refused(self, pasted: str) -> None:
        """At once, and without repeating it."""
        with pytest.raises(ConfigurationError, match="Preferences, Security") as caught:
            MyAnonamouseFetcher(pasted)

        assert "s3" not in str(caught.value)

    def test_the_repr_holds_no_secret(self) -> None:
        """It says what the object is, and no more."""
        with MyAnonamouseFetcher("s3cret") as fetcher:
            assert repr(fetcher) == "MyAnonamouseFetcher()"

    @pytest.mark.parametrize("gap", [0, 0.99, -1, 3601, float("inf"), float("nan")])
    def test_haste_is_refused(self, gap: float) -> None:
        """A second is the least, and an hour the most."""
        with pytest.raises(ConfigurationError, match="1 to 3600 seconds"):
            MyAnonamouseFetcher(FIRST, gap=gap)


class TestRotation:
    """The cookie changes with the answers, and the newest is never lost."""

    def test_the_newest_is_sent_next(self, site: MyAnonamouse, fetcher: MyAnonamouseFetcher, store: Diary) -> None:
        """Where only that one is good, fetch after fetch succeeds; each was saved as it came."""
        for torrent_id in range(3):
            assert fetch(fetcher, torrent_id).name == f"mam-{torrent_id}"

        assert site.cookies == [f"mam_id={cookie}" for cookie in (FIRST, *store.saved[:2])]
        assert store.saved[-1] == site.cookie
        assert len(store.saved) == 3

    @pytest.mark.parametrize("reply", [GONE, TOO_MANY, BROKEN, FORBIDDEN, PAGE, freeze(), MISSING_TID])
    def test_it_comes_with_bad_news_too(
        self, site: MyAnonamouse, fetcher: MyAnonamouseFetcher, store: Diary, reply: Reply
    ) -> None:
        """An answer without a torrent changes it just the same."""
        site.order(reply)

        with pytest.raises(FetchError):
            fetch(fetcher)

        assert store.saved == [site.cookie]

    def test_it_is_saved_before_the_answer_is_read(self, clock: Clock, store: Diary) -> None:
        """Who is killed in between goes on with the right one."""
        steps: list[str] = []

        class Body(httpx.SyncByteStream):
            def __iter__(self) -> Iterator[bytes]:
                steps.append("read")
                yield book("mam-7")

        store.on_save = lambda: steps.append("saved")
        cookie = {"Set-Cookie": f"mam_id=new; {ATTRIBUTES}"}
        with answered(lambda _: httpx.Response(200, headers=cookie, stream=Body()), sessions=store) as (fetcher, _):
            assert fetch(fetcher).name == "mam-7"

        assert steps == ["saved", "read"]
        assert clock.now == 1000.0

    def test_it_counts_when_the_answer_breaks_off(self, site: MyAnonamouse, fetcher: MyAnonamouseFetcher) -> None:
        """The headers were there."""
        site.order(Reply(200, b"d", {"Content-Length": "100"}))

        with failing(FetchUnavailable, retry_after=60.0):
            fetch(fetcher)

        assert fetch(fetcher).name == "mam-7"

    def test_while_it_cannot_be_saved_nothing_is_fetched(
        self, site: MyAnonamouse, fetcher: MyAnonamouseFetcher, store: Diary
    ) -> None:
        """Once it can, it is: then the newest is the one that is sent, and none was lost."""
        store.trouble = OSError(28, "No space left on device")
        for _ in range(3):
            with failing(FetchError, r"cannot be saved \(No space left on device\)"):
                fetch(fetcher)
        assert len(site.asked) == 1

        store.trouble = None
        assert fetch(fetcher, 8).name == "mam-8"
        assert store.saved[0] == site.cookies[1].removeprefix("mam_id=")  # type: ignore[union-attr]
        assert store.saved[-1] == site.cookie

    def test_a_batch_fails_while_it_cannot_be_saved(
        self, site: MyAnonamouse, fetcher: MyAnonamouseFetcher, store: Diary
    ) -> None:
        """No item of it is tried again, and the site was asked once."""
        store.trouble = OSError("s3cret")

        result = downloader(fetcher).run([wanted(1), wanted(2), wanted(3)])

        assert codes(result) == ["fetch_error"] * 3
        assert not any(failure.retryable for failure in result.failed)
        assert not any("s3cret" in failure.error for failure in result.failed)
        assert len(site.asked) == 1

    @pytest.mark.parametrize(
        "line",
        [
            f"mam_id=deleted; Max-Age=0; {ATTRIBUTES}",
            f"mam_id=deleted; {ATTRIBUTES}",
            f"mam_id=DELETED; {ATTRIBUTES}",
            "mam_id=other; max-age = 0",
            "mam_id=other; Max-Age=-1; path=/",
            f"mam_id=; {ATTRIBUTES}",
            'mam_id=""',
            "mam_id",
            "mam_id=bad value",
            "mam_id=b\xe4d",
            "not_mam_id=other",
            "MAM_ID=other",
            "a=b; mam_id=other",
        ],
    )
    def test_what_is_no_new_value_is_not_taken_up(self, site: MyAnonamouse, store: Diary, line: str) -> None:
        """Above all not the word that marks a session as ended."""
        site.rotates = False
        site.order(Reply(200, book("mam-7"), {"Set-Cookie": line}))

        with fetching(site, sessions=store) as fetcher:
            fetch(fetcher)
            fetch(fetcher)

        assert store.saved == []
        assert site.cookies == [f"mam_id={FIRST}"] * 2

    @pytest.mark.parametrize(
        "line", ["mam_id=new%3D", ' mam_id = "new%3D" ;Max-Age=2592000', "mam_id=new%3D;max-age=01"]
    )
    def test_what_is_one_is(self, site: MyAnonamouse, fetcher: MyAnonamouseFetcher, store: Diary, line: str) -> None:
        """Its percent escapes stay as they are."""
        site.rotates = False
        site.order(Reply(200, book("mam-7"), {"Set-Cookie": line}))

        fetch(fetcher)

        assert store.saved == ["new%3D"]

    def test_the_same_value_again_is_not_saved(
        self, site: MyAnonamouse, fetcher: MyAnonamouseFetcher, store: Diary
    ) -> None:
        """A site that does not rotate costs no writing."""
        site.rotates = False
        site.order(Reply(200, book("mam-7"), {"Set-Cookie": f"mam_id={FIRST}"}))

        fetch(fetcher)

        assert store.saved == []

    @pytest.mark.parametrize(
        ("place", "ours"),
        [
            ("https://www.myanonamouse.net/other", True),
            ("/other", True),
            ("https://cdn.myanonamouse.net/x", True),
            ("https://myanonamouse.net/x", True),
            ("https://evilmyanonamouse.net/x", False),
            ("https://myanonamouse.net.evil.test/x", False),
            ("https://cdn.evil.test/www.myanonamouse.net", False),
        ],
    )
    @pytest.mark.usefixtures("clock")
    def test_nobody_else_gets_or_sets_it(self, store: Diary, place: str, *, ours: bool) -> None:
        """A redirect is followed, but without the cookie unless it stays at the site."""

        def answer(request: httpx.Request) -> httpx.Response:
            if request.url.path == "/tor/download.php":
                return httpx.Response(302, headers={"Location": place, "Set-Cookie": "mam_id=second"})
            return httpx.Response(200, headers={"Set-Cookie": "mam_id=third"}, content=book("mam-7"))

        with answered(answer, sessions=store) as (fetcher, asked):
            assert fetch(fetcher).name == "mam-7"

        assert [cookie for _, cookie in asked] == [f"mam_id={FIRST}", "mam_id=second" if ours else None]
        assert store.saved == (["second", "third"] if ours else ["second"])

    @pytest.mark.parametrize(
        "place", ["http://www.myanonamouse.net/x", "https://www.myanonamouse.net@evil.test/", "http://127.0.0.1/"]
    )
    @pytest.mark.usefixtures("clock")
    def test_to_some_places_it_does_not_follow(self, place: str) -> None:
        """Not to plain http, above all, where anybody could read the cookie."""
        with answered(lambda _: httpx.Response(302, headers={"Location": place})) as (fetcher, asked):
            with failing(BlockedAddress, "redirects"):
                fetch(fetcher)

            assert asked == [(download_url(7), f"mam_id={FIRST}")]


@pytest.mark.usefixtures("clock")
def test_a_redirect_to_a_magnet_link_is_a_torrent_too() -> None:
    """It is what came, and it is not followed."""
    magnet = f"magnet:?xt=urn:btih:{'ab' * 20}&dn=Dune"

    with answered(lambda _: httpx.Response(302, headers={"Location": magnet})) as (fetcher, asked):
        assert fetch(fetcher) == parse_magnet(magnet)

    assert len(asked) == 1


def test_a_transport_that_was_given_stays_open() -> None:
    """Whoever made it closes it."""
    closed: list[bool] = []

    class Given(httpx.BaseTransport):
        def close(self) -> None:
            closed.append(True)

    with MyAnonamouseFetcher(FIRST, transport=Given()):
        pass

    assert not closed


class TestTheStoredSession:
    """Which cookie counts: what was configured, or what is kept."""

    def test_the_stored_one_is_newer_than_what_it_began_with(self, site: MyAnonamouse, store: Diary) -> None:
        """The next process, configured like the one before, goes on where that ended."""
        with fetching(site, sessions=store) as fetcher:
            fetch(fetcher, 1)
        with fetching(site, f"mam_id={FIRST};", sessions=store) as fetcher:
            assert fetch(fetcher, 2).name == "mam-2"

        assert site.cookies[1] == f"mam_id={store.saved[0]}"

    def test_a_newly_configured_one_counts_more(self, site: MyAnonamouse, store: Diary) -> None:
        """And takes the place of the other in the store."""
        with fetching(site, sessions=store) as fetcher:
            fetch(fetcher, 1)
        site.begin_session("another")
        with fetching(site, "another", sessions=store) as fetcher:
            assert fetch(fetcher, 2).name == "mam-2"

        assert site.cookies[1] == "mam_id=another"
        assert store.load() == Session(Session.begin("another").configured, site.cookie or "")

    def test_what_another_process_has_saved_meanwhile_is_taken_up(self, site: MyAnonamouse, store: Diary) -> None:
        """Two that take turns do not take the session from each other."""
        with fetching(site, sessions=store) as one, fetching(site, sessions=store) as other:
            for torrent_id in range(4):
                assert fetch((one, other)[torrent_id % 2], torrent_id).name == f"mam-{torrent_id}"

    def test_without_a_store_it_lasts_as_long_as_the_fetcher(self, site: MyAnonamouse) -> None:
        """The next one begins with what is configured, which is worth nothing by then."""
        with fetching(site) as fetcher:
            fetch(fetcher, 1)
            fetch(fetcher, 2)
        with fetching(site) as fetcher, failing(FetchDenied, "login page"):
            fetch(fetcher, 3)

    def test_a_store_that_breaks_later_fails_the_item(self, site: MyAnonamouse, tmp_path: Path) -> None:
        """It is an error of this library's, so that the rest of the batch is reported on."""
        path = tmp_path / "session.json"
        with fetching(site, sessions=FileSessionStore(path)) as fetcher:
            fetch(fetcher, 1)
            path.write_text("s3cret")
            result = downloader(fetcher).run([wanted(2)])

        assert codes(result) == ["fetch_error"]
        assert len(site.asked) == 1

    def test_the_configured_cookie_is_the_last_resort(self, site: MyAnonamouse, clock: Clock, tmp_path: Path) -> None:
        """Where the kept one turns out to be dead, as one from a backup is, the configured one is tried once more."""
        store = FileSessionStore(tmp_path / "session.json")
        store.save(evolve(Session.begin(FIRST), current="stale"))
        with fetching(site, sessions=store) as fetcher:
            with failing(FetchDenied, "login page"):
                fetch(fetcher)
            clock.now += 60
            site.begin_session(FIRST)
            assert fetch(fetcher).name == "mam-7"

        assert site.cookies == ["mam_id=stale", f"mam_id={FIRST}"]

    @pytest.mark.parametrize("kept", ["", "deleted", "a; mbsc=1", "a\nb", "\u00fc"])
    def test_what_is_kept_must_be_a_cookie(self, site: MyAnonamouse, tmp_path: Path, kept: str) -> None:
        """A file that somebody has touched is not believed."""
        store = FileSessionStore(tmp_path / "session.json")
        store.save(evolve(Session.begin(FIRST), current=kept))
        with fetching(site, sessions=store) as fetcher:
            assert fetch(fetcher).name == "mam-7"

        assert site.cookies == [f"mam_id={FIRST}"]


ANSWERS = [
    pytest.param(LOGIN, FetchDenied, "login page", None, id="led to the login page"),
    pytest.param(ENDED, FetchDenied, "login page", None, id="session ended"),
    pytest.param(NOT_SIGNED_IN, FetchDenied, "does not know the session", None, id="not signed in"),
    pytest.param(
        Reply(400, told("Invalid download link, or not signed in")),
        *(FetchDenied, "does not know the session", None),
        id="or not signed in",
    ),
    pytest.param(NO_COOKIE, FetchDenied, "does not know the session", None, id="no cookie"),
    pytest.param(Reply(403, b"No Session Cookie"), FetchDenied, "does not know the session", None, id="no session"),
    pytest.param(Reply(403, b"Invalid session"), FetchDenied, "does not know the session", None, id="invalid session"),
    pytest.param(
        Reply(401, told("ip * does not match account")), FetchDenied, "another IP address", None, id="other address"
    ),
    pytest.param(IP_MISMATCH, FetchDenied, "another IP address", None, id="IP mismatch"),
    pytest.param(ASN_MISMATCH, FetchDenied, "another network", None, id="ASN mismatch"),
    pytest.param(
        Reply(403, b'{"Success":false,"msg":"Invalid session - ASN mismatch"}'),
        *(FetchDenied, "another network", None),
        id="ASN mismatch as JSON",
    ),
    pytest.param(WRONG_TYPE, FetchDenied, "of this type", None, id="wrong session type"),
    pytest.param(UNAUTHORIZED, FetchDenied, "401", None, id="401"),
    pytest.param(PAGE, FetchDenied, "a page instead of a torrent", None, id="page"),
    pytest.param(EMPTY, FetchDenied, "a page instead of a torrent", None, id="empty"),
    pytest.param(FORBIDDEN, FetchDenied, "403", None, id="403"),
    pytest.param(MISSING_TID, TorrentNotFound, "tid", None, id="missing tid"),
    pytest.param(GONE, TorrentNotFound, "404", None, id="404"),
    pytest.param(evolve(GONE, status=410), TorrentNotFound, "410", None, id="410"),
    pytest.param(TOO_MANY, RateLimited, "slow down", 1800.0, id="429"),
    pytest.param(evolve(TOO_MANY, headers={"Retry-After": "1"}), RateLimited, "slow down", 60.0, id="429, a second"),
    pytest.param(
        evolve(TOO_MANY, headers={"Retry-After": "7200"}), RateLimited, "slow down", 7200.0, id="429, two hours"
    ),
    pytest.param(freeze(), RateLimited, "frozen.*26 h 4 min.*seeded", FROZEN_FOR, id="frozen"),
    pytest.param(BROKEN, FetchUnavailable, "500", 60.0, id="500"),
    pytest.param(UNAVAILABLE, FetchUnavailable, "503", 60.0, id="503"),
    pytest.param(evolve(UNAVAILABLE, headers={"Retry-After": "1"}), FetchUnavailable, "503", 60.0, id="503, a second"),
    pytest.param(
        evolve(UNAVAILABLE, headers={"Retry-After": "300"}), RateLimited, "503", 300.0, id="503, five minutes"
    ),
    pytest.param(HANG_UP, FetchUnavailable, "broken answer", 60.0, id="hung up"),
    pytest.param(SILENCE, FetchUnavailable, "in time", 60.0, id="no answer"),
    pytest.param(Reply(200, b"d3:foo"), NotATorrent, "not a valid torrent", None, id="no torrent"),
]
TO_BE_LEFT_ALONE = [LOGIN, ENDED, NOT_SIGNED_IN, IP_MISMATCH, ASN_MISMATCH, WRONG_TYPE, NO_COOKIE, UNAUTHORIZED, PAGE]


class TestAnswers:
    """What is told apart."""

    @pytest.mark.parametrize(("reply", "error", "match", "pause"), ANSWERS)
    def test_each_has_its_error_and_costs_one_request(
        self, site: MyAnonamouse, reply: Reply, error: type[FetchError], match: str, pause: float | None
    ) -> None:
        """Nothing of the body is repeated, for it holds the caller's address."""
        site.order(reply)

        with fetching(site, timeout=patience(reply)) as fetcher, failing(error, match, retry_after=pause):
            fetch(fetcher)

        assert site.asked == [PLAIN]

    @pytest.mark.parametrize(("reply", "error", "match", "pause"), ANSWERS)
    def test_a_batch_asks_once_for_an_item(
        self, site: MyAnonamouse, reply: Reply, error: type[FetchError], match: str, pause: float | None
    ) -> None:
        """The retries of the downloader do not repeat it, and the outcome says when somebody may."""
        site.order(reply)

        with fetching(site, timeout=patience(reply)) as fetcher:
            (failure,) = downloader(fetcher).run([wanted(7)]).failed

        assert site.asked == [PLAIN]
        assert (failure.code, failure.retryable) == (error.code, error.transient)
        assert failure.retry_after == (None if pause is None else pytest.approx(pause))
        assert ADDRESS not in failure.error
        assert match.split(".*", maxsplit=1)[0] in failure.error

    @pytest.mark.parametrize("reply", [BROKEN, HANG_UP, GONE])
    def test_other_items_are_still_asked_for(self, site: MyAnonamouse, reply: Reply) -> None:
        """What failed was about one torrent, or about one moment: each of the others is asked for once."""
        site.order(reply, reply)

        with fetching(site) as fetcher:
            result = downloader(fetcher).run([wanted(torrent_id) for torrent_id in range(4)])

        assert len(result.failed) == 2
        assert sorted(site.asked) == [f"/tor/download.php?tid={torrent_id}" for torrent_id in range(4)]

    @pytest.mark.parametrize(
        ("left", "seconds", "spoken"),
        [
            ("1d 02:04:02", FROZEN_FOR, "26 h 4 min"),
            ("1 day, 2:04:02", FROZEN_FOR, "26 h 4 min"),
            ("</td><td>23:00:00</td>", 82_800.0, "23 h 0 min"),
            ("00:10:00", 600.0, "10 min"),
            ("00:00:05", 60.0, "1 min"),
            ("soon", 93_600.0, "26 h 0 min"),
            ("2h", 93_600.0, "26 h 0 min"),
            ("", 93_600.0, "26 h 0 min"),
            ("9" * 40 + "d 00:00:00", 604_800.0, "168 h 0 min"),
        ],
    )
    def test_how_long_a_freeze_lasts_is_read(
        self, site: MyAnonamouse, fetcher: MyAnonamouseFetcher, left: str, seconds: float, spoken: str
    ) -> None:
        """Where it cannot be, it is what a freeze was seen to last; and no more than a week is believed."""
        site.order(freeze(left))

        with failing(RateLimited, f"another {spoken}:", retry_after=seconds):
            fetch(fetcher)

    @pytest.mark.parametrize(
        "sentence", ["Attempted to Download <b>Past Unsatisfied limit</b>.", "Time till download allowed"]
    )
    def test_one_half_of_its_text_tells_of_a_freeze(
        self, site: MyAnonamouse, fetcher: MyAnonamouseFetcher, sentence: str
    ) -> None:
        """Then it is taken for one of the usual length."""
        site.order(Reply(200, told(sentence)))

        with failing(RateLimited, "frozen", retry_after=93_600.0):
            fetch(fetcher)

    @pytest.mark.parametrize("status", [400, 403, 429, 500])
    def test_a_freeze_is_known_by_its_text(self, site: MyAnonamouse, fetcher: MyAnonamouseFetcher, status: int) -> None:
        """For the status that comes with it is not known."""
        site.order(evolve(freeze(), status=status))

        with failing(RateLimited, "frozen", retry_after=FROZEN_FOR):
            fetch(fetcher)

    def test_the_stand_in_is_as_strict_as_the_site(self, site: MyAnonamouse) -> None:
        """It refuses an old cookie, and ends the session of one that a browser's comes along with."""
        with fetching(site, "old") as fetcher, failing(FetchDenied, "login page"):
            fetch(fetcher)
        assert site.cookie == FIRST

        with site.detour() as transport:
            crumbs = {"Cookie": f"mam_id={FIRST}; mbsc=s3cret"}
            answer = transport.handle_request(httpx.Request("GET", download_url(7), headers=crumbs))
            assert answer.headers["set-cookie"].startswith("mam_id=deleted; Max-Age=0; domain=.myanonamouse.net")
            answer.close()
            bare = transport.handle_request(
                httpx.Request("GET", f"https://www.myanonamouse.net/tor/download.php/{HASH}")
            )
            assert bare.status_code == 401
            bare.close()
            with pytest.raises(AssertionError, match="evil"):
                transport.handle_request(httpx.Request("GET", "https://evil.test/"))
        with fetching(site) as fetcher, failing(FetchDenied, "login page"):
            fetch(fetcher)


class TestBeingLeftAlone:
    """After a refusal, the site is not asked again before its time."""

    @pytest.mark.parametrize("reply", TO_BE_LEFT_ALONE)
    def test_a_refused_session_is_not_tried_again_for_a_minute(
        self, site: MyAnonamouse, fetcher: MyAnonamouseFetcher, clock: Clock, reply: Reply
    ) -> None:
        """Neither by this batch nor by the next, and then it is: it may be good again."""
        site.order(reply)

        for _ in range(2):
            result = downloader(fetcher).run([wanted(torrent_id) for torrent_id in range(6)])
            assert codes(result) == ["fetch_denied"] * 6
            assert not any(failure.retryable or failure.retry_after for failure in result.failed)
        assert len(site.asked) == 1
        clock.now += 59
        with failing(FetchDenied, "not asked again: 1 seconds"):
            fetch(fetcher)
        clock.now += 1
        assert fetch(fetcher).name == "mam-7"

    @pytest.mark.parametrize(
        ("reply", "pause"),
        [
            (TOO_MANY, 1800.0),
            (evolve(TOO_MANY, headers={"Retry-After": "1"}), 60.0),
            (evolve(TOO_MANY, headers={"Retry-After": "600"}), 600.0),
            (freeze(), FROZEN_FOR),
        ],
    )
    def test_the_time_that_it_asked_for_is_kept(
        self, site: MyAnonamouse, fetcher: MyAnonamouseFetcher, clock: Clock, reply: Reply, pause: float
    ) -> None:
        """By this batch and later ones; each outcome says what is left of it."""
        site.order(reply)

        first = downloader(fetcher).run([wanted(torrent_id) for torrent_id in range(6)])
        clock.now += pause / 2
        later = downloader(fetcher, at_once=1).run([wanted(torrent_id) for torrent_id in range(6)])

        assert set(codes(first)) <= {"rate_limited", "not_attempted"}
        assert codes(later) == ["rate_limited"] + ["not_attempted"] * 5
        assert len(site.asked) == 1
        assert all(failure.retryable for failure in later.failed)
        assert later.failed[0].retry_after == pytest.approx(pause / 2)
        clock.now += pause / 2
        assert fetch(fetcher).name == "mam-7"

    def test_one_torrent_that_is_refused_says_nothing_of_others(
        self, site: MyAnonamouse, fetcher: MyAnonamouseFetcher
    ) -> None:
        """Be it gone, or forbidden without a word about the session."""
        site.order(GONE, FORBIDDEN)

        for error in (TorrentNotFound, FetchDenied):
            with failing(error):
                fetch(fetcher)

        assert fetch(fetcher).name == "mam-7"


class TestPace:
    """One request at a time, and not too soon."""

    def test_threads_take_turns(self, site: MyAnonamouse, clock: Clock) -> None:
        """Eight of them get their torrents one by one, each after the gap, and none loses the session."""
        site.linger = 0.01
        with fetching(site, gap=1.5) as fetcher, ThreadPoolExecutor(8) as pool:
            names = [torrent.name for torrent in pool.map(lambda number: fetch(fetcher, number), range(16))]

        assert names == [f"mam-{number}" for number in range(16)]
        assert site.most_at_once == 1
        assert site.moments == pytest.approx([1000.0 + 1.5 * number for number in range(16)])
        assert clock.now == pytest.approx(site.moments[-1])

    def test_time_that_has_passed_anyhow_is_not_waited_for(
        self, site: MyAnonamouse, fetcher: MyAnonamouseFetcher, clock: Clock
    ) -> None:
        """The gap, two seconds unless told otherwise, is from one request to the next."""
        for pause in (0.0, 1.5, 10.0, 0.0):
            clock.now += pause
            fetch(fetcher)

        assert site.moments == pytest.approx([1000.0, 1002.0, 1012.0, 1014.0])

    def test_what_is_not_sent_costs_no_time(
        self, site: MyAnonamouse, fetcher: MyAnonamouseFetcher, clock: Clock
    ) -> None:
        """Neither a URL without an id, nor what a refusal keeps from being sent."""
        site.order(freeze())
        for url in ("https://www.myanonamouse.net/t/x", page_url(7), page_url(8)):
            with pytest.raises(FetchError):
                fetch(fetcher, url)

        assert clock.now == 1000.0

    def test_it_keeps_real_time(self) -> None:
        """Three requests take two gaps, by the clock on the wall."""
        with MyAnonamouse() as site, fetching(site, gap=1) as fetcher:
            start = time.monotonic()
            for torrent_id in range(3):
                fetch(fetcher, torrent_id)
            assert time.monotonic() - start >= 2.0

    def test_closing_lets_everybody_go(self) -> None:
        """Who waits for a turn gets an error at once, and the site is asked nothing more."""
        with MyAnonamouse() as site, fetching(site, gap=10) as fetcher, ThreadPoolExecutor(4) as pool:
            fetch(fetcher)
            waiting = [pool.submit(fetch, fetcher, torrent_id) for torrent_id in range(4)]
            wait_until(lambda: not fetcher._pace._turns._value, "somebody waits for a turn")
            fetcher.close()

            errors = [future.exception(timeout=5) for future in waiting]
            assert [type(error) for error in errors] == [FetchError] * 4
            with failing(FetchError, "closed"):
                fetch(fetcher)
            assert site.asked == [PLAIN]

    @pytest.mark.parametrize("how", ["stopped", "left"])
    def test_when_the_batch_ends_nothing_more_is_fetched(self, how: str) -> None:
        """Who waits for a turn gives up, so that no torrent is fetched that nobody will add."""
        stop = Event()
        with MyAnonamouse() as site, fetching(site, gap=10) as fetcher:
            outcomes = downloader(fetcher).stream([wanted(torrent_id) for torrent_id in range(8)], stop=stop)
            next(outcomes)
            start = time.monotonic()
            if how == "stopped":
                stop.set()
                assert {outcome.code for outcome in outcomes} == {"not_attempted"}  # type: ignore[union-attr]
            else:
                outcomes.close()
            assert time.monotonic() - start < 5

        assert len(site.asked) == 1


class TestWedges:
    """Freeleech wedges, which are scarce."""

    @pytest.mark.parametrize(
        "url",
        [
            download_url(7, freeleech_wedge=True),
            f"{page_url(7)}?fl",
            f"https://www.myanonamouse.net/tor/download.php/{HASH}?fl=1&tid=7",
            f"https://www.myanonamouse.net{PLAIN}&fl=0",
        ],
    )
    def test_one_is_spent_only_if_both_say_so(self, site: MyAnonamouse, url: str) -> None:
        """The URL, which may come from somebody else, and the fetcher, which is the user's own."""
        with fetching(site) as fetcher, failing(FetchDenied, "spend_wedges"):
            fetch(fetcher, url)
        assert site.asked == []

        with fetching(site, spend_wedges=True) as fetcher:
            assert fetch(fetcher, url).name == "mam-7"
        assert site.asked == [f"{PLAIN}&fl"]
        assert site.wedges == [7]

    @pytest.mark.parametrize("url", [page_url(7), f"{page_url(7)}?flag=1#fl", f"https://myanonamouse.net{PLAIN}&x=fl"])
    def test_none_is_spent_unasked(self, site: MyAnonamouse, url: str) -> None:
        """To be permitted is not to be asked for."""
        with fetching(site, spend_wedges=True) as fetcher:
            fetch(fetcher, url)

        assert site.asked == [PLAIN]

    @pytest.mark.parametrize("reply", [BROKEN, HANG_UP, SILENCE, TOO_MANY, freeze(), UNAVAILABLE])
    def test_what_may_have_spent_one_is_not_repeated(self, site: MyAnonamouse, reply: Reply) -> None:
        """By nobody: the outcome says that it is not to be, and why, whatever the retries are."""
        site.order(reply)
        again = RetryPolicy(attempts=5, wait=0, max_wait=1e9)

        with fetching(site, spend_wedges=True, timeout=patience(reply)) as fetcher:
            batch = BatchDownloader(
                client=FakeClient(), fetcher=fetcher, repository=MemoryRepository(), fetch_retry=again
            )
            (failure,) = batch.run([wanted(download_url(7, freeleech_wedge=True))]).failed

        assert (failure.code, failure.retryable) == (FailureCode.FETCH_ERROR, False)
        assert "wedge may have been spent" in failure.error
        assert site.asked == [f"{PLAIN}&fl"]

    def test_nobody_asks_for_one_twice(self, site: MyAnonamouse) -> None:
        """However the link is spelled, one torrent gets one wedge from one fetcher."""
        with fetching(site, spend_wedges=True) as fetcher:
            fetch(fetcher, download_url(7, freeleech_wedge=True))
            with failing(FetchError, "never done twice"):
                fetch(fetcher, f"{page_url(7)}?fl")

        assert site.wedges == [7]

    def test_what_was_not_sent_has_spent_none(self, site: MyAnonamouse) -> None:
        """A request that the site's wish kept back may be made later."""
        site.order(freeze())

        with fetching(site, spend_wedges=True) as fetcher:
            with failing(RateLimited, "frozen", retry_after=FROZEN_FOR):
                fetch(fetcher)
            with failing(RateLimited, "not asked again", retry_after=FROZEN_FOR):
                fetch(fetcher, download_url(7, freeleech_wedge=True))

        assert site.wedges == []

    def test_a_clear_refusal_is_passed_on_as_it_is(self, site: MyAnonamouse) -> None:
        """Where the torrent is gone, nothing was spent."""
        site.gone.add(7)

        with fetching(site, spend_wedges=True) as fetcher, failing(TorrentNotFound, "404"):
            fetch(fetcher, download_url(7, freeleech_wedge=True))

        assert site.wedges == []


def test_it_stands_before_the_fetcher_for_all_the_others(site: MyAnonamouse, fetcher: MyAnonamouseFetcher) -> None:
    """In one batch, the site's torrents come from here, and others with no cookie from elsewhere."""
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, content=book("Emma"))

    with HttpFetcher(transport=httpx.MockTransport(answer)) as plain:
        mixed = BatchDownloader(
            client=FakeClient(), fetcher=FirstAccepting(fetcher, plain), repository=MemoryRepository()
        )
        result = mixed.run([wanted(7), wanted("https://evilmyanonamouse.net/t/8", "Emma"), wanted(9)])

    assert codes(result) == ["ok"] * 3
    assert not any(isinstance(outcome, DownloadFailure) for outcome in result.outcomes)
    assert sorted(site.asked) == [PLAIN, "/tor/download.php?tid=9"]
    assert [(request.url.host, request.headers.get("cookie")) for request in asked] == [("evilmyanonamouse.net", None)]
