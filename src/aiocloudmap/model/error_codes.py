"""AWS's error codes in this library's words.

Both edges read this table, `aiocloudmap.aws` for what came over the wire and `aiocloudmap.local` for what it makes up;
nothing else knows a code of AWS's.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aiocloudmap.errors import (
    AccessDeniedError,
    CloudMapError,
    CredentialsError,
    InvalidRequestError,
    NamespaceNotFoundError,
    RequestError,
    ServiceNotFoundError,
    ThrottledError,
    UnavailableError,
)

if TYPE_CHECKING:
    from aiocloudmap.model.query import ServiceName

__all__ = ["CODES", "DENIED", "INVALID", "NO_NAMESPACE", "NO_SERVICE", "Row", "row_of"]


class Row(NamedTuple):
    """One line of a table: the class, what happened, and what to do about it."""

    kind: type[CloudMapError]
    what: str
    advice: str = ""

    def error(self, what: str = "", *, code: str = "", service: ServiceName | None = None) -> CloudMapError:
        """The error to raise.

        Args:
            what: What happened, where more is known than the row says.
            code: AWS's own word, for the classes that carry it.
            service: Who was asked for.
        """
        fields: dict[str, Any] = {"code": code} if issubclass(self.kind, RequestError) else {}
        return self.kind(what or self.what, advice=self.advice, service=service, **fields)


THROTTLED = Row(
    ThrottledError,
    "AWS limits the rate of requests of this account",
    "Raise CachePolicy.ttl, or ask AWS for a higher DiscoverInstances quota.",
)
_EXPIRED = Row(
    CredentialsError,
    "the AWS credentials have expired",
    "They are loaded anew at the next attempt; where they are written by hand or by a login, renew them.",
)
_UNKNOWN_KEY = Row(
    CredentialsError,
    "AWS does not know the credentials",
    "Check which account and profile they belong to, and whether the key is still active.",
)
_BAD_SIGNATURE = Row(
    CredentialsError,
    "AWS does not accept the signature",
    "Check that the secret key belongs to the access key and that this machine's clock is right.",
)
DENIED = Row(
    AccessDeniedError,
    "access denied",
    "Allow servicediscovery:DiscoverInstances on Resource '*', which may be conditioned on"
    " servicediscovery:NamespaceName and servicediscovery:ServiceName.",
)
INVALID = Row(InvalidRequestError, "AWS finds the request invalid", "Check the names, where, prefer and owner_account.")
_NO_OPERATION = Row(
    RequestError, "the endpoint does not know the operation", "Check endpoint_url and AWS_ENDPOINT_URL."
)
NO_NAMESPACE = Row(
    NamespaceNotFoundError,
    "Cloud Map knows no such namespace",
    "Check four things: that it exists in this account and Region; that the name is its HttpName, which differs from"
    " Name where a name was used twice; owner_account, where another account shares it; and that it was not created a"
    " moment ago.",
)
NO_SERVICE = Row(
    ServiceNotFoundError,
    "the namespace has no such service",
    "Check the name's spelling, and that the service was not created a moment ago.",
)


_ROWS: Final = (
    (NO_NAMESPACE, "NamespaceNotFound"),
    (NO_SERVICE, "ServiceNotFound"),
    (_NO_OPERATION, "UnknownOperationException UnknownOperation InvalidAction"),
    (_EXPIRED, "ExpiredToken ExpiredTokenException TokenRefreshRequired"),
    (
        INVALID,
        """InvalidInput ValidationException ValidationError InvalidParameterValue InvalidParameterCombination
        InvalidParameterException MissingParameter SerializationException""",
    ),
    (
        DENIED,
        """AccessDenied AccessDeniedException UnauthorizedOperation UnauthorizedException NotAuthorized AuthFailure
        ForbiddenException OptInRequired NotSignedUp""",
    ),
    (
        THROTTLED,
        """RequestLimitExceeded Throttling ThrottlingException ThrottledException RequestThrottled
        RequestThrottledException TooManyRequestsException ProvisionedThroughputExceededException
        BandwidthLimitExceeded LimitExceededException SlowDown EC2ThrottledException 429""",
    ),
    (
        _UNKNOWN_KEY,
        """UnrecognizedClientException InvalidClientTokenId InvalidAccessKeyId InvalidToken InvalidTokenException
        MissingAuthenticationToken MissingAuthenticationTokenException""",
    ),
    (
        _BAD_SIGNATURE,
        """SignatureDoesNotMatch InvalidSignatureException IncompleteSignature IncompleteSignatureException
        RequestExpired RequestTimeTooSkewed""",
    ),
)
CODES: Final[Mapping[str, Row]] = MappingProxyType({code: row for row, codes in _ROWS for code in codes.split()})
"""The codes that mean something of their own."""


def row_of(code: str, status: int) -> Row:
    """What an answer with this code and status means.

    A status of 500 and more is an `UnavailableError` unless its code says that AWS throttles; a code that the table
    does not have is a `RequestError` that carries it.
    """
    row = CODES.get(code)
    if status >= 500 and row is not THROTTLED:
        return Row(UnavailableError, f"AWS failed with status {status}")
    return row or Row(
        RequestError,
        f"AWS refused the request with {code or 'no code'}, status {status}",
        "AWS's own words are in the error's __cause__.",
    )
