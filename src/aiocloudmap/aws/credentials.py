"""Credentials that any event loop can use and renew.

aiobotocore's own refreshable credentials hold a lock and an HTTP session of the event loop that used them first. Later
loops and other threads fail on them. Here the values belong to the process, and everything that is bound to a loop is
gone when a load has ended:

| held credentials | the caller gets | what else happens |
|---|---|---|
| good | them, at once | nothing |
| near their end | new ones if they come within RENEWAL_WAIT, else the held ones | one attempt per RENEWAL_INTERVAL |
| expired or missing | new ones, or the error of the load | one load per event loop, shared by all callers on it |
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aiobotocore.credentials import (
    AioAssumeRoleProvider,
    AioAssumeRoleWithWebIdentityProvider,
    AioContainerProvider,
    AioCredentialResolver,
    AioInstanceMetadataProvider,
    AioSSOProvider,
    create_credential_resolver,
)
from botocore.exceptions import NoCredentialsError

from aiocloudmap.aws.errors import from_credentials
from aiocloudmap.aws.shared_call import SharedCalls
from aiocloudmap.errors import CloudMapError, ConfigurationError, CredentialsError

if TYPE_CHECKING:
    from aiobotocore.session import AioSession

__all__ = ["CredentialChain", "SharedCredentials"]

EXPIRED: Final = 30
"""Seconds before their end from which credentials count as expired: a request under way must outlive them."""

RENEWAL_WAIT: Final = 1.0
"""Seconds that a caller waits for new credentials while the held ones still work."""

RENEWAL_INTERVAL: Final = 30.0
"""Seconds between two attempts to renew credentials that still work."""

LOAD_TIMEOUT: Final = 60.0
"""Seconds that one load may take. A credential process may ask a person for a code; one that hangs must not block."""


class _Held(NamedTuple):
    """Loaded credentials: the object that knows when they end, and their values."""

    source: Any
    frozen: Any

    def __repr__(self) -> str:
        return f"<_Held from {type(self.source).__name__}>"  # the values are secret

    def ends_within(self, seconds: int | None) -> bool:
        """Whether they end soon; None stands for botocore's own margin."""
        refresh_needed = getattr(self.source, "refresh_needed", None)  # static credentials do not have it
        return refresh_needed is not None and bool(refresh_needed(seconds))


class SharedCredentials:
    """botocore's credentials interface over values that all event loops share.

    It is its own `credential_provider` component. So a client never keeps the credentials of one moment, and making a
    client does no I/O.

    Args:
        load: Returns a fresh credentials object, or None if there aren't any. Runs on the caller's event loop.
        source: Returns what `load` is asking, for messages.
        monotonic: Seconds that never run backwards.
    """

    method = "shared"

    def __init__(
        self,
        load: Callable[[], Awaitable[Any]],
        *,
        source: Callable[[], str] = lambda: "their source",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._source = source
        self._monotonic = monotonic
        self.held: _Held | None = None
        """What the next request would be signed with."""
        self._had_some = False
        self._generation = 0
        self._next_renewal = float("-inf")
        self._calls = SharedCalls()

    async def load_credentials(self) -> SharedCredentials:
        """Return itself, without loading anything: the interface of a `credential_provider`."""
        return self

    async def get_frozen_credentials(self) -> Any:
        """Return the values to sign with.

        Cancelling one of several callers leaves the load to the others. Cancelling the last one ends it, unless it
        renews credentials that still work, or `waited_for` keeps it.

        Raises:
            NoCredentialsError: botocore's own. There aren't any, and there never were.
            CredentialsError: They have expired, or cannot be loaded now.
            ConfigurationError: A setting for their source is wrong.
        """
        held = self.held
        if held is None or held.ends_within(EXPIRED):
            return (await self._new()).frozen
        now = self._monotonic()
        if now >= self._next_renewal and held.ends_within(None):
            self._next_renewal = now + RENEWAL_INTERVAL
            return (await self._renewed(held)).frozen
        return held.frozen

    async def get_account_id(self) -> Any:
        """Return the account of the credentials, None if their source does not know it."""
        return getattr(await self.get_frozen_credentials(), "account_id", None)

    def get_deferred_property(self, name: str) -> Callable[[], Awaitable[Any]]:
        """Return a function that loads one of the values, for botocore."""

        async def value() -> Any:
            return getattr(await self.get_frozen_credentials(), name)

        return value

    def drop(self, rejected: object | None = None) -> None:
        """Forget the values; the next use loads new ones. A load under way answers its callers and is not kept.

        Args:
            rejected: Forget only what `held` was then. Many requests that were signed with it may fail one by one.
        """
        if rejected is None or self.held is rejected:
            self._generation += 1
            self.held = None
            self._next_renewal = float("-inf")

    def waited_for(self, *, keep: bool) -> str:
        """Return the source that is loading, if no request can be signed before it has answered; else nothing.

        Args:
            keep: Let the load go on, up to its own LOAD_TIMEOUT, after its last caller was cancelled.
        """
        is_needed = self._good() is None
        return self._source() if is_needed and self._calls.is_under_way(self._generation, keep=keep) else ""

    def forget_after_fork(self) -> None:
        """Leave the parent's loads alone; the values stay."""
        self._calls.forget_after_fork()

    async def _renewed(self, held: _Held) -> _Held:
        """Return new credentials if they come quickly, else the held ones; the load goes on."""
        try:
            async with asyncio.timeout(RENEWAL_WAIT):
                found = await self._shared_load(keep=True)
        except (CloudMapError, TimeoutError):
            return held
        return held if found is None or found.ends_within(EXPIRED) else found

    async def _new(self) -> _Held:
        try:
            found = await self._shared_load()
        except CloudMapError:
            if (held := self._good()) is not None:
                return held
            raise
        if found is not None and not found.ends_within(EXPIRED):
            return found
        if (held := self._good()) is not None:
            return held
        if found is not None:
            raise CredentialsError(
                "the AWS credentials have expired, and the ones loaded in their place have expired too",
                advice="Check what writes them, and this machine's clock.",
            )
        if self._had_some:
            raise CredentialsError(
                "the source of the AWS credentials no longer returns any",
                advice="Check the role of this machine, container or profile.",
            )
        raise NoCredentialsError

    def _good(self) -> _Held | None:
        """What another event loop may have loaded in the meantime."""
        return None if self.held is None or self.held.ends_within(EXPIRED) else self.held

    async def _shared_load(self, *, keep: bool = False) -> _Held | None:
        generation = self._generation
        return await self._calls.get(generation, lambda: self._load_for(generation), keep=keep)

    async def _load_for(self, generation: int) -> _Held | None:
        try:
            async with asyncio.timeout(LOAD_TIMEOUT):
                source = await _awaited(self._load())
                if source is None:
                    return None
                held = _Held(source, await _awaited(source.get_frozen_credentials()))
                _check(held.frozen, self._source())
        except CloudMapError:
            raise
        except Exception as error:
            raise from_credentials(error) from error
        self._had_some = True
        self._next_renewal = self._monotonic() + RENEWAL_INTERVAL
        if generation == self._generation and not held.ends_within(EXPIRED):
            self.held = held
        return held


class CredentialChain:
    """A session's own chain of credential providers, usable on one event loop after another.

    Providers that hold an HTTP session, a lock, a Region or earlier values are made again for each load. Whatever the
    application inserted into the chain, removed from it, or set as a provider's cache stays. A component of the
    application's own is called as it is.

    Args:
        session: The session, before `SharedCredentials` are registered there.
        region: The Region for the STS calls that assume a role, None for the session's own.
    """

    _BOUND_TO_A_LOOP = (
        AioAssumeRoleProvider,
        AioAssumeRoleWithWebIdentityProvider,
        AioContainerProvider,
        AioInstanceMetadataProvider,
        AioSSOProvider,
    )

    def __init__(self, session: AioSession, region: str | None) -> None:
        self._session = session
        self._region = region
        self._own = session.get_component("credential_provider")
        self.source = type(self._own).__name__
        """The provider that was asked last, by botocore's name for it."""

    async def load(self) -> Any:
        """Return fresh credentials of the first provider that has some, else None."""
        if type(self._own) is not AioCredentialResolver:
            return await _awaited(self._own.load_credentials())
        made = create_credential_resolver(self._session, region_name=self._region).providers
        fresh = {type(provider): provider for provider in made if type(provider) in self._BOUND_TO_A_LOOP}
        chain = [_with_cache(fresh.get(type(own), own), own) for own in self._own.providers]
        for provider in chain:
            method = str(getattr(provider, "METHOD", type(provider).__name__))
            self.source = "credential_process" if method == "custom-process" else method
            if (found := await AioCredentialResolver(providers=[provider]).load_credentials()) is not None:
                return found
        return None


def _with_cache(provider: Any, own: Any) -> Any:
    cache = getattr(own, "cache", None)
    if cache is not None and type(cache) is not dict:  # a plain dict is botocore's own, and lives for one load
        provider.cache = cache
    return provider


def _check(frozen: Any, source: str) -> None:
    """Refuse a value that no header can carry: aiohttp would end the call, or AWS refuse its signature."""
    for name in ("access key", "secret key", "token"):
        value = getattr(frozen, name.replace(" ", "_"), None)
        if isinstance(value, str) and not (value.isascii() and value.isprintable()):
            raise ConfigurationError(
                f"invalid AWS credentials from {source}: the {name} holds a character that no header can",
                advice="Look for a line break or a letter that is not ASCII where the value is set.",
            )


async def _awaited(value: Any) -> Any:
    """The value itself if a provider was written for botocore, which is not asynchronous."""
    return await value if inspect.isawaitable(value) else value
