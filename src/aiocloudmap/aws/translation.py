"""From an error of AWS's, botocore's, aiohttp's or the system's to one of ours, by `aws.error_table` and `codes`.

Messages never repeat what came over the wire, but for one thing: why access was denied, which names the caller and the
action. AWS's own words may hold a token (SignatureDoesNotMatch quotes the signed headers) or an attribute's value; they
stay in `__cause__`.
"""

from __future__ import annotations

import errno
import ssl
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from botocore import exceptions as _B  # noqa: N812 - as in the table

from aiocloudmap.aws.causes import causes
from aiocloudmap.aws.error_table import BAD_ENDPOINT, BAD_FILE, BAD_OPTION, EXCEPTIONS, GARBLED, NOT_LOADED
from aiocloudmap.codes import DENIED, NO_NAMESPACE, NO_SERVICE, Row, row_of
from aiocloudmap.errors import (
    CloudMapError,
    ConfigurationError,
    CredentialsError,
    TooManyOpenFilesError,
)
from aiocloudmap.model import ServiceName

__all__ = ["from_call", "from_credentials", "from_setup"]


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
        meaning.service = service
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
