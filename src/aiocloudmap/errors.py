"""The exceptions, all derived from `CloudMapError`.

A message says what happened, for which service, how old the last good answer is, and what to do about it. Errors of AWS
and of the network are translated into these classes once, where they arise.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

__all__ = [
    "AccessDeniedError",
    "AttributeNotFoundError",
    "CloudMapError",
    "ConfigurationError",
    "ConnectError",
    "ConnectionLimitError",
    "CredentialsError",
    "DeadlineError",
    "InvalidAttributeError",
    "InvalidRequestError",
    "NamespaceNotFoundError",
    "NoInstancesError",
    "NotFoundError",
    "ProtocolError",
    "RequestError",
    "ServiceNotFoundError",
    "ThrottledError",
    "TooManyOpenFilesError",
    "UnavailableError",
]


class CloudMapError(Exception):
    """Base class of this library's errors.

    Args:
        what: What happened, without a full stop.
        service: The service that the call was about, as text like `shop/orders`, or None.
        advice: What to do about it, as a sentence.
        last_good_age: Age of the last good answer in seconds; None if there is no such answer.
    """

    def __init__(
        self,
        what: str,
        *,
        service: object = None,
        advice: str = "",
        last_good_age: float | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.service: str | None = None if service is None else str(service)
        self.advice = advice
        self.last_good_age = last_good_age

    def __str__(self) -> str:
        subject = "" if self.service is None else f"{self.service}: "
        age = "" if self.last_good_age is None else f"; the last good answer is {self.last_good_age:.0f} s old"
        advice = f". {self.advice}" if self.advice else ""
        text = f"{subject}{self.what}{age}{advice}"
        # Ids and attribute names are untrusted, and a message is written to logs and terminals.
        return (
            text
            if text.isprintable()
            else "".join(
                letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text
            )
        )

    def again(self, **changes: Any) -> Self:
        """A copy without a traceback, so that a remembered error can be raised many times.

        Args:
            changes: Attributes that differ, such as `service`, `last_good_age` or `retry_after`.
        """
        fresh = type(self)(self.what)
        fresh.__dict__.update(self.__dict__ | changes)
        fresh.__cause__ = self.__cause__
        return fresh


class ConfigurationError(CloudMapError, ValueError):
    """A setting or an argument is wrong: no region, no credentials, an invalid value, no running asyncio event loop.

    It is never retried and never hidden by an old answer: the program or its environment has to change.
    """


class NotFoundError(CloudMapError, LookupError):
    """AWS answered that something does not exist."""


class NamespaceNotFoundError(NotFoundError):
    """The namespace does not exist in this account and Region."""


class ServiceNotFoundError(NotFoundError):
    """The namespace exists, but the service does not."""


class NoInstancesError(NotFoundError):
    """The service exists, but no instance matches."""


class AttributeNotFoundError(NotFoundError):
    """Instances match, but none of them has the attribute.

    Args:
        key: The attribute that was requested.
        available: The attributes that do exist; kept sorted.
    """

    def __init__(self, what: str, *, key: str = "", available: Iterable[str] = (), **fields: Any) -> None:
        super().__init__(what, **fields)
        self.key = key
        self.available = tuple(sorted(available))


class InvalidAttributeError(CloudMapError, ValueError):
    """An attribute exists, but its value is not valid."""


class RequestError(CloudMapError):
    """AWS rejected the request (a status below 500).

    Args:
        code: AWS's own error code, such as `InvalidInput`.
    """

    def __init__(self, what: str, *, code: str = "", **fields: Any) -> None:
        super().__init__(what, **fields)
        self.code = code


class InvalidRequestError(RequestError):
    """AWS considers the request invalid."""


class AccessDeniedError(RequestError):
    """The IAM identity in use is not allowed to do this."""


class UnavailableError(CloudMapError):
    """No answer is available now; a later attempt may succeed.

    Args:
        retry_after: Seconds until the next attempt. Until then, calls raise the same error at once. None if the next
            call makes an attempt.
    """

    def __init__(self, what: str, *, retry_after: float | None = None, **fields: Any) -> None:
        super().__init__(what, **fields)
        self.retry_after = retry_after


class ConnectError(UnavailableError):
    """The endpoint could not be reached, or the connection broke."""


class DeadlineError(UnavailableError, TimeoutError):
    """No answer arrived in time."""


class ThrottledError(UnavailableError):
    """AWS limits the rate of requests of this account."""


class CredentialsError(UnavailableError):
    """Credentials have expired or are not available at the moment."""


class ProtocolError(UnavailableError):
    """The response is not one that AWS sends."""


class ConnectionLimitError(UnavailableError):
    """All connections that `ConnectionPolicy.max_connections` allows stayed in use for too long.

    It is neither an OSError nor a TimeoutError, so that no HTTP library retries it.
    """


class TooManyOpenFilesError(UnavailableError):
    """The process or the system has no file descriptors left."""


def missing_extra(extra: str, error: ImportError) -> ImportError:
    """The ImportError that says which extra of this package to install.

    Args:
        extra: The extra that installs the missing library.
        error: The original error.
    """
    missing = error.name or "a library"
    return ImportError(
        f"{missing} is not installed; install it with: pip install 'aiocloudmap[{extra}]'",
        name=error.name,
        path=error.path,
    )
