"""The server's side of TLS, with certificates from a test's own authority."""

from __future__ import annotations

import ssl

import trustme

__all__ = ["tls_of"]


def tls_of(authority: trustme.CA, name: str = "localhost", *, asks: bool = False) -> ssl.SSLContext:
    """Return a context with a certificate for this name or address; `asks` requires one of the client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(context)
    return context
