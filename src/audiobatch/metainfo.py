"""From the bytes of a ``.torrent``, or from a magnet link, to a torrent with its info-hashes.

An info-hash is the digest of the ``info`` value exactly as it stands in the file
(BEP 3, BEP 52). Decoding and encoding it again would give another hash whenever the
file is not in canonical form, so the raw bytes are hashed and never rebuilt.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final, TypeAlias, TypeGuard

from attrs import field, frozen

from audiobatch._bencode import find_info
from audiobatch._layout import examine, identify
from audiobatch._magnet import read as read_magnet
from audiobatch._urls import has_control_characters
from audiobatch.errors import NotATorrent

_HEX: Final = "[0-9a-f]"


@frozen(kw_only=True)
class InfoHashes:
    """What identifies a torrent: its v1 info-hash, its v2 info-hash, or both (a hybrid).

    Args:
        v1: SHA-1 of the ``info`` value (BEP 3), 40 lower-case hex digits.
        v2: SHA-256 of the same bytes (BEP 52), 64 lower-case hex digits.
        complete: The torrent has no other one, because these come from its ``info`` value. A magnet
            link may name only one of two. It does not count when info-hashes are compared.

    Raises:
        ValueError: Both are missing, or one is not of that form.
    """

    v1: str | None = None
    v2: str | None = None
    complete: bool = field(default=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if self.v1 is None and self.v2 is None:
            raise ValueError("an info-hash is needed: v1, v2, or both")
        if self.v1 is not None and not re.fullmatch(_HEX + "{40}", self.v1):
            raise ValueError("a v1 info-hash has 40 lower-case hex digits")
        if self.v2 is not None and not re.fullmatch(_HEX + "{64}", self.v2):
            raise ValueError("a v2 info-hash has 64 lower-case hex digits")

    @property
    def primary(self) -> str:
        """The one to show: v1 where there is one, else v2."""
        return self.v1 or self.v2 or ""

    @property
    def client_ids(self) -> tuple[str, ...]:
        """Every id by which a client may know the torrent: v1, v2 cut to 40 digits, v2.

        libtorrent, and so qBittorrent and Deluge, know a torrent that has a v2 info-hash
        by its first 20 bytes, hybrids included.
        """
        v2 = (self.v2[:40], self.v2) if self.v2 else ()
        return (self.v1, *v2) if self.v1 else v2

    @property
    def known(self) -> tuple[str, ...]:
        """Those that are known, v1 first."""
        return tuple(info_hash for info_hash in (self.v1, self.v2) if info_hash is not None)

    def matches(self, other: InfoHashes) -> bool:
        """Tell whether both are of one torrent: they share their v1 or their v2 info-hash."""
        return (self.v1 is not None and self.v1 == other.v1) or (self.v2 is not None and self.v2 == other.v2)

    @property
    def may_be_half(self) -> bool:
        """The torrent may have another info-hash, by which a client may know it."""
        return not self.complete and None in (self.v1, self.v2)

    def joined(self, other: InfoHashes | None) -> InfoHashes:
        """Return what is known from both, if the other ones are of this torrent too; nothing that is known changes."""
        if other is None or self.complete or not self.matches(other):
            return self
        return InfoHashes(v1=self.v1 or other.v1, v2=self.v2 or other.v2, complete=other.complete)

    def __str__(self) -> str:
        return self.primary


@frozen(kw_only=True)
class TorrentFile:
    """A ``.torrent`` that was parsed.

    Attributes:
        content: The bytes as they came; clients get these, never rebuilt ones.
        info_hashes: Taken from the raw ``info`` value.
        name: The name that the torrent suggests, of up to 1024 bytes; an empty string if there is none.
            Untrusted: never a path by itself.
        total_size: Bytes of the payload, padding files left out; of a doubtful torrent, as far as
            they can be told.
        private: The torrent is bound to its own trackers (BEP 27).
        doubt: Why a client might refuse it, or None if nothing speaks against it. The client judges;
            a doubtful torrent is handed over alone, so that it cannot spoil a request with others.
    """

    content: bytes = field(repr=False)
    info_hashes: InfoHashes
    name: str = field(repr=False)
    total_size: int
    private: bool
    doubt: str | None = None


@frozen(kw_only=True)
class MagnetLink:
    """A magnet link that was parsed (BEP 9): the info-hashes without the metainfo.

    Attributes:
        uri: The link as clients are given it: ``magnet:?xt=`` with the info-hashes in hex, then the
            other parameters as they came, within 8 KiB. What no URI may hold is percent-encoded. It
            may hold a passkey, so it never shows in the repr.
        info_hashes: One or both, as the link gives them. A hybrid torrent's link may name
            only one of its two.
        name: The display name (``dn``), or an empty string. Untrusted.

    Raises:
        ValueError: The link holds a control character: a line break would make two links of it.
    """

    uri: str = field(repr=False)
    info_hashes: InfoHashes
    name: str = field(repr=False)

    def __attrs_post_init__(self) -> None:
        if has_control_characters(self.uri):
            raise ValueError("a magnet link cannot hold control characters: let parse_magnet read it")


Torrent: TypeAlias = TorrentFile | MagnetLink
"""What a fetcher gets, and a client is given."""


def is_torrent(value: object) -> TypeGuard[Torrent]:
    """Tell whether a value can be handed to a client: what a plug-in gives may be anything."""
    return (
        isinstance(value, TorrentFile | MagnetLink)
        and isinstance(value.info_hashes, InfoHashes)
        and isinstance(*((value.content, bytes) if isinstance(value, TorrentFile) else (value.uri, str)))
    )


def parse_torrent(content: bytes) -> TorrentFile:
    """Find out which torrent the bytes of a ``.torrent`` are of: v1, v2 or hybrid.

    Whatever has one certain info-hash is a torrent, as clients see it: of a key that stands
    twice the first counts, and bytes after the end do not. What a client might refuse
    nevertheless is told by `TorrentFile.doubt`. Time and memory are bounded by the size.

    Raises:
        NotATorrent: It is not bencoded, is cut short, breaks a limit (100 levels, or some
            hundred thousand values that cannot be stepped over quickly), or does not have
            exactly one ``info`` dictionary of a known version. The message says which.
    """
    try:
        info = find_info(content)
        identity = identify(content, info)
    except ValueError as error:
        raise NotATorrent(f"not a valid torrent file: {error}") from None
    start, stop = info.span
    raw = memoryview(content)[start:stop]
    findings = examine(content, info)
    return TorrentFile(
        content=content,
        info_hashes=InfoHashes(
            v1=hashlib.sha1(raw, usedforsecurity=False).hexdigest() if identity.has_v1 else None,
            v2=hashlib.sha256(raw).hexdigest() if identity.has_v2 else None,
            complete=True,
        ),
        name=identity.name,
        total_size=findings.total_size,
        private=identity.private,
        doubt=findings.doubt,
    )


def parse_magnet(uri: str) -> MagnetLink:
    """Parse a magnet link with ``xt=urn:btih:`` (hex or base32), ``xt=urn:btmh:``, or both, in any spelling.

    Args:
        uri: Up to 65,536 characters.

    Raises:
        NotATorrent: It is no magnet link, has no usable info-hash, names two different torrents, or
            holds a control character.
    """
    try:
        magnet = read_magnet(uri)
    except ValueError as error:
        raise NotATorrent(f"not a usable magnet link: {error}") from None
    return MagnetLink(uri=magnet.uri, info_hashes=InfoHashes(v1=magnet.v1, v2=magnet.v2), name=magnet.name)
