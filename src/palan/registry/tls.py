"""TLS with registries: certificates, and messages for failed handshakes.

In addition to the system's certificate authorities, a directory per registry may hold more, as
dockerd reads them: ``*.crt`` are CA certificates, ``*.cert`` with ``*.key`` are client
certificates.
"""

import contextlib
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Final


__all__ = ["CERTIFICATES", "TLSFilesError", "is_plain_http", "tls_context", "tls_failure"]

CERTIFICATES: Final = (Path("/etc/docker/certs.d"), Path("/etc/palan/certs.d"))
"""Directories that may have a subdirectory named ``host[:port]`` for each registry."""

# Numbers of OpenSSL's verification results (openssl-verification-options(1)).
_UNKNOWN_AUTHORITY: Final = frozenset({2, 18, 19, 20, 21, 27})
_NOT_NOW: Final = frozenset({9, 10})
_OTHER_NAME: Final = frozenset({62, 64})

# OpenSSL's reasons, by version, for an answer in plain HTTP.
_PLAIN_HTTP: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})


class TLSFilesError(Exception):
    """The certificate files of a registry are unusable."""


def tls_context(
    host: str, *, verify: bool, certificates: Iterable[Path] = CERTIFICATES
) -> ssl.SSLContext:
    """Return the TLS context for a registry. Reads files; takes some 30 ms with ``verify``.

    Args:
        host: the registry, ``host`` or ``host:port``.
        verify: whether the registry needs a valid certificate.
        certificates: directories that may have a subdirectory named ``host``.

    Raises:
        TLSFilesError: the files for the host cannot be used.
    """
    if not verify:
        # Not create_default_context(): loading the system's CA certificates is the slow part.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        # The registry may still ask for a client certificate.
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
    """Return why a handshake with ``host`` failed, in dockerd's words, and a remedy if any."""
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
