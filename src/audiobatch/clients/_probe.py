"""Ask a port what it speaks, plain HTTP or TLS: for a sentence that says which of the two the URL must name."""

from __future__ import annotations

import socket
import ssl
from contextlib import closing

import httpx

from audiobatch._tls import NO_TLS

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
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with closing(_connect(url)) as connection, context.wrap_socket(connection, server_hostname=url.host):
            return True
    except ssl.SSLEOFError:
        return False
    except ssl.SSLError as error:
        return error.reason not in NO_TLS  # it refuses ours, and says so in TLS
    except (OSError, ValueError):
        return False


def _connect(url: httpx.URL) -> socket.socket:
    return socket.create_connection((url.host, url.port or _PORTS[url.scheme]), _PATIENCE)
