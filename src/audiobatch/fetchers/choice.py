"""Several fetchers as one, for batches that mix sources."""

from __future__ import annotations

from audiobatch._urls import origin
from audiobatch.errors import BlockedAddress, ConfigurationError
from audiobatch.metainfo import Torrent
from audiobatch.models import DownloadRequest
from audiobatch.protocols import SupportsAccepts, TorrentFetcher


class FirstAccepting:
    """Gives each request to the first of its fetchers that accepts the URL.

    Args:
        fetchers: In the order to ask them. One that is no `SupportsAccepts` accepts every
            URL, so it can only stand last. Each stays its maker's to close.

    Raises:
        ConfigurationError: There is none, or one that would never be asked.
    """

    def __init__(self, *fetchers: TorrentFetcher) -> None:
        if not fetchers:
            raise ConfigurationError("give at least one fetcher")
        if not all(isinstance(fetcher, SupportsAccepts) for fetcher in fetchers[:-1]):
            raise ConfigurationError("a fetcher without an accepts method takes every URL: put it last")
        self._fetchers = fetchers

    def __repr__(self) -> str:
        return f"FirstAccepting({', '.join(map(repr, self._fetchers))})"

    def accepts(self, url: str, /) -> bool:
        """Tell whether one of the fetchers accepts the URL."""
        return any(_accepts(fetcher, url) for fetcher in self._fetchers)

    def fetch(self, request: DownloadRequest, /) -> Torrent:
        """Fetch with the fetcher that is chosen; see `TorrentFetcher.fetch`."""
        for fetcher in self._fetchers:
            if _accepts(fetcher, request.torrent_url):
                return fetcher.fetch(request)
        raise BlockedAddress(f"no fetcher accepts URLs at {origin(request.torrent_url)}")


def _accepts(fetcher: TorrentFetcher, url: str) -> bool:
    return not isinstance(fetcher, SupportsAccepts) or fetcher.accepts(url)
