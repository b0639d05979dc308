"""What a client holds for one event loop only, made again on each: a client itself serves all of them.

| part | where aiobotocore keeps it | what takes its place |
|---|---|---|
| the rate limiter of adaptive retries | in two event handlers of the client | handlers that call the loop's limiter |
| the credentials of S3 Express buckets | in a cache of the client | a cache for each loop |
| the token of services with bearer tokens | in the session | a token for each loop |

The connector and the session's credentials are replaced by `aws.transport` and `aws.credentials`.
"""

from __future__ import annotations

import asyncio
import inspect
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from aiobotocore.credentials import AioRefreshableCredentials
from aiobotocore.retries.adaptive import register_retry_handler
from aiobotocore.utils import AioS3ExpressIdentityCache

if TYPE_CHECKING:
    from aiobotocore.session import AioSession
    from botocore.config import Config

__all__ = ["TokensPerLoop", "adaptive_retries", "register_adaptive_retries", "register_express_cache"]

T = TypeVar("T")


class _PerLoop(Generic[T]):
    """One part for each event loop, made on first use there. Those of closed loops are dropped."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._parts: dict[asyncio.AbstractEventLoop, T] = {}

    def get(self) -> T:
        loop = asyncio.get_running_loop()
        if (part := self._parts.get(loop)) is None:
            for closed in [other for other in list(self._parts) if other.is_closed()]:
                self._parts.pop(closed, None)
            part = self._parts[loop] = self._make()
        return part


def adaptive_retries(session: AioSession, config: Config | None) -> dict[str, Any] | None:
    """The settings of a client's retries if they are adaptive, else None."""
    default = session.get_default_client_config()
    given = getattr(config, "retries", None) or getattr(default, "retries", None) or {}
    mode = given.get("mode") or session.get_config_variable("retry_mode")
    return dict(given) if mode == "adaptive" else None


def register_adaptive_retries(client: Any) -> None:
    """Add to a client with standard retries what makes them adaptive, for each event loop by itself."""

    def make() -> dict[str, Callable[..., Any]]:
        handlers: dict[str, Callable[..., Any]] = {}
        register_retry_handler(_Recorder(client, handlers))
        return handlers

    limiters = _PerLoop(make)

    def handler(event: str) -> Callable[..., Any]:
        async def call(**arguments: Any) -> Any:
            result = limiters.get()[event](**arguments)
            return await result if inspect.isawaitable(result) else result

        return call

    for event in ("before-send", "needs-retry"):
        client.meta.events.register(event, handler(event))
    client.meta.config.retries["mode"] = "adaptive"


class _Recorder:
    """Looks like a client, and records the handlers that are registered on it."""

    def __init__(self, client: Any, handlers: dict[str, Callable[..., Any]]) -> None:
        self._wrapped = client
        self.meta = SimpleNamespace(events=SimpleNamespace(register=handlers.__setitem__))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)


def register_express_cache(client: Any) -> None:
    """Let an S3 client keep the credentials of S3 Express buckets for each event loop by itself."""
    own = weakref.proxy(client)
    caches = _PerLoop(lambda: AioS3ExpressIdentityCache(own, AioRefreshableCredentials))

    def use(request: Any, **_: Any) -> None:
        signing = request.context.get("signing", {})
        if signing.get("identity_cache") is not None:
            signing["identity_cache"] = caches.get()

    client.meta.events.register_last("before-sign.s3", use)


class TokensPerLoop:
    """A session's `token_provider` whose tokens any event loop can renew.

    Args:
        provider: The session's own.
    """

    def __init__(self, provider: Any) -> None:
        self._provider = provider

    def load_token(self, **scope: Any) -> Any:
        """Return the token, or None if there isn't one."""
        token = self._provider.load_token(**scope)
        if not inspect.iscoroutinefunction(getattr(token, "get_frozen_token", None)):
            return token
        return _Token(_PerLoop(lambda: self._provider.load_token(**scope)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)


class _Token:
    def __init__(self, tokens: _PerLoop[Any]) -> None:
        self._tokens = tokens

    async def get_frozen_token(self) -> Any:
        """Return the value to sign with."""
        return await self._tokens.get().get_frozen_token()
