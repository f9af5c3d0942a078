"""TLS to registries: whom to trust, and words for why somebody is not.

Beside what the system trusts, a directory per registry may hold more, as dockerd
reads them: ``*.crt`` are certificates of authorities, ``*.cert`` with ``*.key`` are
certificates to show.
"""

import contextlib
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Final


__all__ = ["CERTIFICATES", "TLSFilesError", "is_plain_http", "tls_context", "tls_failure"]

CERTIFICATES: Final = (Path("/etc/docker/certs.d"), Path("/etc/palan/certs.d"))
"""Where each registry may have a directory of its own, named like its ``host[:port]``."""

# Numbers of OpenSSL's verification results (openssl-verification-options(1)).
_UNKNOWN_AUTHORITY: Final = frozenset({2, 18, 19, 20, 21, 27})
_NOT_NOW: Final = frozenset({9, 10})
_OTHER_NAME: Final = frozenset({62, 64})

# What OpenSSL finds wrong, by version, when it is answered in plain HTTP.
_PLAIN_HTTP: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})


class TLSFilesError(Exception):
    """The files of a registry are not as they should be."""


def tls_context(
    host: str, *, verify: bool, certificates: Iterable[Path] = CERTIFICATES
) -> ssl.SSLContext:
    """How to speak TLS with a registry.  Reads files; takes some 30 ms if it is to verify.

    Args:
        host: the registry, ``host`` or ``host:port``.
        verify: whether it must prove to be who it is.
        certificates: directories that may have one named ``host``.

    Raises:
        TLSFilesError: the files for the host cannot be used.
    """
    if not verify:
        # Not from create_default_context: loading everybody's authorities is what is slow.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        # Whoever it is, it may want to know who we are.
        with contextlib.suppress(TLSFilesError):
            for directory in certificates:
                _load(context, directory / host)
        return context
    context = ssl.create_default_context()
    for directory in certificates:
        _load(context, directory / host)
    return context


def _load(context: ssl.SSLContext, directory: Path) -> None:
    try:
        files = sorted(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise TLSFilesError(f"open {directory}: {error.strerror}") from None
    for file in files:
        key, certificate = file.with_suffix(".key"), file.with_suffix(".cert")
        try:
            if file.suffix == ".crt":
                context.load_verify_locations(file)
            elif file.suffix == ".cert" and key not in files:
                raise TLSFilesError(
                    f"missing key {key.name} for client certificate {file.name}. "
                    "CA certificates must use the extension .crt"
                )
            elif file.suffix == ".key" and certificate not in files:
                raise TLSFilesError(
                    f"missing client certificate {certificate.name} for key {file.name}"
                )
            elif file.suffix == ".cert":
                context.load_cert_chain(file, key)
        except OSError as error:  # ssl.SSLError is one
            raise TLSFilesError(f"{file} cannot be used: {error.strerror}") from None


def is_plain_http(error: OSError) -> bool:
    """Whether a handshake failed because it was answered in plain HTTP."""
    return isinstance(error, ssl.SSLError) and error.reason in _PLAIN_HTTP


def tls_failure(error: OSError, host: str) -> str:
    """Why a handshake with ``host`` failed, in dockerd's words and what would help."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: x509: {_distrust(error, host)}"
    if isinstance(error, TimeoutError):
        return "net/http: TLS handshake timeout"
    if isinstance(error, ssl.SSLError):
        if is_plain_http(error):
            return "http: server gave HTTP response to HTTPS client"
        if isinstance(error, ssl.SSLEOFError):
            return "EOF"
        return f"tls: {(error.reason or 'handshake failure').lower().replace('_', ' ')}"
    return (error.strerror or "connection broken").lower()


def _distrust(error: ssl.SSLCertVerificationError, host: str) -> str:
    code = error.verify_code
    if code in _UNKNOWN_AUTHORITY:
        return (
            "certificate signed by unknown authority (put the authority's certificate into "
            f"{CERTIFICATES[0] / host}/ca.crt, or add {host} to insecure-registries)"
        )
    if code in _NOT_NOW:
        return "certificate has expired or is not yet valid"
    if code in _OTHER_NAME:
        return f"certificate is not valid for {host}"
    return error.verify_message
