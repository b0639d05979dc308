"""From an exception of botocore, aiohttp or the system to an error of this library.

`EXCEPTIONS` maps what was raised without an answer from AWS; `model.error_codes` maps the codes in AWS's answers. Three
functions read them, one for each place that calls botocore.

Messages never repeat what came over the wire: it may hold a token (SignatureDoesNotMatch quotes the signed headers) or
an attribute's value. It stays in `__cause__`. Only the text of AccessDenied is repeated, which names caller and action.
"""

from __future__ import annotations

import errno
import ssl
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from traceback import walk_tb
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

__all__ = ["EXCEPTIONS", "INVALID_ANSWER", "NO_REGION", "causes", "from_call", "from_credentials", "from_setup"]


_BROKEN = Row(ConnectError, "the connection broke before the answer came")
INVALID_ANSWER = Row(
    ProtocolError,
    "invalid answer: expected Cloud Map's JSON",
    "Check that endpoint_url names Cloud Map, and whether a proxy answers in its place.",
)
_UNREACHABLE = Row(
    ConnectError,
    "the endpoint cannot be reached",
    "Check the Region, endpoint_url, the network's route to it (a VPC without internet access needs the"
    " data-servicediscovery endpoint) and its name resolution.",
)
_BAD_PROXY = Row(ConnectError, "the HTTP proxy cannot be used", "Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY.")
NO_REGION = Row(
    ConfigurationError,
    "no AWS Region is set",
    "Set AWS_REGION, pass CloudMap(region=...), or set a region in the profile.",
)
_BAD_ENDPOINT = Row(
    ConfigurationError,
    "invalid endpoint or Region",
    "Write an endpoint like http://host:port or https://host, a Region like eu-west-1.",
)
_BAD_FILE = Row(
    ConfigurationError,
    "a certificate file cannot be read",
    "Check the files that AWS_CA_BUNDLE, verify and client_cert name.",
)
_BAD_OPTION = Row(ConfigurationError, "invalid options for an AWS client", "See the error's __cause__.")
_NO_SERVICE = Row(ConfigurationError, "botocore does not know the AWS service", "Check the name passed to client().")
_IN_PROCESS = Row(
    UnavailableError,
    "an event handler or a tracer of this process",
    "AWS is not the cause; see the error's __cause__.",
)
_NOT_LOADED = Row(
    CredentialsError,
    "the AWS credentials cannot be loaded",
    "Their source in the configuration does not return them at the moment; see the error's __cause__.",
)

EXCEPTIONS: Final[tuple[tuple[tuple[type[Exception], ...], Row], ...]] = (
    (
        (_B.NoCredentialsError,),
        Row(
            ConfigurationError,
            "no AWS credentials are set",
            "Give the process a role, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
        ),
    ),
    (
        (_B.PartialCredentialsError,),
        Row(
            ConfigurationError,
            "half of the AWS credentials is missing",
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY together.",
        ),
    ),
    ((_B.NoRegionError,), NO_REGION),
    ((_B.UnknownServiceError,), _NO_SERVICE),
    (
        (_B.MissingDependencyException,),
        Row(
            ConfigurationError,
            "an AWS setting needs the package awscrt, which is not installed",
            "Run pip install 'botocore[crt]'. A profile made by aws login needs it.",
        ),
    ),
    (
        (_B.ProfileNotFound, _B.ConfigParseError, _B.ConfigNotFound, _B.InvalidConfigError),
        Row(
            ConfigurationError,
            "invalid AWS configuration",
            "Check AWS_PROFILE, AWS_CONFIG_FILE and the profile's entries.",
        ),
    ),
    ((_B.InvalidRegionError, _B.BaseEndpointResolverError, _B.EndpointProviderError), _BAD_ENDPOINT),
    ((_B.InvalidEndpointConfigurationError, _B.UnknownRegionError, _B.ServiceNotInRegionError), _BAD_ENDPOINT),
    ((_B.InvalidProxiesConfigError,), _BAD_PROXY._replace(kind=ConfigurationError)),
    ((_B.ProxyConnectionError,), _BAD_PROXY),
    (
        (_B.SSOError, _B.TokenRetrievalError),
        Row(CredentialsError, "the login of the AWS profile has expired", "Run aws sso login, or aws login, again."),
    ),
    ((_B.CredentialRetrievalError, _B.MetadataRetrievalError, _B.RefreshWithMFAUnsupportedError), _NOT_LOADED),
    ((_B.ParamValidationError, _B.ValidationError), INVALID),
    (
        (_B.SSLError, aiohttp.ClientSSLError, ssl.SSLError),
        Row(
            ConnectError,
            "the TLS handshake failed",
            "Check the endpoint's certificate and host name; a certificate authority of your own goes into the file"
            " that AWS_CA_BUNDLE names.",
        ),
    ),
    ((_B.ConnectTimeoutError,), _UNREACHABLE._replace(what="the endpoint did not accept a connection in time")),
    ((_B.ReadTimeoutError, TimeoutError), Row(DeadlineError, "no answer came within the read time-out")),
    ((_B.EndpointConnectionError,), _UNREACHABLE),
    ((aiohttp.ClientPayloadError, aiohttp.ClientResponseError, RecursionError), INVALID_ANSWER),
    ((aiohttp.InvalidURL,), _BAD_ENDPOINT),
    ((FileNotFoundError, PermissionError, IsADirectoryError), _BAD_FILE),
    ((_B.ConnectionClosedError, _B.ResponseStreamingError, _B.HTTPClientError, aiohttp.ClientError), _BROKEN),
    ((_B.IncompleteReadError, _B.ChecksumError), INVALID_ANSWER),
    ((_B.BotoCoreError,), Row(UnavailableError, "botocore could not complete the request")),
    ((ConnectionError, OSError), _BROKEN),
    # aiohttp and asyncio raise these if a loop or a connector is closed during a call.
    ((AssertionError, RuntimeError), _BROKEN),
)
"""What was raised without an answer from AWS. The first row that matches counts."""


_HANDLERS: Final = frozenset({"aiobotocore.hooks", "botocore.hooks", "aiohttp.tracing"})
_PARSERS: Final = frozenset({"aiobotocore.parsers", "botocore.parsers"})


def from_call(error: Exception, *, service: ServiceName, region: str = "") -> CloudMapError:
    """The error for a failed call to Cloud Map. Raise it `from` the cause.

    Args:
        error: The client raised it, in a task of our own. A library error is returned itself, with `service` filled in.
        service: The service of the query.
        region: The client's Region, for the message.
    """
    chain = [*causes(error, contexts=True)]
    meaning = _known(chain)
    if meaning is None and (raised := _raised_in_process(error)) is not None:
        meaning = _IN_PROCESS.error(f"{_IN_PROCESS.what} raised {type(raised).__name__}, so no answer was received")
    if meaning is None and isinstance(error, _B.ClientError):
        meaning = _from_response(error, region)
    if meaning is None:
        # botocore's parser has no error of its own for an answer that isn't a JSON object: any exception may come.
        meaning = _error(_row(error) or INVALID_ANSWER, chain)
    if meaning.service is None:
        meaning.service = str(service)
    return meaning


def from_setup(error: Exception) -> CloudMapError:
    """The error for a session or a client that could not be made: a wrong setting, unless something else is known."""
    chain = [*causes(error)]
    if (known := _known(chain)) is not None:
        return known
    row = _row(error)
    if type(error) is ValueError and str(error).startswith("Invalid endpoint"):
        row = _BAD_ENDPOINT
    elif row is None or row.kind is not ConfigurationError:
        # Python's own words for a TypeError name the argument; those of other errors may quote its value.
        row = _BAD_OPTION._replace(what=f"{_BAD_OPTION.what}: {error}") if type(error) is TypeError else _BAD_OPTION
    elif isinstance(error, _B.UnknownServiceError):
        names = str(error.kwargs["known_service_names"]).split(", ")
        nearest = get_close_matches(str(error.kwargs["service_name"]).lower(), names, n=2, cutoff=0.5)
        error.args = (f"Unknown service, {len(names)} are known",)  # it would print all of them
        row = row._replace(advice=f"Write {' or '.join(map(repr, nearest))}.") if nearest else row
    return _error(row, chain)


def from_credentials(error: Exception) -> CloudMapError:
    """The error for credentials that could not be loaded: a wrong setting, or an outage of their source."""
    chain = [*causes(error, contexts=True)]
    if (known := _known(chain)) is not None:
        return known
    if isinstance(error, _B.ClientError):
        code = _text(_fields(error).get("Code"))
        return CredentialsError(f"AWS refused {error.operation_name} ({code})", advice=_NOT_LOADED.advice)
    row = _row(error)
    if row is not None and row.kind in (ConfigurationError, CredentialsError) and row is not _BAD_FILE:
        return _error(row, chain)
    return CredentialsError(f"{_NOT_LOADED.what} ({type(error).__name__})", advice=_NOT_LOADED.advice)


def causes(error: BaseException, *, contexts: bool = False) -> Iterator[BaseException]:
    """The error and everything that led to it, the nearest first, in groups and in botocore's and aiohttp's fields too.

    Args:
        error: What was raised.
        contexts: Whether to follow `__context__`. Only for errors raised in a task of our own: elsewhere it may be an
            exception that the caller was handling, which has nothing to do with this failure.
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


def _raised_in_process(error: Exception) -> Exception | None:
    """What an event handler of botocore, a tracer of aiohttp or a wrapper of the client raised inside the call.

    Only the traceback tells it from what botocore's parser raises for an answer that isn't AWS's.
    """
    wrapped = error.kwargs.get("error") if isinstance(error, _B.HTTPClientError) else None
    raised = wrapped if isinstance(wrapped, Exception) else error
    if isinstance(raised, (_B.BotoCoreError, _B.ClientError, RecursionError)):
        return None
    modules = [str(frame.f_globals.get("__name__")) for frame, _ in walk_tb(raised.__traceback__)]
    if not modules or modules[-1].startswith(("aiobotocore.", "botocore.")):  # their own handlers read answers, too
        return None
    is_handler = not _HANDLERS.isdisjoint(modules)
    is_wrapper = raised is error and _row(error) is None and _PARSERS.isdisjoint(modules)
    return raised if is_handler or is_wrapper else None


def _known(chain: Sequence[BaseException]) -> CloudMapError | None:
    """An error of this library anywhere in the chain, or the error for a process without free file descriptors."""
    for link in chain:
        if isinstance(link, CloudMapError):
            return link if link is chain[0] else link.again()
        if isinstance(link, OSError) and link.errno in (errno.EMFILE, errno.ENFILE):
            return TooManyOpenFilesError(
                "too many open files", advice="Look for what keeps them open in this process; see also ulimit -n."
            )
    return None


def _row(error: Exception) -> Row | None:
    """The error's row in EXCEPTIONS. Two of botocore's errors only wrap another one, whose row says more."""
    if type(error) in (_B.HTTPClientError, _B.ConnectionClosedError):
        wrapped = getattr(error, "kwargs", {}).get("error")
        if isinstance(wrapped, Exception) and (row := _row(wrapped)) is not None:
            return row
    return next((row for kinds, row in EXCEPTIONS if isinstance(error, kinds)), None)


def _error(row: Row, chain: Sequence[BaseException]) -> CloudMapError:
    details = ", ".join(_details(chain))
    return row.error(f"{row.what} ({details})" if details else "")


def _details(chain: Sequence[BaseException]) -> Iterator[str]:
    """What helps in a log and cannot be secret: the host, the setting's name, and the system's error."""
    fields: dict[str, Any] = getattr(chain[0], "kwargs", {})
    if url := fields.get("endpoint_url"):
        yield urlsplit(str(url)).netloc.rpartition("@")[2]
    for name in ("profile", "path", "service_name", "region_name"):
        if name in fields:
            yield f"{name} {_text(fields[name])}"
    system = next((link for link in chain if isinstance(link, OSError) and link.errno), None)
    if isinstance(system, ssl.SSLError):
        # Its number is not a system's error number. One error of the chain has OpenSSL's reason.
        reasons = (getattr(link, "verify_message", "") or getattr(link, "reason", "") for link in chain)
        yield _text(next((words for words in reasons if isinstance(words, str) and words), type(system).__name__))
    elif system is not None:
        yield _text(errno.errorcode.get(system.errno or 0) or system.strerror)


def _from_response(error: Any, region: str) -> CloudMapError:
    fields = _fields(error)
    code = _text(fields.get("Code"))
    metadata = error.response.get("ResponseMetadata", {})
    status = metadata.get("HTTPStatusCode", 0)
    if 300 <= status < 400:
        return INVALID_ANSWER.error(f"invalid answer: a redirect (status {status}), which is not followed")
    row = row_of(code, status)
    retries = metadata.get("RetryAttempts", 0)
    what = f"{row.what} after {retries + 1} attempts" if retries else row.what
    if row in (NO_NAMESPACE, NO_SERVICE) and region:
        what = f"{what} in {region}"
    if row is DENIED:
        what = f"{what}: {_text(fields.get('Message'), limit=400)}"
    return row.error(what, code=code)


def _fields(error: Any) -> Mapping[str, Any]:
    """The code and the message of AWS's answer."""
    fields = error.response.get("Error")
    return fields if isinstance(fields, Mapping) else {}


def _text(value: object, limit: int = 80) -> str:
    """Text from outside for a message: one line, printable, short."""
    text = "".join(letter if letter.isprintable() else " " for letter in str(value or ""))
    return text if len(text) <= limit else text[: limit - 3] + "..."
