"""No name leads a book out of its root, into a refused name, or unnoticed into the folder of another one."""

from __future__ import annotations

import ntpath
import posixpath
import re
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Literal, TypeAlias
from unicodedata import category, combining, normalize

from hypothesis import example, given, settings
from hypothesis import strategies as st

from audiobatch._names import safe_name
from audiobatch._same_folder import same_folder_key
from audiobatch.folders import SavePathTemplate
from audiobatch.models import MAX_AUTHOR_LENGTH, MAX_SERIES_LENGTH, MAX_TITLE_LENGTH, DownloadRequest, restore_request

BOOKS = 3_500  # of three names each

CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
ODD = st.characters(
    categories=["Cc", "Cf", "Cn", "Co", "Mc", "Me", "Mn", "Sk", "Zl", "Zp", "Zs"], exclude_characters="\0"
)
NASTY = st.sampled_from(
    [
        *(
            "/",
            "\\",
            ".",
            "..",
            "...",
            "/../",
            "..\\",
            "../../etc/passwd",
            "C:",
            "C:\\",
            "D:/",
            "\\\\nas\\c$",
            "\\\\?\\",
        ),
        *(
            "CON",
            "nul",
            "nul .x",
            "Aux.txt",
            "com1",
            "LPT\u00b3",
            "CONIN$",
            "clock$",
            "con.con",
            "._",
            ".hidden",
            "$MFT",
        ),
        *(" ", ". ", " .", ":", ": ", " :", "?", "*", "<", ">", "|", '"', "~", "-", "{title}", "{0}", "%2e%2e%2f"),
        *("\t", "\n", "\x1b[2J", "\x7f", "\x85", "\u3000", "\u2028", "\uff0f", "\u2024", "\u4e09", "\uf022", "\ufffe"),
        *("\u202e", "\u200b", "\u200c", "\u200d", "\u200d\u200d", "\u00ad", "\ufeff", "\ufe0f", "\u0301", "\u0338"),
        *("Cafe\u0301", "\u212b", "\u1e9e", "\u0130", "\u0131", "\ufb03", "\u0345", "\u3099", "\uac00", "\u1100\u1161"),
        *("\u0dc1\u0dca\u200d\u0dbb", "\U0001f469\U0001f3fd\u200d\U0001f680", "\U0001f3f4\U000e0067\U000e007f"),
    ]
)
PIECES = st.text(CHARACTERS, min_size=1, max_size=12) | st.text(ODD, min_size=1, max_size=6) | NASTY


def texts(limit: int) -> st.SearchStrategy[str]:
    """Make names up to that many characters, from pieces that may come again and again."""
    joined = st.builds(
        lambda pieces, times: ("".join(pieces) * times)[:limit],
        st.lists(PIECES, min_size=1, max_size=5),
        st.sampled_from([1, 1, 1, 3, 100]),
    )
    return joined.filter(str.strip)


def asked(title: str, author: str, series: str | None) -> DownloadRequest:
    """Ask for a book, in texts that may hold anything: so could those of a request that was stored long ago."""
    texts = {"title": title.strip(), "author": author.strip(), "series": series.strip() or None if series else None}
    return restore_request({**texts, "torrent_url": "https://tracker.example/1"})


REQUESTS = st.builds(asked, texts(MAX_TITLE_LENGTH), texts(MAX_AUTHOR_LENGTH), texts(MAX_SERIES_LENGTH))
TEMPLATES = st.builds(
    lambda root, template, limit: SavePathTemplate(root, template, max_name_bytes=limit),
    st.sampled_from(["", "books", "/books", "/", "D:\\books", "D:/books", "D:", "\\\\nas\\books"]),
    st.sampled_from(["{author}/{series}/{title}", "{author}/{series} - {title}", "{title} ({series})/{author}"]),
    st.sampled_from([32, 64, 143, 255]),
)


def refused_by_windows(name: str) -> bool:
    """Apply the rules of Microsoft's page on naming files, and its word on spaces."""
    stem = name.partition(".")[0].rstrip(" ").upper()
    return (
        any(character < " " or character in '<>:"/\\|?*' for character in name)
        or name[0] == " "
        or name[-1] in " ."
        or stem in {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}
        or re.fullmatch("(COM|LPT)[0-9\u00b9\u00b2\u00b3]", stem) is not None
        or len(name.encode("utf-16-le")) > 2 * 255
    )


# Python knows these rules too, from 3.13.
reserved_by_python: Callable[[str], bool] = getattr(ntpath, "isreserved", lambda _: False)


def refused_by_macos(name: str) -> bool:
    """Apply the rules of APFS: valid UTF-8 of characters that are assigned, with no more than 30 marks in a row."""
    marks = "".join("m" if combining(character) else " " for character in normalize("NFD", name))
    return "m" * 31 in marks or any(category(character) in {"Cn", "Cs"} for character in name)


def misleading(name: str) -> bool:
    """Find what hides a folder, or what shows it as something that it is not."""
    return name.startswith(".") or bool(re.search("[\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]", name))


def test_ten_thousand_names_stay_below_the_root_and_no_file_system_refuses_one(tmp_path: Path) -> None:
    """The disk of this machine keeps each of them as it is; the others are asked by their rules."""
    names = 0

    @settings(max_examples=BOOKS)
    @given(TEMPLATES, REQUESTS)
    def check(template: SavePathTemplate, request: DownloadRequest) -> None:
        nonlocal names
        path = template(request)
        parts = below(template.root, path)
        assert len(parts) == template.template.count("/") + 1
        for name in parts:
            assert 0 < len(name.encode()) <= template.max_name_bytes
            assert not refused_by_windows(name)
            assert not reserved_by_python(name)
            assert not refused_by_macos(name)
            assert not misleading(name)
            assert normalize("NFC", name) == name
            assert safe_name(name, template.max_name_bytes) == name
            (tmp_path / name).mkdir()
            assert [found.name for found in tmp_path.iterdir()] == [name]
            (tmp_path / name).rmdir()
        # What may be asked for is what may come back: the path is one that a request can name.
        assert DownloadRequest(title="t", author="a", torrent_url=request.torrent_url, save_path=path).save_path == path
        names += 3

    check()
    assert names >= 10_000


def below(root: str, path: str) -> list[str]:
    """Return the names on the way from the root to the path, in which Windows and Unix must agree."""
    names = re.split(r"[/\\]", path.removeprefix(root).lstrip("/\\"))
    for system in (ntpath, posixpath) if "\\" not in path else (ntpath,):
        inside = system.normpath(system.join(root, "x"))[:-1]
        normal = system.normpath(path)
        assert normal.startswith(inside)
        assert normal.removeprefix(inside).lstrip("\\").split(system.sep) == names
    return names


@given(st.lists(PIECES | st.text(st.characters())).map("".join), st.integers(32, 255))
@example("a\u200d\u0301\u200d\u0915", 32)  # the accent goes to the a, and leaves the second joiner alone
def test_a_safe_name_is_its_own_safe_name(text: str, limit: int) -> None:
    """Whatever the text is: even one that no request can hold."""
    name = safe_name(text, limit)

    assert safe_name(name, limit) == name
    assert not refused_by_windows(name)


def as_on_windows(name: str) -> str:
    """Compare as NTFS does: sign by sign, in upper case."""
    return "".join(character.upper() if len(character.upper()) == 1 else character for character in name).rstrip(" .")


def as_on_macos(name: str) -> str:
    """Compare as APFS does: decomposed and folded."""
    return normalize("NFD", normalize("NFD", name).casefold())


def as_on_linux(name: str) -> str:
    """Compare as ext4 does in a folder without case: the same, without what cannot be seen."""
    return as_on_macos("".join(character for character in name if category(character) != "Cf"))


def as_on_zfs(name: str) -> str:
    """Compare as ZFS does with its widest normal form."""
    return normalize("NFKC", name)


SYSTEMS = (str, as_on_windows, as_on_macos, as_on_linux, as_on_zfs)
Form: TypeAlias = Callable[[str], str]


def normal_form(form: Literal["NFC", "NFD", "NFKC", "NFKD"]) -> Form:
    """Bring a name into a form of Unicode."""
    return lambda name: normalize(form, name)


def with_more(more: str) -> Form:
    """Put something behind a name."""
    return lambda name: name + more


SAME: list[Form] = [
    str,
    str.upper,
    str.lower,
    str.casefold,
    normal_form("NFC"),
    normal_form("NFD"),
    normal_form("NFKC"),
]
FORMS: list[Form] = [*SAME, *map(with_more, ["?", "*", ".", ":", " 2", "\u200b"])]


@st.composite
def batches(draw: st.DrawFn) -> list[DownloadRequest]:
    """Make books that differ little: the same few names in other forms."""
    names = st.sampled_from(draw(st.lists(texts(150), min_size=1, max_size=3)))
    forms = st.builds(lambda name, form: form(name)[:MAX_AUTHOR_LENGTH], names, st.sampled_from(FORMS)).filter(
        str.strip
    )
    return draw(st.lists(st.builds(asked, forms, forms, st.none() | forms), min_size=2, max_size=6))


@settings(max_examples=1_000)
@given(TEMPLATES, batches())
def test_folders_with_different_keys_are_different_on_every_file_system(
    template: SavePathTemplate, batch: list[DownloadRequest]
) -> None:
    """So no two books of a batch come to one folder without being told."""
    for one, other in combinations({template(request) for request in batch}, 2):
        if same_folder_key(one) != same_folder_key(other):
            for system in SYSTEMS:
                seen = [[system(name) for name in re.split(r"[/\\]", path)] for path in (one, other)]
                assert seen[0] != seen[1], system


@given(texts(MAX_TITLE_LENGTH), st.sampled_from(SAME))
def test_other_forms_of_a_path_have_the_same_key(path: str, form: Form) -> None:
    """Other case, other composition, other separators, and detours."""
    key = same_folder_key(path)

    assert same_folder_key(form(path).replace("/", "\\")) == key
    assert same_folder_key(f"{path}/./") == same_folder_key(f"{path}/x/..") == key
