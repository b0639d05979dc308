"""What botocore, aiohttp and the system say where AWS gave no answer, in this library's words.

`aws.translation` reads it; what AWS says in its answers is in `aiocloudmap.codes`.
"""

from __future__ import annotations

import ssl
from typing import Final

import aiohttp
from botocore import exceptions as _B  # noqa: N812 - a table full of it

from aiocloudmap.codes import INVALID, Row
from aiocloudmap.errors import (
    ConfigurationError,
    ConnectError,
    CredentialsError,
    DeadlineError,
    ProtocolError,
    UnavailableError,
)

__all__ = ["BAD_ENDPOINT", "BAD_FILE", "BAD_OPTION", "EXCEPTIONS", "GARBLED", "NOT_LOADED", "NO_REGION"]

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
NO_REGION = Row(
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
    ((_B.NoRegionError,), NO_REGION),
    ((_B.UnknownServiceError,), _UNKNOWN_SERVICE),
    ((_B.ProfileNotFound, _B.ConfigParseError, _B.ConfigNotFound, _B.InvalidConfigError), _BAD_CONFIG),
    ((_B.InvalidRegionError, _B.BaseEndpointResolverError, _B.EndpointProviderError), BAD_ENDPOINT),
    ((_B.InvalidEndpointConfigurationError, _B.UnknownRegionError, _B.ServiceNotInRegionError), BAD_ENDPOINT),
    ((_B.InvalidProxiesConfigError,), _PROXY._replace(kind=ConfigurationError)),
    ((_B.ProxyConnectionError,), _PROXY),
    ((_B.SSOError, _B.TokenRetrievalError), _NO_LOGIN),
    ((_B.CredentialRetrievalError, _B.MetadataRetrievalError, _B.RefreshWithMFAUnsupportedError), NOT_LOADED),
    ((_B.ParamValidationError, _B.ValidationError), INVALID),
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
