"""The faults that fail a call, with their error classes: the same in process and over the wire."""

from __future__ import annotations

from typing import Final

from aiocloudmap import (
    AccessDeniedError,
    CloudMapError,
    ConnectError,
    CredentialsError,
    ProtocolError,
    ThrottledError,
    UnavailableError,
)

__all__ = ["NAMED_FAULTS"]

NAMED_FAULTS: Final[list[tuple[str, type[CloudMapError]]]] = [
    ("access_denied", AccessDeniedError),
    ("empty", ProtocolError),
    ("expired_token", CredentialsError),
    ("garbage", ProtocolError),
    ("reset", ConnectError),
    ("server_error", UnavailableError),
    ("throttle", ThrottledError),
    ("truncate", ProtocolError),
]
