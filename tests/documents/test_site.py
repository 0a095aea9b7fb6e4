"""The built documentation holds together: links, names, pictures, and nothing from elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from support.public import public_names
from support.snippets import ROOT, documents

if "AUDIOBATCH_SITE" not in os.environ:
    pytest.importorskip("sphinx", reason="the group docs is not installed")
    pytest.importorskip("furo", reason="the group docs is not installed")


class Page(HTMLParser):
    """What a page holds.

    Attributes:
        ids: Where a link can lead to within it.
        links: Where it links to.
        loaded: What a browser loads to show it.
        tags: How many there are of each element.
        without_words: Pictures that say nothing to who cannot see them.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.tags: dict[str, int] = {}
        self.without_words: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        given = {name: value or "" for name, value in attrs}
        self.tags[tag] = self.tags.get(tag, 0) + 1
        if "id" in given:
            self.ids.add(given["id"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload"):
            self.loaded.append(given["href"])
        elif tag in ("img", "script", "iframe", "source") and given.get("src"):
            self.loaded.append(given["src"])
        if tag == "img" and not given.get("alt"):
            self.without_words.append(given.get("src", ""))


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the built site: the one that a variable names, or one built here, with warnings as errors."""
    if "AUDIOBATCH_SITE" in os.environ:
        return Path(os.environ["AUDIOBATCH_SITE"])
    site = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "sphinx", "-n", "-W", "--keep-going", "-q", "-d", f"{site}/.doctrees"]
    built = subprocess.run([*build, f"{ROOT}/docs", f"{site}/html"], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return site / "html"


@cache
def read(path: Path) -> Page:
    """Return a page, read once."""
    return Page(path)


def pages(site: Path) -> Iterator[Path]:
    """Yield every page."""
    found = sorted(site.rglob("*.html"))
    assert found, f"no page below {site}"
    yield from found


def test_no_link_leads_nowhere(site: Path) -> None:
    """Not to a page that is not there, nor to a place that a page does not have."""
    dead = []
    for path in pages(site):
        for link in [*read(path).links, *read(path).loaded]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                dead.append(f"{path.name}: {link}")
            elif parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in read(target).ids:
                dead.append(f"{path.name}: {link} (no such place)")
    assert dead == []


def test_a_page_is_shown_without_the_network(site: Path) -> None:
    """Styles, scripts and pictures are its own."""
    for path in pages(site):
        foreign = [link for link in read(path).loaded if urlsplit(link).netloc]
        assert foreign == [], path.name


def test_every_document_is_a_page(site: Path) -> None:
    """And the landing page leads to it, over the side bar."""
    meant = [document for document in documents() if document.startswith("docs/") and "/examples/" not in document]
    linked = {urlsplit(link).path for link in read(site / "index.html").links}

    for document in meant:
        page = document.removeprefix("docs/").removesuffix(".md") + ".html"
        assert (site / page).is_file()
        assert page == "index.html" or page in linked


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    """With a place of its own, to link to."""
    places = {place for path in (site / "api").glob("*.html") for place in read(path).ids}

    assert [name.path for name in public_names() if not {name.path, f"module-{name.path}"} & places] == []


def test_the_picture_stands_in_the_page(site: Path) -> None:
    """As text that can be read, searched, and shown light or dark, with a title and a description."""
    text = (site / "concepts.html").read_text(encoding="utf-8")
    drawing = text[text.index('class="pipeline"') :].partition("</svg>")[0]

    assert drawing.count("<title") == drawing.count("<desc") == 1
    for step in ("requests", "validate", "look up", "fetch", "reserve", "submit", "confirm", "settle", "outcomes"):
        assert f">{step}</text>" in drawing
    for party in ("tracker", "torrent client", "repository"):
        assert f">{party}</text>" in drawing
    assert 'data-theme="dark"' in drawing
    assert "pipeline.svg" not in text


def test_pictures_have_words_and_pages_one_title(site: Path) -> None:
    """For who listens to them."""
    for path in pages(site):
        assert read(path).without_words == [], path.name
        if path.name not in ("search.html", "genindex.html"):
            assert read(path).tags.get("h1", 0) == 1, path.name
