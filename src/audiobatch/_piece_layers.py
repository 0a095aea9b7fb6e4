"""Compare the piece layers of a v2 torrent with the roots of its files (BEP 52)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from audiobatch._bencode import Value

BLOCK: Final = 16 * 1024
"""Bytes in a leaf of the hash tree, and the smallest v2 piece length."""

ROOT_SIZE: Final = 32
"""Bytes in a hash."""

_MAX_HASHES: Final = 2**17  # bounds the time to a fifth of a second, and is enough for 128 GiB in pieces of 1 MiB


def check_piece_layers(files: Sequence[tuple[int, bytes]], piece_length: int, layers: Value | None) -> None:
    """Compare each layer with its root, once for each; all sizes are looked at before anything is hashed.

    Args:
        files: Size and root of each.
        piece_length: A power of two, of at least `BLOCK`.
        layers: What the torrent has for them.

    Raises:
        ValueError: They are not those of the files that are larger than a piece, or are too
            many to be checked in a short time.
    """
    lengths = {root: -(-size // piece_length) for size, root in files if size > piece_length}
    if not isinstance(layers, dict) or layers.keys() != lengths.keys():
        raise ValueError("its v2 piece layers are not those of its files")
    if any(size > piece_length and -(-size // piece_length) != lengths[root] for size, root in files):
        raise ValueError("a v2 piece layer is malformed")
    checked: dict[bytes, bytes] = {}
    for root, layer in layers.items():
        if not isinstance(layer, bytes) or len(layer) != ROOT_SIZE * lengths[root]:
            raise ValueError("a v2 piece layer is malformed")
        checked[root] = layer
    if sum(lengths.values()) > _MAX_HASHES:
        raise ValueError("its v2 piece layers are too large to be checked")
    padding = bytes(ROOT_SIZE)
    for _ in range((piece_length // BLOCK).bit_length() - 1):
        padding = _sha256(padding * 2)
    if any(_merkle_root(layer, padding) != root for root, layer in checked.items()):
        raise ValueError("a v2 piece layer does not match its file")


def _merkle_root(hashes: bytes, padding: bytes) -> bytes:
    """Hash pair by pair up to the root; what is missing beside the last one counts as padding of that level."""
    while len(hashes) > ROOT_SIZE:
        if len(hashes) % (2 * ROOT_SIZE):
            hashes += padding
        pairs = range(0, len(hashes), 2 * ROOT_SIZE)
        hashes = b"".join([_sha256(hashes[at : at + 2 * ROOT_SIZE]) for at in pairs])
        padding = _sha256(padding * 2)
    return hashes


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
