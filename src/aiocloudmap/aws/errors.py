"""From an error of AWS's, botocore's, aiohttp's or the system's to one of ours, by `aws.error_table` and `codes`.

Messages never repeat what came over the wire, but for one thing: why access was denied, which names the caller and the
action. AWS's own words may hold a token (SignatureDoesNotMatch quotes the signed headers) or an attribute's value; they
stay in `__cause__`.
"""

from __future__ import annotations

import errno
import ssl
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from botocore import exceptions as _B  # noqa: N812 - a table full of it

from aiocloudmap.errors import (
    CloudMapError,
    ConfigurationError,
    ConnectError,
    CredentialsError,
    DeadlineError,
    ProtocolError,
    TooManyOpenFilesError,
    UnavailableError,
)
from aiocloudmap.model.error_codes import DENIED, INVALID, NO_NAMESPACE, NO_SERVICE, Row, row_of
from aiocloudmap.model.query import ServiceName

__all__ = [
    "BAD_ENDPOINT",
    "BAD_FILE",
    "BAD_OPTION",
    "EXCEPTIONS",
    "GARBLED",
    "NOT_LOADED",
    "NO_REGION",
    "causes",
    "from_call",
    "from_credentials",
    "from_setup",
]


# MERGED aws/causes: What led to an error: by cause, by context, in groups, and in botocore's and aiohttp's own ways.


def causes(error: BaseException, *, contexts: bool = False) -> Iterator[BaseException]:
    """The error and everything that led to it, the nearest first.

    Args:
        error: What was raised.
        contexts: Whether to follow what was being handled when it was raised. For errors that were raised in a task of
            our own: elsewhere what the caller was handling when it called has nothing to do with this failure.
    """
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        link = waiting.pop(0)
        if not isinstance(link, BaseException) or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        fields = getattr(link, "kwargs", None)
        wrapped = fields.get("error") if isinstance(fields, dict) else None
        waiting += [link.__cause__, link.__context__ if contexts else None, wrapped, getattr(link, "os_error", None)]
        waiting += link.exceptions if isinstance(link, BaseExceptionGroup) else ()


# MERGED aws/error_table: What botocore, aiohttp and the system say where AWS gave no answer, in this library's words.
#
# `aws.translation` reads it; what AWS says in its answers is in `aiocloudmap.model.error_codes`.
#


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


def from_call(error: Exception, *, service: ServiceName, region: str = "") -> CloudMapError:
    """What a failed call to Cloud Map means. Raise it `from` the error.

    Args:
        error: What came out of the client, in a task of our own. A library error is returned itself, with `service`
            filled in.
        service: Who was asked for.
        region: Where, for the message.
    """
    chain = [*causes(error, contexts=True)]
    meaning = _known(chain)
    if meaning is None and isinstance(error, _B.ClientError):
        meaning = _from_response(error, region)
    if meaning is None:
        # botocore's parser has no error of its own for an answer that is no JSON object: it stumbles over it.
        meaning = _made(_row(error) or GARBLED, chain)
    if meaning.service is None:
        meaning.service = str(service)
    return meaning


def from_setup(error: Exception) -> CloudMapError:
    """What a session or a client that cannot be made means: a setting, where nothing else fits."""
    chain = [*causes(error)]
    known = _known(chain)
    if known is not None:
        return known
    if type(error) is ValueError and str(error).startswith("Invalid endpoint"):
        return _made(BAD_ENDPOINT, chain)
    row = _row(error)
    if row is not None and row.kind is ConfigurationError:
        return _made(row, chain)
    # Python's own words name the argument; those of other errors may quote its value.
    return _made(
        BAD_OPTION._replace(what=f"{BAD_OPTION.what}: {error}") if type(error) is TypeError else BAD_OPTION, chain
    )


def from_credentials(error: Exception) -> CloudMapError:
    """What a failure to load credentials means: a setting that is wrong, or credentials that cannot be had now.

    Args:
        error: What came out of the chain of providers, in a task of our own.
    """
    chain = [*causes(error, contexts=True)]
    known = _known(chain)
    if known is not None:
        return known
    if isinstance(error, _B.ClientError):
        code = _text(_error_of(error).get("Code"))
        return CredentialsError(f"AWS refused {error.operation_name} ({code})", advice=NOT_LOADED.advice)
    row = _row(error)
    if row is not None and row.kind in (ConfigurationError, CredentialsError) and row is not BAD_FILE:
        return _made(row, chain)
    return CredentialsError(f"{NOT_LOADED.what} ({type(error).__name__})", advice=NOT_LOADED.advice)


def _known(chain: Sequence[BaseException]) -> CloudMapError | None:
    """An error of this library, wherever in the chain, or the one for a process without file descriptors left."""
    for link in chain:
        if isinstance(link, CloudMapError):
            return link if link is chain[0] else link.again()
        if isinstance(link, OSError) and link.errno in (errno.EMFILE, errno.ENFILE):
            return TooManyOpenFilesError(
                "too many open files", advice="Look for what keeps them open in this process; see also ulimit -n."
            )
    return None


def _row(error: Exception) -> Row | None:
    """The row of the error. botocore's catch-all and its closed connection say less than what they wrap."""
    if type(error) in (_B.HTTPClientError, _B.ConnectionClosedError):
        wrapped = getattr(error, "kwargs", {}).get("error")
        if isinstance(wrapped, Exception) and (row := _row(wrapped)) is not None:
            return row
    return next((row for kinds, row in EXCEPTIONS if isinstance(error, kinds)), None)


def _made(row: Row, chain: Sequence[BaseException]) -> CloudMapError:
    details = ", ".join(_details(chain))
    return row.error(f"{row.what} ({details})" if details else "")


def _details(chain: Sequence[BaseException]) -> Iterator[str]:
    """Host and system error: what somebody who reads a log needs, and nothing that could be secret."""
    fields: dict[str, Any] = getattr(chain[0], "kwargs", {})
    if url := fields.get("endpoint_url"):
        yield urlsplit(str(url)).netloc.rpartition("@")[2]
    for name in ("profile", "path", "service_name", "region_name"):
        if name in fields:
            yield f"{name} {_text(fields[name])}"
    system = next((link for link in chain if isinstance(link, OSError) and link.errno), None)
    if isinstance(system, ssl.SSLError):
        # Its number is no error of the system's, though it looks like one; what is wrong is told by one of the chain.
        told = (getattr(link, "verify_message", "") or getattr(link, "reason", "") for link in chain)
        yield _text(next((words for words in told if isinstance(words, str) and words), type(system).__name__))
    elif system is not None:
        yield _text(errno.errorcode.get(system.errno or 0) or system.strerror)


def _from_response(error: Any, region: str) -> CloudMapError:
    fields = _error_of(error)
    code = _text(fields.get("Code"))
    metadata = error.response.get("ResponseMetadata", {})
    status = metadata.get("HTTPStatusCode", 0)
    if 300 <= status < 400:
        return GARBLED.error(f"{GARBLED.what} (a redirect, status {status}, which is not followed)")
    row = row_of(code, status)
    what = f"{row.what}{_attempts(metadata)}"
    if row in (NO_NAMESPACE, NO_SERVICE) and region:
        what = f"{what} in {region}"
    if row is DENIED:
        what = f"{what}: {_text(fields.get('Message'), limit=400)}"
    return row.error(what, code=code)


def _attempts(metadata: Mapping[str, Any]) -> str:
    retries = metadata.get("RetryAttempts", 0)
    return f" after {retries + 1} attempts" if retries else ""


def _error_of(error: Any) -> Mapping[str, Any]:
    fields = error.response.get("Error")
    return fields if isinstance(fields, Mapping) else {}


def _text(value: object, limit: int = 80) -> str:
    """A stranger's words for a message: one line, printable, short."""
    text = "".join(letter if letter.isprintable() else " " for letter in str(value or ""))
    return text if len(text) <= limit else text[: limit - 3] + "..."
