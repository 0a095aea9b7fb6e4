"""Ask a port what it speaks, plain HTTP or TLS: for a sentence that says which of the two the URL must name."""

from __future__ import annotations

import socket
import ssl
from contextlib import closing

import httpx

from audiobatch._tls import accepting_anybody, answers_in_tls

_PATIENCE = 1.0  # seconds for each step
_PORTS = {"http": 80, "https": 443}


def speaks_http(url: httpx.URL) -> bool:
    """Tell whether plain HTTP is answered where the URL leads to, whatever its scheme."""
    try:
        with closing(_connect(url)) as connection:
            connection.sendall(b"HEAD / HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % url.netloc)
            return connection.recv(5) == b"HTTP/"
    except OSError:
        return False


def speaks_tls(url: httpx.URL) -> bool:
    """Tell whether TLS is answered where the URL leads to, whatever its scheme; nothing is sent over it."""
    try:
        with closing(_connect(url)) as plain, accepting_anybody().wrap_socket(plain, server_hostname=url.host):
            return True
    except ssl.SSLError as error:
        return answers_in_tls(error)
    except (OSError, ValueError):
        return False


def _connect(url: httpx.URL) -> socket.socket:
    return socket.create_connection((url.host, url.port or _PORTS[url.scheme]), _PATIENCE)
