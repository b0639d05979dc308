"""Which error class each error code of AWS becomes.

`aiocloudmap.aws` uses this table for real responses, `aiocloudmap.local` for simulated ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

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
from aiocloudmap.model.query import ServiceName

__all__ = ["CODES", "DENIED", "INVALID", "NO_NAMESPACE", "NO_SERVICE", "Row", "row_of"]


class Row(NamedTuple):
    """The error class, what happened, and what to do about it."""

    kind: type[CloudMapError]
    what: str
    advice: str = ""

    def error(self, what: str = "", *, code: str = "", service: ServiceName | None = None) -> CloudMapError:
        """The error to raise.

        Args:
            what: What happened, if more is known than the row says.
            code: AWS's error code, for the classes that have it.
            service: The service that the request was about.
        """
        fields: dict[str, Any] = {"code": code} if issubclass(self.kind, RequestError) else {}
        return self.kind(what or self.what, advice=self.advice, service=service, **fields)


_THROTTLED = Row(
    ThrottledError,
    "AWS limits the rate of requests of this account",
    "Raise CachePolicy.ttl, or ask AWS for a higher DiscoverInstances quota.",
)
_EXPIRED = Row(
    CredentialsError,
    "the AWS credentials have expired",
    "The next attempt loads them again. If they come from a file or a login, renew them there.",
)
_UNKNOWN_KEY = Row(
    CredentialsError,
    "AWS does not know the credentials",
    "Check which account and profile they belong to, and whether the key is active.",
)
_BAD_SIGNATURE = Row(
    CredentialsError,
    "AWS does not accept the signature",
    "Check that the secret key belongs to the access key and that this machine's clock is right.",
)
DENIED = Row(
    AccessDeniedError,
    "access denied",
    "Allow servicediscovery:DiscoverInstances on Resource '*', with conditions on servicediscovery:NamespaceName and"
    " servicediscovery:ServiceName if needed.",
)
INVALID = Row(
    InvalidRequestError, "AWS considers the request invalid", "Check the names, where, prefer and owner_account."
)
_NO_OPERATION = Row(
    RequestError, "the endpoint does not know the operation", "Check endpoint_url and AWS_ENDPOINT_URL."
)
NO_NAMESPACE = Row(
    NamespaceNotFoundError,
    "the namespace does not exist",
    "Check that it exists in this account and Region, and that the name is its HttpName, which differs from Name if a"
    " name was used twice. Set owner_account if another account shares it. A new namespace takes a moment to appear.",
)
NO_SERVICE = Row(
    ServiceNotFoundError,
    "the service does not exist in this namespace",
    "Check the spelling. A new service takes a moment to appear.",
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
        _THROTTLED,
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
"""The row of each known error code."""


def row_of(code: str, status: int) -> Row:
    """The row for a response with this code and status.

    A status of 500 or more is an `UnavailableError`, unless the code says that AWS throttles. An unknown code is a
    `RequestError`.
    """
    row = CODES.get(code)
    if status >= 500 and row is not _THROTTLED:
        return Row(UnavailableError, f"AWS failed with status {status}")
    return row or Row(
        RequestError,
        f"AWS rejected the request with {code or 'no code'}, status {status}",
        "AWS's own message is in the error's __cause__.",
    )
