"""The three ports of the pipeline, and the optional capabilities: what a plug-in implements.

Nothing needs to be inherited: a class with these methods is enough. Everything is
synchronous. A plug-in reports trouble by raising an error of `audiobatch.errors` of
the branch that is named here; that becomes the failure of an item.

Any other exception counts as a bug, and so does an answer of another type. A fetcher's
bug is a `FetchError` of that one item. A client's bug is a `ClientError`: after an add,
the torrent is looked up, because it may be there; where the client cannot be asked, the
batch ends early. A repository's bug is a `RepositoryError`. Each is written to the log
``audiobatch``: its class, and the files and lines that it came through. Its text is not,
because that may hold a secret. An exception that is no ``Exception``, such as
``KeyboardInterrupt``, leaves `BatchDownloader.run`.

Whoever makes a plug-in closes it: closing is not part of the ports.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from audiobatch.metainfo import InfoHashes, Torrent
from audiobatch.models import AddOptions, Download, DownloadRequest, TorrentStatus


class TorrentFetcher(Protocol):
    """Gets the torrent that a request points to."""

    def fetch(self, request: DownloadRequest, /) -> Torrent:
        """Fetch and parse the torrent behind ``request.torrent_url``, an http or https URL.

        Called from several threads at once. Trackers count a fetch as a snatch, so one call
        asks for the torrent once; whether to try again is decided outside, by the error. Where
        a request was sent and its answer, or what that led to, was lost, set ``repeated`` of a transient error to
        False: then nobody asks again before a person does.

        Returns:
            The torrent file with its bytes untouched, or a magnet link where the URL
            leads to one. Magnet URLs themselves never come here.

        Raises:
            FetchError: The torrent could not be had. Transient kinds may be tried again.
        """
        ...


class TorrentClient(Protocol):
    """A torrent client that takes torrents and tells which ones it has.

    Called by one thread at a time for each `BatchDownloader`.
    """

    @property
    def name(self) -> str:
        """A stable identity without secrets, such as ``qbittorrent@http://nas:8080``.

        Records belong to it: another name is another client.
        """
        ...

    def add(self, torrent: Torrent, options: AddOptions, /) -> None:
        """Hand over one torrent, in a single attempt that is never repeated by the plug-in.

        Adding what is there already is harmless: it changes and moves nothing, except that a magnet
        link that still waits for its metadata may take it from the file. To return
        means that the client accepted it; whether it has it is asked by `status` afterwards.

        Raises:
            TorrentRejected: The client answered that it does not take this torrent.
            NotAdded: It answered that it did not add it, a duplicate perhaps, without a clear reason.
            Unsupported: The client cannot do what the options or the torrent ask for;
                nothing was sent.
            ClientAuthError: The client refuses the login.
            ClientUnavailable: No answer, or none that can be read. The torrent may be there.
        """
        ...

    def status(self, info_hashes: Collection[InfoHashes], /) -> Mapping[InfoHashes, TorrentStatus]:
        """Look up torrents, in one round trip, without changing anything.

        A client may know a torrent by any of `InfoHashes.client_ids`; each counts. It may also know it by
        an info-hash that is not given, if `InfoHashes.may_be_half`: then look further, where the client can.

        Returns:
            One entry for each of the given info-hashes that the client has, under the very
            key that was given. What is unknown is absent. Nothing given, nothing asked.

        Raises:
            ClientAuthError: The client refuses the login.
            ClientUnavailable: No answer, or none that can be read.
            ClientError: What answers is not the torrent client that was expected.
        """
        ...


class Repository(Protocol):
    """Keeps the records. Safe to be used from several threads at once.

    A record belongs to one client, and within that to one torrent: two records of a
    client never share a v1 or a v2 info-hash. Every method raises a `RepositoryError`
    when the storage fails, and has then changed nothing.
    """

    def find(self, keys: Collection[str], /, *, client: str) -> Mapping[str, Download]:
        """Look up records of a client by torrent URL or by info-hash (v1 or v2, full length).

        Returns:
            One entry for each key that matches a record, under that key. Where several
            records came from one URL, the newest.
        """
        ...

    def reserve(self, downloads: Sequence[Download], /) -> Sequence[Download]:
        """Insert records, all or none, and return what is on record for each, in order.

        Where a record of the same client shares an info-hash already, that one comes back
        as it is, and nothing is inserted: the holder. When this returns, all of it
        survives the process being killed.
        """
        ...

    def save(self, downloads: Sequence[Download], /) -> None:
        """Update records by their ``id``, all or none: request, status and torrent, and what is learnt of info-hashes.

        A ``torrent`` of None drops what was kept of it. An unknown ``id`` is left alone.

        An info-hash that a record has is never changed. A second one is added to it, if the given one has both and
        the first is the same: a hybrid torrent may be known by a magnet link that names only one of the two. Where
        another record of the client holds the second one, it stays there, and this record keeps the one that it has.
        That is no error: two links to one torrent may each have a record.
        """
        ...

    def unsettled(self, *, client: str) -> Iterator[Download]:
        """Yield the records of a client that a recovery has to look at, oldest first.

        These are the reserved ones, and the queued ones that still hold their torrent.
        The caller saves records while this goes on; each comes at most once.
        """
        ...


@runtime_checkable
class SupportsCheck(Protocol):
    """A client that can tell whether it is of use before anything is asked of a tracker."""

    def check(self) -> None:
        """Log in if need be and make sure that the client answers, without changing anything.

        Raises:
            ClientAuthError: The client refuses the login.
            ClientUnavailable: No answer, or none that can be read.
            ClientError: What answers is not the torrent client that was expected.
        """
        ...


@runtime_checkable
class SupportsBulkAdd(Protocol):
    """A client that takes several torrents in one request."""

    def add_all(self, torrents: Sequence[Torrent], options: AddOptions, /) -> None:
        """Hand over several torrents, all with the same options, in a single attempt; see `TorrentClient.add`.

        To return means that the client has taken the request; which of them it accepted does
        not matter: all are looked up, and each that is not there is handed over once more, alone.

        Raises:
            Unsupported: The client cannot do what the options ask for; nothing was sent.
            ClientAuthError: The client refuses the login; nothing was added.
            ClientError: Anything else; any of them may be there.
        """
        ...


@runtime_checkable
class SupportsSizes(Protocol):
    """A repository that can tell how large the torrents are that it keeps, without reading them."""

    def sizes(self, urls: Collection[str], /, *, client: str) -> Mapping[str, int]:
        """Tell how many bytes of torrents `Repository.find` would read for each of these ``urls`` of a ``client``.

        A batch goes by this to find no more of them at a time than fit into its memory.

        Returns:
            One entry for each URL whose records keep a torrent.

        Raises:
            RepositoryError: The storage fails.
        """
        ...


@runtime_checkable
class SupportsAccepts(Protocol):
    """A fetcher that knows which URLs are its own; see `audiobatch.fetchers.choice.FirstAccepting`."""

    def accepts(self, url: str, /) -> bool:
        """Tell by the URL alone, an http or https one, whether this fetcher is meant for it."""
        ...
