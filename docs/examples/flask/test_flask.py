"""The Flask example behind gunicorn."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.example_server import Example
from support.server_contract import QueueingServer, RefusingServer


@pytest.fixture(scope="module")
def example() -> Example:
    """Tell how the example is started."""
    command = ["-m", "gunicorn", "app:create_app()", "--bind", "127.0.0.1:{port}"]
    return Example(folder=Path(__file__).parent, command=command)


class TestRefusals(RefusingServer):
    """What needs no torrent client."""


@pytest.mark.daemon
class TestBatches(QueueingServer):
    """What it does with a real qBittorrent."""
