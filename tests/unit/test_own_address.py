"""A public address of one's own machine is one's own network: tried for real, in a network namespace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = ("unshare", "ip")


def can_make_a_namespace() -> bool:
    """Tell whether this machine lets us have a network of our own."""
    if not all(map(shutil.which, COMMANDS)):
        return False
    return subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_make_a_namespace(), reason="a network namespace needs root, unshare and ip (iproute2)")
def test_a_public_address_of_this_machine_is_refused_unless_it_is_trusted() -> None:
    """Of IPv4 and of IPv6; nothing leaves the namespace."""
    command = ["unshare", "--net", sys.executable, "-m", "support.own_address"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout

    lines = told.splitlines()
    # The second address of a network is spoken to from the first one: there, the two ends differ.
    for address in ("8.8.8.8", "8.8.8.9", "2606:4700::1111", "8.8.8.8"):
        refused, trusted = lines.pop(0), lines.pop(0)
        assert refused.startswith(f"{address} leads to this very machine")
        assert trusted == "TorrentFile"
