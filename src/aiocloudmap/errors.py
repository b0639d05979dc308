"""What can go wrong: one tree with one base.

Every error says what happened, to which service, how old the last good answer is where there is one, and what to do
about it. The edges (`aiocloudmap.aws`, `aiocloudmap.local`) translate into these classes once; nothing else does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterable


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
    """Base of every error this library raises on purpose.

    Args:
        what: What happened, as a clause without a full stop.
        service: The service that was asked for, as text like `shop/orders`; None where there is none.
        advice: What to do about it, as a sentence.
        last_good_age: Age in seconds of the last good answer, None if there never was one.
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
        # Ids and attribute names come from whoever registers instances, and a message ends in logs and on terminals.
        return text if text.isprintable() else "".join(map(_escaped, text))

    def again(self, **changes: Any) -> Self:
        """A fresh exception that says the same, so that a remembered error never grows a traceback.

        Args:
            changes: Fields that differ, such as `service`, `last_good_age` or `retry_after`.
        """
        fresh = type(self)(self.what)
        fresh.__dict__.update(self.__dict__ | changes)
        fresh.__cause__ = self.__cause__
        return fresh


class ConfigurationError(CloudMapError, ValueError):
    """A setting or an argument is wrong: no region, no credentials, a bad value, no running asyncio loop.

    Never hidden behind an old answer, never retried: only a change of the program or its environment helps.
    """


class NotFoundError(CloudMapError, LookupError):
    """AWS answered, and what was asked for is not there."""


class NamespaceNotFoundError(NotFoundError):
    """Cloud Map does not know the namespace, for this account, Region and spelling."""


class ServiceNotFoundError(NotFoundError):
    """The namespace is there, and has no service of this name."""


class NoInstancesError(NotFoundError):
    """The service is there, and no instance matches."""


class AttributeNotFoundError(NotFoundError):
    """Instances are there, and none has the attribute.

    Args:
        key: The attribute that was asked for.
        available: The keys there are; the message lists them sorted.
    """

    def __init__(self, what: str, *, key: str = "", available: Iterable[str] = (), **fields: Any) -> None:
        super().__init__(what, **fields)
        self.key = key
        self.available = tuple(sorted(available))


class InvalidAttributeError(CloudMapError, ValueError):
    """An attribute is there, and its value is not what it is read as."""


class RequestError(CloudMapError):
    """AWS refused the request (a status below 500).

    Args:
        code: AWS's own error code, such as `InvalidInput`.
    """

    def __init__(self, what: str, *, code: str = "", **fields: Any) -> None:
        super().__init__(what, **fields)
        self.code = code


class InvalidRequestError(RequestError):
    """AWS found the request invalid."""


class AccessDeniedError(RequestError):
    """The caller's identity may not do this."""


class UnavailableError(CloudMapError):
    """No answer could be had now; a later try may succeed.

    Args:
        retry_after: Seconds until the next attempt will be made; until then the same error comes at once. None where
            nothing holds the next attempt back.
    """

    def __init__(self, what: str, *, retry_after: float | None = None, **fields: Any) -> None:
        super().__init__(what, **fields)
        self.retry_after = retry_after


class ConnectError(UnavailableError):
    """The endpoint could not be reached, or the connection broke."""


class DeadlineError(UnavailableError, TimeoutError):
    """No answer came within the time allowed."""


class ThrottledError(UnavailableError):
    """AWS limits the rate of requests of this account."""


class CredentialsError(UnavailableError):
    """Credentials have expired or cannot be had at the moment."""


class ProtocolError(UnavailableError):
    """What came back is not what AWS sends."""


class ConnectionLimitError(UnavailableError):
    """Every connection that `ConnectionPolicy.max_connections` allows stayed in use for too long.

    Neither an OSError nor a TimeoutError, so that no HTTP layer takes it for one and retries.
    """


class TooManyOpenFilesError(UnavailableError):
    """The process, or the system, has no file descriptor left."""


def _escaped(letter: str) -> str:
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode()


# MERGED extras: What to install where a part of this library misses a library that the plain package does not bring.


def missing_extra(extra: str, error: ImportError) -> ImportError:
    """The error to raise `from` the one that importing the library gave.

    Args:
        extra: The extra of this package that brings it.
        error: What was raised.
    """
    missing = error.name or "a library"
    return ImportError(
        f"{missing} is not installed, and the plain package does not bring it: pip install 'aiocloudmap[{extra}]'",
        name=error.name,
        path=error.path,
    )
