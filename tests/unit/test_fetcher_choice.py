"""Several fetchers as one: who gets which request."""

from __future__ import annotations

import pytest

from audiobatch import BatchDownloader, Stage
from audiobatch.errors import BlockedAddress, ConfigurationError, FetchDenied
from audiobatch.fetchers.choice import FirstAccepting
from audiobatch.metainfo import MagnetLink, parse_magnet
from audiobatch.protocols import SupportsAccepts, TorrentFetcher
from audiobatch.repositories.memory import MemoryRepository
from audiobatch.results import DownloadFailure
from support.fakes import AT_ONCE, FakeClient, FakeFetcher, codes, request


class Picky(FakeFetcher):
    """A fetcher that takes the URLs of some hosts alone."""

    def __init__(self, *hosts: str) -> None:
        super().__init__()
        self._hosts = hosts

    def __repr__(self) -> str:
        return f"Picky{self._hosts}"

    def accepts(self, url: str, /) -> bool:
        """Tell whether the URL is at one of these hosts."""
        return url.split("/")[2] in self._hosts


def at(host: str, name: str) -> str:
    """Return the URL of a book at a host."""
    return f"http://{host}/s3cret/{name}.torrent?passkey=s3cret"


class TestTheChoice:
    """Which of them gets a request."""

    def test_the_first_that_accepts_is_asked(self) -> None:
        """It alone: neither one before nor one after it."""
        fetchers = Picky("a"), Picky("b", "c"), Picky("c"), FakeFetcher()

        torrent = FirstAccepting(*fetchers).fetch(request("Dune", torrent_url=at("c", "Dune")))

        assert torrent.name == "Dune"
        assert [fetcher.fetched for fetcher in fetchers] == [[], ["Dune"], [], []]

    def test_one_that_takes_everything_gets_the_rest(self) -> None:
        """It stands last."""
        picky, other = Picky("a"), FakeFetcher()

        FirstAccepting(picky, other).fetch(request("Dune", torrent_url=at("b", "Dune")))

        assert (picky.fetched, other.fetched) == ([], ["Dune"])

    def test_who_fails_is_not_replaced(self) -> None:
        """Another tracker's fetcher has no business there."""
        picky, other = Picky("a"), FakeFetcher()
        picky.errors["Dune"] = [FetchDenied("no session")]

        with pytest.raises(FetchDenied, match="no session"):
            FirstAccepting(picky, other).fetch(request("Dune", torrent_url=at("a", "Dune")))

        assert other.fetched == []

    def test_where_nobody_accepts_the_address_is_blocked(self) -> None:
        """The error names the origin, and neither path nor query."""
        with pytest.raises(BlockedAddress, match=r"http://b:81$") as caught:
            FirstAccepting(Picky("a")).fetch(request("Dune", torrent_url=at("b:81", "Dune")))

        assert "s3cret" not in str(caught.value)

    def test_it_is_a_fetcher_that_accepts_what_its_fetchers_do(self) -> None:
        """So it can be one of the fetchers of another."""
        inner = FirstAccepting(Picky("a"), Picky("b"))
        last = FakeFetcher()
        outer: TorrentFetcher = FirstAccepting(inner, last)

        assert isinstance(inner, SupportsAccepts)
        assert [inner.accepts(at(host, "x")) for host in "abc"] == [True, True, False]
        assert FirstAccepting(Picky("a"), last).accepts(at("c", "x"))
        outer.fetch(request("Dune", torrent_url=at("c", "Dune")))
        assert last.fetched == ["Dune"]

    def test_its_repr_is_theirs(self) -> None:
        """In their order."""
        assert repr(FirstAccepting(Picky("a"), Picky("b"))) == "FirstAccepting(Picky('a',), Picky('b',))"


class TestConfiguration:
    """What cannot work is refused at once."""

    def test_there_must_be_one(self) -> None:
        """Without any, nothing could be fetched."""
        with pytest.raises(ConfigurationError, match="at least one"):
            FirstAccepting()

    def test_one_that_takes_everything_must_stand_last(self) -> None:
        """Who stands behind it would never be asked."""
        with pytest.raises(ConfigurationError, match="last"):
            FirstAccepting(Picky("a"), FakeFetcher(), Picky("b"))

        FirstAccepting(FakeFetcher())


def test_a_batch_mixes_sources(client: FakeClient, repository: MemoryRepository) -> None:
    """Each item comes from its own source, magnet links from none, and the rest fails alone."""
    one, two = Picky("one"), Picky("two")
    two.errors["Emma"] = [FetchDenied("no session")]
    magnet = f"magnet:?xt=urn:btih:{'ab' * 20}&dn=Moby"
    downloader = BatchDownloader(
        client=client,
        fetcher=FirstAccepting(one, two),
        repository=repository,
        fetch_retry=AT_ONCE,
        confirm_retry=AT_ONCE,
    )

    result = downloader.run(
        [
            request("Dune", torrent_url=at("one", "Dune")),
            request("Ulysses", torrent_url=at("two", "Ulysses")),
            request("Emma", torrent_url=at("two", "Emma")),
            request("Moby", torrent_url=magnet),
            request("Nana", torrent_url=at("three", "Nana")),
        ]
    )

    assert codes(result) == ["ok", "ok", "fetch_denied", "ok", "blocked_address"]
    assert (sorted(one.fetched), sorted(two.fetched)) == (["Dune"], ["Emma", "Ulysses"])
    assert client.names("Dune", "Ulysses", "Emma") == ["Dune", "Ulysses"]
    assert isinstance(parse_magnet(magnet), MagnetLink)
    assert parse_magnet(magnet).info_hashes in client.torrents
    blocked = result.outcomes[4]
    assert isinstance(blocked, DownloadFailure)
    assert (blocked.stage, blocked.retryable) == (Stage.FETCH, False)
    assert "s3cret" not in blocked.error
