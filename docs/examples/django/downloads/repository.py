"""Records of audiobatch in Django's database: SQLite, PostgreSQL, or another one."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from django.db import (
    DEFAULT_DB_ALIAS,
    Error,
    IntegrityError,
    InterfaceError,
    OperationalError,
    connections,
    transaction,
)
from django.db.models import Q, QuerySet
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random

from audiobatch import Download, DownloadStatus, InvalidRequestError
from audiobatch.errors import NotATorrent, RepositoryError, RepositoryUnavailable
from audiobatch.metainfo import InfoHashes, MagnetLink, Torrent, parse_magnet, parse_torrent
from audiobatch.wire import dump_request, load_stored_request
from downloads.models import Record

_PAGE = 50
_UNSETTLED = (DownloadStatus.RESERVED, DownloadStatus.QUEUED)

# Two transactions that want the same records in another order may wait for each other. PostgreSQL
# ends one of them, which has then changed nothing: on the next try it finds what the other one wrote.
_again = retry(
    retry=retry_if_exception_type(RepositoryUnavailable),
    stop=stop_after_attempt(3),
    wait=wait_random(0, 0.1),
    reraise=True,
)


class DjangoRepository:
    """Keeps records with Django's ORM; see `audiobatch.protocols.Repository`.

    Args:
        using: The database, as settings.DATABASES names it.
    """

    def __init__(self, using: str = DEFAULT_DB_ALIAS) -> None:
        self._using = using

    def find(self, keys: Collection[str], /, *, client: str) -> Mapping[str, Download]:
        """Look up by torrent URL or info-hash."""
        wanted = set(keys)
        matching = Q(url_digest__in=[_digest(key) for key in wanted]) | Q(v1__in=wanted) | Q(v2__in=wanted)
        with self._session():
            records = [_load(row) for row in self._records.filter(matching, client=client).order_by("number")]
        # Of several records from one URL, the newest is the one that stays.
        return {key: record for record in records for key in _keys(record) if key in wanted}

    @_again
    def reserve(self, downloads: Sequence[Download], /) -> Sequence[Download]:
        """Insert what is not held yet, and return the holders.

        Nothing is looked up before: another process could insert it in between. The database
        leaves out what breaks a constraint, and waits until a transaction that holds the same
        info-hash has come to its end; what is there after that, is there for good.
        """
        hashes = [download.info_hashes for download in downloads]
        matching = Q(v1__in=[each.v1 for each in hashes if each.v1]) | Q(v2__in=[each.v2 for each in hashes if each.v2])
        with self._transaction():
            self._records.bulk_create([_row(download) for download in downloads], ignore_conflicts=True)
            rows = self._records.filter(matching, client__in={download.client for download in downloads})
            held = [_load(row) for row in rows.order_by("number")]
        return [_holder(download, held) for download in downloads]

    @_again
    def save(self, downloads: Sequence[Download], /) -> None:
        """Update by id."""
        with self._transaction():
            for download in downloads:
                self._records.filter(id=download.id).update(**_changing_fields(download))
                self._learn(download)

    def _learn(self, download: Download) -> None:
        """Add the second info-hash of a hybrid; where another record holds it, that one keeps it."""
        hashes = {"v1": download.info_hashes.v1, "v2": download.info_hashes.v2}
        if None in hashes.values():
            return
        for missing, known in (("v1", "v2"), ("v2", "v1")):
            rows = self._records.filter(id=download.id, **{f"{missing}__isnull": True, known: hashes[known]})
            with suppress(IntegrityError), transaction.atomic(using=self._using):
                rows.update(**{missing: hashes[missing]})

    def unsettled(self, *, client: str) -> Iterator[Download]:
        """Yield what a recovery has to look at, oldest first."""
        last = -1
        while True:
            with self._session():
                rows = list(
                    self._records.filter(
                        client=client, torrent__isnull=False, status__in=_UNSETTLED, number__gt=last
                    ).order_by("number")[:_PAGE]
                )
            if not rows:
                return
            last = rows[-1].number
            yield from map(_load, rows)

    @property
    def _records(self) -> QuerySet[Record]:
        return Record.objects.using(self._using)

    @contextmanager
    def _session(self) -> Iterator[None]:
        """Turn Django's errors into ours, and leave no connection open that Django would not keep.

        In the thread of a request Django sees to its connections itself, in all others nobody does.
        """
        connection = connections[self._using]
        connection.close_if_unusable_or_obsolete()
        failure: RepositoryError
        try:
            yield
        except (OperationalError, InterfaceError) as error:
            failure = RepositoryUnavailable(f"the database cannot be used ({type(error).__name__})")
        except Error as error:
            failure = RepositoryError(f"the database failed ({type(error).__name__})")
        else:
            return
        finally:
            connection.close_if_unusable_or_obsolete()
        # Raised out here, for a database's error can show a whole row, with the passkey in its URL.
        raise failure

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        # Durable: in a transaction of somebody else, with ATOMIC_REQUESTS say, what was reserved could be undone
        # after the client has got it. That is an error of the program then, instead of a record that is lost.
        with self._session(), transaction.atomic(using=self._using, durable=True):
            yield


def _digest(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()


def _keys(record: Download) -> tuple[str | None, ...]:
    return record.request.torrent_url, record.info_hashes.v1, record.info_hashes.v2


def _holder(download: Download, held: Sequence[Download]) -> Download:
    for record in held:
        if record.client == download.client and record.info_hashes.matches(download.info_hashes):
            return record
    raise RepositoryError(f"the database did not take record {download.id}")


def _row(download: Download) -> Record:
    return Record(
        id=download.id,
        client=download.client,
        v1=download.info_hashes.v1,
        v2=download.info_hashes.v2,
        created_at=download.created_at,
        **_changing_fields(download),
    )


def _changing_fields(download: Download) -> dict[str, object]:
    return {
        "url_digest": _digest(download.request.torrent_url),
        "request": dump_request(download.request),
        "status": download.status.value,
        "torrent": _dump_torrent(download.torrent),
    }


def _dump_torrent(torrent: Torrent | None) -> bytes | None:
    if torrent is None:
        return None
    return torrent.uri.encode() if isinstance(torrent, MagnetLink) else torrent.content


def _load_torrent(content: bytes | None) -> Torrent | None:
    if content is None:
        return None
    content = bytes(content)  # some databases give a memoryview
    return parse_magnet(content.decode()) if content.startswith(b"magnet:") else parse_torrent(content)


def _load(row: Record) -> Download:
    try:
        return Download(
            id=str(row.id),
            request=load_stored_request(row.request),
            info_hashes=InfoHashes(v1=row.v1, v2=row.v2),
            client=row.client,
            status=DownloadStatus(row.status),
            created_at=row.created_at,
            torrent=_load_torrent(row.torrent),
        )
    except (ValueError, TypeError, InvalidRequestError, NotATorrent) as error:
        kind = type(error).__name__
    # Raised out here, for such an error can hold what was read, URL and all.
    raise RepositoryError(f"record {row.id} cannot be read ({kind})")
