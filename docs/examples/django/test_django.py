"""The Django example behind gunicorn, with two processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.example_server import Example
from support.server_contract import QueueingServer, RefusingServer


@pytest.fixture(scope="module")
def example() -> Example:
    """Tell how the example is started."""
    command = ["-m", "gunicorn", "bookshelf.wsgi", "--bind", "127.0.0.1:{port}"]
    return Example(folder=Path(__file__).parent, command=command, prepare=["manage.py", "migrate", "--verbosity=0"])


class TestRefusals(RefusingServer):
    """What needs no torrent client."""


@pytest.mark.daemon
class TestBatches(QueueingServer):
    """What it does with a real qBittorrent, and with its records in Django's database."""

    records = "downloads_record"
