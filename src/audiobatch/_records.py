"""The repository as the pipeline uses it: a bug in it is an error of the repository."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TypeGuard, TypeVar

from attrs import frozen

from audiobatch._bugs import guarded, kind_of
from audiobatch.errors import RepositoryError
from audiobatch.metainfo import InfoHashes, is_torrent
from audiobatch.models import Download, DownloadRequest
from audiobatch.protocols import Repository, SupportsSizes

_T = TypeVar("_T")


@frozen
class Records:
    """Passes each call on, and whatever goes wrong with it comes back as a `RepositoryError`."""

    _repository: Repository

    def find(self, keys: Collection[str], /, *, client: str) -> Mapping[str, Download]:
        """See `Repository.find`."""
        found = _guarded(lambda: self._repository.find(keys, client=client))
        if not isinstance(found, Mapping) or not all(map(_is_record, found.values())):
            raise _wrong("find", found)
        return found

    def sizes(self, urls: Collection[str], /, *, client: str) -> Mapping[str, int]:
        """See `SupportsSizes.sizes`; a repository that cannot tell says nothing."""
        repository = self._repository
        if not isinstance(repository, SupportsSizes):
            return {}
        found = _guarded(lambda: repository.sizes(urls, client=client))
        if not isinstance(found, Mapping) or not all(isinstance(size, int) for size in found.values()):
            raise _wrong("sizes", found)
        return found

    def reserve(self, downloads: Sequence[Download], /) -> Sequence[Download]:
        """See `Repository.reserve`."""
        held = _guarded(lambda: list(self._repository.reserve(downloads)))
        if len(held) != len(downloads) or not all(map(_is_held, held, downloads)):
            raise _wrong("reserve", held)
        return held

    def save(self, downloads: Sequence[Download], /) -> None:
        """See `Repository.save`."""
        _guarded(lambda: self._repository.save(downloads))

    def unsettled(self, *, client: str) -> Iterator[Download]:
        """See `Repository.unsettled`."""
        records = _guarded(lambda: iter(self._repository.unsettled(client=client)))
        while (record := _guarded(lambda: next(records, None))) is not None:
            if not _is_record(record) or record.torrent is None:
                raise _wrong("unsettled", record)
            yield record


def _guarded(call: Callable[[], _T]) -> _T:
    return guarded(call, RepositoryError, "the repository")


def _is_record(value: object) -> TypeGuard[Download]:
    return (
        isinstance(value, Download)
        and isinstance(value.request, DownloadRequest)
        and isinstance(value.info_hashes, InfoHashes)
        and (value.torrent is None or is_torrent(value.torrent))
    )


def _is_held(value: object, asked: Download) -> bool:
    return _is_record(value) and value.info_hashes.matches(asked.info_hashes)


def _wrong(method: str, answer: object) -> RepositoryError:
    return RepositoryError(f"the repository's {method} returned what it is not meant to ({kind_of(answer)})")
