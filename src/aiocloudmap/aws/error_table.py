"""What AWS, botocore, aiohttp and the system say, in this library's words.

`CODES` is for answers that AWS gave, `EXCEPTIONS` for what went wrong before there was one. `aws.translation` reads
them; nothing else knows a code of AWS's.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import aiohttp
from botocore import exceptions as _B  # noqa: N812 -- two tables full of it

from aiocloudmap.errors import (
    AccessDeniedError,
    CloudMapError,
    ConfigurationError,
    ConnectError,
    CredentialsError,
    DeadlineError,
    InvalidRequestError,
    NamespaceNotFoundError,
    ProtocolError,
    RequestError,
    ServiceNotFoundError,
    ThrottledError,
    UnavailableError,
)

__all__ = ["CODES", "EXCEPTIONS", "Row"]


class Row(NamedTuple):
    """One line of a table: the class, what happened, and what to do about it."""

    kind: type[CloudMapError]
    what: str
    advice: str = ""


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
_INVALID = Row(
    InvalidRequestError, "AWS finds the request invalid", "Check the names, where, prefer and owner_account."
)
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
        _INVALID,
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
"""AWS's error codes. A status of 500 and more is an `UnavailableError` unless its code says that AWS throttles; any
other code is a `RequestError` that carries it."""

_BROKEN = Row(ConnectError, "the connection broke before the answer came")
GARBLED = Row(
    ProtocolError,
    "what came back is not what Cloud Map sends",
    "Check that endpoint_url names Cloud Map, and whether a proxy answers in its place.",
)
_UNREACHABLE = Row(
    ConnectError,
    "the endpoint cannot be reached",
    "Check the Region, endpoint_url, the network's route to it (a VPC without internet access needs the"
    " data-servicediscovery endpoint) and its name resolution.",
)
_TLS = Row(
    ConnectError,
    "TLS could not be agreed on",
    "Check the endpoint's certificate and host name; a certificate authority of your own goes into the file that"
    " AWS_CA_BUNDLE names.",
)
_PROXY = Row(ConnectError, "the HTTP proxy cannot be used", "Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY.")
_NO_CREDENTIALS = Row(
    ConfigurationError,
    "there are no AWS credentials",
    "Give the process a role, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
)
_HALF_CREDENTIALS = Row(
    ConfigurationError,
    "half of the AWS credentials is missing",
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY together.",
)
_NO_REGION = Row(
    ConfigurationError,
    "no AWS Region is set",
    "Set AWS_REGION, write CloudMap(region=...), or a region in the profile.",
)
_BAD_CONFIG = Row(
    ConfigurationError,
    "the AWS configuration cannot be used",
    "Check AWS_PROFILE, AWS_CONFIG_FILE and the profile's entries.",
)
BAD_ENDPOINT = Row(
    ConfigurationError,
    "the endpoint or Region is not valid",
    "Write an endpoint as http://host:port or https://host, a Region as eu-west-1.",
)
BAD_FILE = Row(
    ConfigurationError,
    "a certificate file cannot be read",
    "Check the files that AWS_CA_BUNDLE, verify and client_cert name.",
)
_NO_LOGIN = Row(
    CredentialsError, "the login behind the AWS profile has ended", "Run aws sso login, or aws login, again."
)
NOT_LOADED = Row(
    CredentialsError,
    "the AWS credentials cannot be had",
    "The source named in the configuration does not give them at the moment; the cause says why.",
)
_UNKNOWN_SERVICE = Row(ConfigurationError, "botocore knows no such AWS service", "Check the name given to client().")

BAD_OPTION = Row(
    ConfigurationError, "the AWS client cannot be made of these options", "The cause says which one does not fit."
)
EXCEPTIONS: Final[tuple[tuple[tuple[type[Exception], ...], Row], ...]] = (
    ((_B.NoCredentialsError,), _NO_CREDENTIALS),
    ((_B.PartialCredentialsError,), _HALF_CREDENTIALS),
    ((_B.NoRegionError,), _NO_REGION),
    ((_B.UnknownServiceError,), _UNKNOWN_SERVICE),
    ((_B.ProfileNotFound, _B.ConfigParseError, _B.ConfigNotFound, _B.InvalidConfigError), _BAD_CONFIG),
    ((_B.InvalidRegionError, _B.BaseEndpointResolverError, _B.EndpointProviderError), BAD_ENDPOINT),
    ((_B.InvalidEndpointConfigurationError, _B.UnknownRegionError, _B.ServiceNotInRegionError), BAD_ENDPOINT),
    ((_B.InvalidProxiesConfigError,), _PROXY._replace(kind=ConfigurationError)),
    ((_B.ProxyConnectionError,), _PROXY),
    ((_B.SSOError, _B.TokenRetrievalError), _NO_LOGIN),
    ((_B.CredentialRetrievalError, _B.MetadataRetrievalError, _B.RefreshWithMFAUnsupportedError), NOT_LOADED),
    ((_B.ParamValidationError, _B.ValidationError), _INVALID),
    ((_B.SSLError, aiohttp.ClientSSLError, ssl.SSLError), _TLS),
    ((_B.ConnectTimeoutError,), _UNREACHABLE._replace(what="the endpoint did not accept a connection in time")),
    ((_B.ReadTimeoutError, TimeoutError), Row(DeadlineError, "no answer came within the read time-out")),
    ((_B.EndpointConnectionError,), _UNREACHABLE),
    ((aiohttp.ClientPayloadError, aiohttp.ClientResponseError, RecursionError), GARBLED),
    ((aiohttp.InvalidURL,), BAD_ENDPOINT),
    ((FileNotFoundError, PermissionError, IsADirectoryError), BAD_FILE),
    ((_B.ConnectionClosedError, _B.ResponseStreamingError, _B.HTTPClientError, aiohttp.ClientError), _BROKEN),
    ((_B.IncompleteReadError, _B.ChecksumError), GARBLED),
    ((_B.BotoCoreError,), Row(UnavailableError, "botocore could not complete the request")),
    ((ConnectionError, OSError), _BROKEN),
    # What aiohttp and asyncio raise where a loop or a connector goes away under a call.
    ((AssertionError, RuntimeError), _BROKEN),
)
"""What is raised without an answer from AWS. The first row that fits is the one."""
