"""What is wrong with TLS between us and a server, in words; and whom a file of certificates makes us accept."""

from __future__ import annotations

import os
import re
import ssl
from typing import Final, TypeAlias

from audiobatch.errors import ConfigurationError

Verify: TypeAlias = ssl.SSLContext | str | os.PathLike[str]
"""Whom to accept: a file of certificates (PEM), or a context of one's own."""

NOT_TLS: Final = "does not speak TLS: is http:// meant?"
TLS_ONLY: Final = "speaks TLS: is https:// meant?"

_WANTS_TLS: Final = re.compile(rb"plain HTTP request was sent to HTTPS|plain HTTP to an SSL|HTTP request to an HTTPS")

# The codes of OpenSSL (X509_V_ERR_...).
_UNKNOWN_ISSUER: Final = frozenset({2, 18, 19, 20, 21, 24, 27})
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_OTHER_NAME: Final = frozenset({62, 63, 64})

NO_TLS: Final = frozenset(
    {
        *("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "UNKNOWN_PROTOCOL"),
        *("RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "BAD_RECORD_TYPE"),
    }
)
_TOO_OLD: Final = frozenset(
    {
        *("UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "NO_PROTOCOLS_AVAILABLE", "VERSION_TOO_LOW"),
        *("DH_KEY_TOO_SMALL", "UNSAFE_LEGACY_RENEGOTIATION_DISABLED", "LEGACY_SIGALG_DISALLOWED_OR_UNSUPPORTED"),
    }
)


def wants_tls(body: bytes) -> bool:
    """Tell by the page with which nginx, Apache and Go answer 400 that plain HTTP came where they expect TLS."""
    return _WANTS_TLS.search(body) is not None


def tls_trouble(error: BaseException, argument: str) -> str | None:
    """Say what is wrong with a server's TLS, if that is why a call failed and will not pass by itself.

    Args:
        error: What the call raised; the cause may lie further down its chain.
        argument: What to give a certificate, or a context, as.

    Returns:
        The rest of a sentence that begins with the server; or None.
    """
    cause = _ssl_error_in(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _certificate_trouble(cause, argument)
    if cause is None or isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError):
        return None  # the connection ended, which may pass
    return _handshake_trouble(cause.reason or "", argument)


def _handshake_trouble(reason: str, argument: str) -> str | None:
    if reason in NO_TLS:
        return NOT_TLS
    if reason in _TOO_OLD:
        return f"speaks TLS that is too old to be safe ({reason}): update it"
    if "CERTIFICATE_REQUIRED" in reason:
        return f"asks for a certificate of ours: give a context that has one as {argument}"
    if "ALERT" in reason or "CIPHER" in reason:
        return f"does not agree with us on TLS ({reason}): is the name in the URL right?"
    return None


def _certificate_trouble(error: ssl.SSLCertVerificationError, argument: str) -> str:
    code = error.verify_code
    if code in _UNKNOWN_ISSUER:
        return (
            "shows a certificate that is not accepted, because its authority is not known here: "
            f"give the file of that certificate, or of its authority, as {argument}"
        )
    if code in _OTHER_NAME:
        return "shows a certificate that is not accepted, because it is for another name: use the name it is made for"
    if code == _EXPIRED:
        return "shows a certificate that is not accepted, because it has expired: renew it"
    if code == _NOT_YET_VALID:
        return (
            "shows a certificate that is not accepted, because it is not valid yet: is the clock of this machine right?"
        )
    return (
        f"shows a certificate that is not accepted ({error.verify_message}): mend it, or give a context as {argument}"
    )


def _ssl_error_in(error: BaseException) -> ssl.SSLError | None:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def answers_in_tls(error: ssl.SSLError) -> bool:
    """Tell whether a handshake failed although the other side speaks TLS: it refuses ours."""
    return not isinstance(error, ssl.SSLEOFError) and error.reason not in NO_TLS


def accepting_anybody() -> ssl.SSLContext:
    """Return a context to find out with whether TLS is spoken, over which nothing is to be sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def accepting(verify: Verify, argument: str, context: ssl.SSLContext | None = None) -> ssl.SSLContext:
    """Return a context that accepts what the file of certificates vouches for; a context comes back as it is.

    A certificate that signs itself is accepted if it is the one in the file.

    Args:
        verify: The file, or a context.
        argument: What the caller calls it.
        context: What to add the certificates to, instead of a context that accepts nobody else.

    Raises:
        ConfigurationError: There is no such file, or no certificate in it.
    """
    if isinstance(verify, ssl.SSLContext):
        return verify
    if not isinstance(verify, str | os.PathLike):
        raise ConfigurationError(f"{argument} takes a file of certificates (PEM), or an ssl.SSLContext")
    try:
        made = context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.load_verify_locations(cafile=verify)
    except (OSError, ValueError) as error:
        why = "no certificate in it" if isinstance(error, ssl.SSLError | ValueError) else error.strerror
        raise ConfigurationError(f"the file given as {argument} cannot be used: {why}") from None
    # What stands in the file is trusted itself, not only as an authority; the same on every Python.
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return made
