"""Everything that audiobatch raises.

::

    AudiobatchError                 base of all; carries code, transient, retry_after
    ├── ConfigurationError          an object was built with arguments that cannot work
    ├── InvalidBatchError           the batch as a whole was refused; nothing was touched
    │   ├── EmptyBatchError
    │   └── BatchTooLargeError
    ├── InvalidRequestError         one request does not validate (a ValueError too)
    ├── NotAttempted *              the batch stopped before this item
    ├── FetchError                  the .torrent could not be had
    │   ├── NotATorrent             something came, but no usable torrent
    │   ├── TorrentNotFound
    │   ├── FetchDenied             login, session or permission
    │   ├── BlockedAddress          we refuse to go there
    │   ├── RateLimited *
    │   └── FetchUnavailable *      tracker down, slow, or broken for the moment
    ├── ClientError                 the torrent client
    │   ├── ClientAuthError
    │   ├── TorrentRejected         the client refuses this very torrent
    │   ├── NotAdded *              the client did not add it, and does not say why
    │   ├── Unsupported             this client cannot do what the request asks
    │   ├── Unconfirmed *           handed over, but not seen there: it may yet appear
    │   └── ClientUnavailable *
    └── RepositoryError             the records
        ├── SchemaMismatch
        └── RepositoryUnavailable *

    BatchFailed(ExceptionGroup, AudiobatchError)    one exception for each failed item

``*`` marks what is transient: the same call may succeed later. It is the only
thing that a retry looks at. No message holds a secret or a URL's path or query.
All of them pickle, so that they cross process borders whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar, Self


class FailureCode(StrEnum):
    """Why something failed: a closed set, one code for each class of error."""

    ERROR = "error"
    CONFIGURATION = "configuration"
    INVALID_BATCH = "invalid_batch"
    EMPTY_BATCH = "empty_batch"
    BATCH_TOO_LARGE = "batch_too_large"
    INVALID_REQUEST = "invalid_request"
    NOT_ATTEMPTED = "not_attempted"
    FETCH_ERROR = "fetch_error"
    NOT_A_TORRENT = "not_a_torrent"
    TORRENT_NOT_FOUND = "torrent_not_found"
    FETCH_DENIED = "fetch_denied"
    BLOCKED_ADDRESS = "blocked_address"
    RATE_LIMITED = "rate_limited"
    FETCH_UNAVAILABLE = "fetch_unavailable"
    CLIENT_ERROR = "client_error"
    CLIENT_AUTH = "client_auth"
    TORRENT_REJECTED = "torrent_rejected"
    NOT_ADDED = "not_added"
    UNSUPPORTED = "unsupported"
    UNCONFIRMED = "unconfirmed"
    CLIENT_UNAVAILABLE = "client_unavailable"
    REPOSITORY_ERROR = "repository_error"
    SCHEMA_MISMATCH = "schema_mismatch"
    REPOSITORY_UNAVAILABLE = "repository_unavailable"


class AudiobatchError(Exception):
    """Base of every error that audiobatch raises.

    Args:
        message: One sentence for a person, free of secrets.
        retry_after: Seconds that the other side asked us to wait, if it did.

    Attributes:
        repeated: A transient error is repeated by itself, as a `RetryPolicy` says. A fetcher makes this
            False where the tracker has got the request and may count it, but its answer was lost: it is
            for people to ask again.
    """

    code: ClassVar[FailureCode] = FailureCode.ERROR
    transient: ClassVar[bool] = False
    repeated: bool = True
    retry_after: float | None = None

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ConfigurationError(AudiobatchError):
    """An object was built with arguments that cannot work; nothing was touched."""

    code = FailureCode.CONFIGURATION


class InvalidBatchError(AudiobatchError):
    """The batch as a whole was refused before anything was touched."""

    code = FailureCode.INVALID_BATCH


class EmptyBatchError(InvalidBatchError):
    """The batch holds no request."""

    code = FailureCode.EMPTY_BATCH


class BatchTooLargeError(InvalidBatchError):
    """The batch holds more requests than ``max_batch_size``."""

    code = FailureCode.BATCH_TOO_LARGE


class InvalidRequestError(AudiobatchError, ValueError):
    """A request does not validate; the message names every problem found."""

    code = FailureCode.INVALID_REQUEST


class NotAttempted(AudiobatchError):
    """The batch stopped before this item; nothing was added for it."""

    code = FailureCode.NOT_ATTEMPTED
    transient = True
    cause: FailureCode = FailureCode.NOT_ATTEMPTED
    """The code of what stopped it; its own where somebody asked for that."""


class FetchError(AudiobatchError):
    """The ``.torrent`` could not be had from its source."""

    code = FailureCode.FETCH_ERROR


class NotATorrent(FetchError):
    """What came is no usable torrent: a login page, a broken file, a bad magnet link."""

    code = FailureCode.NOT_A_TORRENT


class TorrentNotFound(FetchError):
    """The source says that there is no such torrent (any more)."""

    code = FailureCode.TORRENT_NOT_FOUND


class FetchDenied(FetchError):
    """The source refuses: no login, an expired session, no permission."""

    code = FailureCode.FETCH_DENIED


class BlockedAddress(FetchError):
    """The URL, or a redirect, leads to where audiobatch does not go."""

    code = FailureCode.BLOCKED_ADDRESS


class RateLimited(FetchError):
    """The source asks to slow down; ``retry_after`` says for how long, if it told."""

    code = FailureCode.RATE_LIMITED
    transient = True


class FetchUnavailable(FetchError):
    """The source is down, too slow, or answers with a server error for the moment."""

    code = FailureCode.FETCH_UNAVAILABLE
    transient = True


class ClientError(AudiobatchError):
    """The torrent client did not do what it was asked to."""

    code = FailureCode.CLIENT_ERROR


class ClientAuthError(ClientError):
    """The torrent client refuses the login. It is not tried again: clients ban addresses."""

    code = FailureCode.CLIENT_AUTH


class TorrentRejected(ClientError):
    """The torrent client refused this very torrent: it would do so again."""

    code = FailureCode.TORRENT_REJECTED


class NotAdded(ClientError):
    """The torrent client did not add the torrent, and does not say why.

    To be there already is one of the reasons, also if it does not show yet: an add that
    is still on its way makes some clients refuse the next one.
    """

    code = FailureCode.NOT_ADDED
    transient = True


class Unsupported(ClientError):
    """The torrent client cannot do what the request asks for."""

    code = FailureCode.UNSUPPORTED


class Unconfirmed(ClientError):
    """The torrent was handed over but not seen in the client; it may yet appear."""

    code = FailureCode.UNCONFIRMED
    transient = True


class ClientUnavailable(ClientError):
    """The torrent client is down, unreachable, or gave no answer that can be read.

    After an ``add`` it says nothing about whether the torrent is there.
    """

    code = FailureCode.CLIENT_UNAVAILABLE
    transient = True


class RepositoryError(AudiobatchError):
    """The records could not be read or written."""

    code = FailureCode.REPOSITORY_ERROR


class SchemaMismatch(RepositoryError):
    """The storage is no audiobatch database, or one of another version."""

    code = FailureCode.SCHEMA_MISMATCH


class RepositoryUnavailable(RepositoryError):
    """The storage is locked, full, read-only or unreachable for the moment."""

    code = FailureCode.REPOSITORY_UNAVAILABLE
    transient = True


class BatchFailed(ExceptionGroup[AudiobatchError], AudiobatchError):
    """At least one item of a batch failed: one exception for each, in request order.

    Each carries a note with its index. ``except* FetchError`` picks a kind.
    """

    def __new__(cls, message: str, exceptions: Sequence[AudiobatchError]) -> Self:
        """Make the group; there must be at least one exception."""
        return super().__new__(cls, message, exceptions)

    def derive(self, excs: Sequence[AudiobatchError]) -> BatchFailed:  # type: ignore[override]
        """Return a group of the same kind for a part of the exceptions."""
        return BatchFailed(self.message, excs)


def error_for(code: FailureCode, message: str, *, retry_after: float | None = None) -> AudiobatchError:
    """Return the error whose class carries this code.

    Args:
        code: Why it failed.
        message: One sentence for a person, free of secrets.
        retry_after: Seconds that the other side asked us to wait, if it did.
    """
    return _CLASSES[code](message, retry_after=retry_after)


def _family(cls: type[AudiobatchError]) -> list[type[AudiobatchError]]:
    return [cls, *(member for child in cls.__subclasses__() for member in _family(child))]


_CLASSES = {cls.code: cls for cls in _family(AudiobatchError) if cls is not BatchFailed}
