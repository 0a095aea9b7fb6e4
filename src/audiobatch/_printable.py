"""Make text from elsewhere fit to be printed: nothing in it moves a cursor, and no stream refuses it."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return the text in one line, in which a sign stands for each character that cannot be seen.

    A title may come from anywhere: it is not to break a line, to turn the ones after it around, nor to give
    orders to a terminal.
    """
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def encodable(text: str, encoding: str | None) -> str:
    r"""Return the text with escapes, ``\u2713`` for one, for what an encoding does not have.

    Args:
        text: Anything.
        encoding: The name of a stream's encoding; None if it takes all text.
    """
    if encoding is None:
        return text
    try:
        return text.encode(encoding, "backslashreplace").decode(encoding)
    except (LookupError, UnicodeError):  # the name of something that is no encoding for text
        return text.encode("ascii", "backslashreplace").decode()
