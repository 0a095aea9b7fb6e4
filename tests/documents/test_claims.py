"""What tables and blocks of the documents claim is what the code says."""

from __future__ import annotations

import json
import re
import shlex
import sys
import tomllib
from pathlib import Path
from typing import Any, get_args

import attrs
import pytest

from audiobatch import DownloadRequest, FailureCode, __main__, _tls, events, wire
from audiobatch.clients import _exchange, _http, qbittorrent
from support.snippets import ROOT, blocks, documents, tables

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
COMMAND = re.compile(r"(?:^|[ /])audiobatch (?=[a-z])(.*)")
# Codes of what is raised before a batch begins, of branches, and of what becomes `unconfirmed` or a success.
NEVER_OF_AN_ITEM = {"error", "configuration", "invalid_batch", "empty_batch", "batch_too_large", "not_added"}


def words(cell: str) -> list[str]:
    """Return what stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def commands() -> list[tuple[str, str]]:
    """Return each command of ours in each document, as it is typed."""
    return [
        (document, found[1])
        for document in documents()
        for block in blocks(document, "sh")
        for line in block.replace("\\\n", " ").splitlines()
        if (found := COMMAND.search(line))
    ]


@pytest.mark.parametrize(("document", "typed"), commands())
def test_a_command_can_be_typed(document: str, typed: str) -> None:
    """The command knows what is given to it."""
    given = __main__._parser().parse_args(shlex.split(typed, comments=True))

    assert given.command in ("run", "demo"), document


def test_the_readme_names_options_that_there_are() -> None:
    """In its text, too."""
    named = set(re.findall(r"--[a-z][a-z-]+", (ROOT / "README.md").read_text()))

    assert named <= options("run")


def options(command: str) -> set[str]:
    """Return the options of a command."""
    commands: Any = next(action for action in __main__._parser()._actions if action.dest == "command")
    known = {option for action in commands.choices[command]._actions for option in action.option_strings}
    return known - {"-h", "--help"}


def test_the_page_of_the_command_names_everything() -> None:
    """All options, variables and exit statuses, and no others."""
    table, variables, statuses = tables("docs/command-line.md")
    source = Path(__main__.__file__).read_text()

    assert {words(option)[0].split()[0] for option, _ in table} == options("run")
    assert {word for cell, _ in variables for word in words(cell)} == set(re.findall(r"AUDIOBATCH_[A-Z_]+", source))
    assert [int(status) for status, _ in statuses] == [
        __main__.EXIT_OK,
        __main__.EXIT_SOME_FAILED,
        __main__.EXIT_REFUSED,
    ]


def test_the_command_is_a_script_of_the_project() -> None:
    """Under the name that it gives itself."""
    assert PROJECT["project"]["scripts"] == {__main__._parser().prog: "audiobatch.__main__:main"}


def test_extras_are_those_of_the_project() -> None:
    """Whatever is installed by name exists, and the quickstart tells of each extra."""
    extras = set(PROJECT["project"]["optional-dependencies"])
    (table,) = tables("docs/quickstart.md")

    assert {words(extra)[0] for extra, _ in table} == extras
    for document in documents():
        installed = re.findall(r"audiobatch\[([a-z,]+)\]", (ROOT / document).read_text())
        assert {name for names in installed for name in names.split(",")} <= extras, document


def test_sessions_of_nox_that_are_named_exist() -> None:
    """As functions of the noxfile."""
    defined = set(re.findall(r"^def ([a-z]\w*)\(session", (ROOT / "noxfile.py").read_text(), re.MULTILINE))

    for document in documents():
        assert set(re.findall(r"nox -s (\w+)", (ROOT / document).read_text())) <= defined, document


def test_batches_as_json_are_valid() -> None:
    """Each request in them, too."""
    found = [block for document in documents() for block in blocks(document, "json")]

    assert found
    for block in found:
        for item in json.loads(block).get("downloads", ()):
            wire.load_request(item)


def test_concepts_name_all_fields_of_a_request_and_all_codes_of_an_item() -> None:
    """And no others."""
    fields, codes = tables("docs/concepts.md")

    assert {word for cell, _ in fields for word in words(cell)} == {
        attribute.name for attribute in attrs.fields(DownloadRequest)
    }
    assert {word for cell, *_ in codes for word in words(cell)} == set(FailureCode) - NEVER_OF_AN_ITEM


def test_the_table_of_events_is_complete() -> None:
    """With all fields of each, but for the batch."""
    table, _ = tables("docs/events.md")
    told = {words(event)[0]: set(words(fields)) for event, _, fields in table}

    assert told == {
        event.__name__: {attribute.name for attribute in attrs.fields(event)} - {"batch"}
        for event in get_args(events.BatchEvent)
    }


def test_the_sentences_of_qbittorrent_are_those_of_the_client() -> None:
    """Whoever looks for one finds it on the page."""
    *_, certificates, troubles = tables("docs/qbittorrent.md")
    modules = (qbittorrent, _http, _exchange, _tls)
    source = "".join(Path(str(module.__file__)).read_text() for module in modules)
    said = re.sub(r'"\s*\n\s*f?"', "", source)

    for sentence, _ in [*certificates, *troubles]:
        assert words(sentence), sentence
        assert all(part in said for part in words(sentence)), sentence


def test_the_ports_of_the_compose_file_agree() -> None:
    """Inside, outside, and in the variable."""
    (compose,) = blocks("docs/qbittorrent.md", "yaml")
    (told,) = re.findall(r'WEBUI_PORT: "(\d+)"', compose)

    assert f'"{told}:{told}"' in compose
    assert len(re.findall(rf"\b{told}\b", compose)) == 3


def test_the_pythons_that_are_named_are_supported() -> None:
    """The oldest, in README and quickstart; and it is no newer than this one."""
    oldest = PROJECT["project"]["requires-python"].removeprefix(">=")

    for document in ("README.md", "docs/quickstart.md"):
        assert f"Python {oldest} or later" in (ROOT / document).read_text()
    assert sys.version_info >= tuple(map(int, oldest.split(".")))


def test_the_routes_of_servers_are_those_of_the_examples() -> None:
    """Each web example has them all."""
    _, routes, _ = tables("docs/servers.md")
    told = {route.split()[1].removesuffix("/ID") for cell, _ in routes for route in words(cell)}
    examples = ROOT / "docs" / "examples"

    assert told == {"/api/downloads/batch", "/api/downloads/batches", "/api/downloads/batch/stream"}
    for name in ("fastapi/main.py", "flask/app.py"):
        source = (examples / name).read_text(encoding="utf-8")
        assert [route for route in told if f'"{route}"' not in source] == [], name
    django = (examples / "django/downloads/urls.py").read_text(encoding="utf-8")
    assert [route for route in told if f'"{route.removeprefix("/api/downloads/")}"' not in django] == []
