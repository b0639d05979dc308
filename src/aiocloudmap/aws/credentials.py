"""Credentials that any event loop can use and renew.

aiobotocore's own refreshable credentials hold a lock and an HTTP session of the event loop that used them first; every
later loop, and every other thread, fails on them. Here the frozen values belong to the process, and nothing that is
bound to a loop outlives one load:

| what is held | what the caller gets | what else happens |
|---|---|---|
| good | it, at once | nothing |
| near its end | the new ones if they come within PATIENCE, else the held ones | one attempt per PAUSE in the process |
| expired, or nothing | what a load finds, or why it failed | one load per event loop, shared by all who wait there |
"""

from __future__ import annotations

import asyncio
import contextvars
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
from aiocloudmap.errors import CloudMapError, CredentialsError

if TYPE_CHECKING:
    from aiobotocore.session import AioSession

__all__ = ["CredentialChain", "SharedCredentials", "awaited"]


# MERGED aws/credential_chain: A session's own chain of credential providers, asked on one event loop after the other.


class CredentialChain:
    """A session's own chain of providers, usable from one event loop after the other.

    Providers with an HTTP session, a lock, a Region or earlier values inside are made anew for each load; whatever the
    application put into the chain, took out of it, or set as a provider's cache stays as it is. A component of the
    application's own is asked as it is.

    Args:
        session: Whose chain it is, before anything of ours is registered there.
        region: The Region for the STS calls that assume a role, None for the session's own.
    """

    _BOUND = (
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

    async def load(self) -> Any:
        """Fresh credentials of the first provider that has some, else None."""
        if type(self._own) is not AioCredentialResolver:
            return await awaited(self._own.load_credentials())
        anew = create_credential_resolver(self._session, region_name=self._region).providers
        fresh = {type(provider): provider for provider in anew if type(provider) in self._BOUND}
        chain = [_with_cache(fresh.get(type(own), own), own) for own in self._own.providers]
        return await AioCredentialResolver(providers=chain).load_credentials()


def _with_cache(provider: Any, own: Any) -> Any:
    cache = getattr(own, "cache", None)
    if cache is not None and type(cache) is not dict:  # a plain dict is botocore's own, and lives for one load
        provider.cache = cache
    return provider


async def awaited(value: Any) -> Any:
    """A provider that somebody wrote for botocore itself is not asynchronous."""
    return await value if inspect.isawaitable(value) else value


EXPIRED: Final = 30
"""Seconds before their end from which credentials count as expired: a request under way must outlive them."""

PATIENCE: Final = 1.0
"""Seconds that a caller waits for new credentials while the held ones still work."""

PAUSE: Final = 30.0
"""Seconds between two attempts to renew credentials that still work."""

LOAD_TIMEOUT: Final = 60.0
"""Seconds that one load may take: a credential process may ask a person for a code, a hanging one must not block."""

_GOODBYE: Final = 1.0
"""Seconds that a cancelled load gets to close what it opened."""


class _Held(NamedTuple):
    """Loaded credentials: what knows when they end, and their values."""

    source: Any
    frozen: Any

    def __repr__(self) -> str:
        return f"<_Held from {type(self.source).__name__}>"  # the values are secret

    @property
    def ageing(self) -> bool:
        return self._ends_within(None)

    @property
    def expired(self) -> bool:
        return self._ends_within(EXPIRED)

    def _ends_within(self, seconds: int | None) -> bool:
        refresh_needed = getattr(self.source, "refresh_needed", None)  # static credentials have none
        return refresh_needed is not None and bool(refresh_needed(seconds))


class _Load:
    """A load under way on one event loop, and how many wait for it."""

    __slots__ = ("task", "waiting")

    task: asyncio.Task[_Held | Exception | None]

    def __init__(self) -> None:
        self.waiting = 0


class SharedCredentials:
    """What every client of one session holds: botocore's credentials interface over values that all loops share.

    It is its own `credential_provider` component, so a client never keeps the credentials of one moment, and making a
    client does no I/O.

    Args:
        load: Gives a fresh credentials object, or None where there are none; runs on the loop of whoever asks.
        monotonic: Seconds that never run backwards.
    """

    method = "shared"

    def __init__(self, load: Callable[[], Awaitable[Any]], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._load = load
        self._monotonic = monotonic
        self._held: _Held | None = None
        self._had_some = False
        self._generation = 0
        self._next_attempt = float("-inf")
        self._loads: dict[asyncio.AbstractEventLoop, _Load] = {}

    async def load_credentials(self) -> SharedCredentials:
        """The component's interface: itself, without loading anything."""
        return self

    async def get_frozen_credentials(self) -> Any:
        """The values to sign with, at once where good ones are held.

        Cancelling one of several who wait leaves the load to the others; cancelling the last one ends it.

        Raises:
            NoCredentialsError: botocore's own; there are none, and there never were any.
            CredentialsError: They have expired, or cannot be had now.
            ConfigurationError: What says where they come from is wrong.
        """
        held = self._held
        if held is None or held.expired:
            return (await self._loaded()).frozen
        if held.ageing and self._attempt_is_due():
            return (await self._renewed(held)).frozen
        return held.frozen

    async def get_account_id(self) -> str | None:
        """The account that the credentials belong to, where their source tells."""
        account: str | None = getattr(await self.get_frozen_credentials(), "account_id", None)
        return account

    def get_deferred_property(self, name: str) -> Callable[[], Awaitable[Any]]:
        """What botocore asks for where it wants one of the values later."""

        async def value() -> Any:
            return getattr(await self.get_frozen_credentials(), name)

        return value

    @property
    def held(self) -> object | None:
        """The values that the next request would be signed with, without loading any; for `drop`."""
        return None if self._held is None else self._held.frozen

    def drop(self, rejected: object | None = None) -> None:
        """Forget the values; the next use loads new ones. A load under way answers its waiters and is not kept.

        Args:
            rejected: Forget only these, where a hundred requests signed with them fail one after the other.
        """
        if rejected is not None and self.held is not rejected:
            return
        self._generation += 1
        self._held = None
        self._next_attempt = float("-inf")
        self._loads = {}

    def forget_after_fork(self) -> None:
        """Leave the parent's loads alone; the values stay."""
        self._loads = {}

    def _attempt_is_due(self) -> bool:
        now = self._monotonic()
        if now < self._next_attempt:
            return False
        self._next_attempt = now + PAUSE
        return True

    async def _renewed(self, held: _Held) -> _Held:
        """New credentials if they come quickly; the load goes on without us where they do not."""
        found = await self._wait(self._load_here(), PATIENCE)
        return found if isinstance(found, _Held) and not found.expired else held

    async def _loaded(self) -> _Held:
        found = await self._wait(self._load_here(), None)
        if isinstance(found, _Held) and not found.expired:
            return found
        held = self._held  # another loop may have had better luck meanwhile
        if held is not None and not held.expired:
            return held
        if isinstance(found, CloudMapError):
            raise found.again()  # each waiter gets an exception of its own
        if isinstance(found, Exception):
            raise from_credentials(found) from found
        if isinstance(found, _Held):
            raise CredentialsError(
                "the AWS credentials have expired, and the ones loaded in their place have expired too",
                advice="Check what writes them, and this machine's clock.",
            )
        if self._had_some:
            raise CredentialsError(
                "the source of the AWS credentials gives none any more",
                advice="Check the role of this machine, container or profile.",
            )
        raise NoCredentialsError

    async def _wait(self, load: _Load, patience: float | None) -> _Held | Exception | None:
        load.waiting += 1
        cancelled = True
        try:
            await asyncio.wait({load.task}, timeout=patience)
            cancelled = False
        finally:
            load.waiting -= 1
            if cancelled and not load.waiting and not load.task.done():
                self._loads.pop(load.task.get_loop(), None)
                load.task.cancel()
                await asyncio.wait({load.task}, timeout=_GOODBYE)
        if not load.task.done():
            return None
        if load.task.cancelled():
            return CredentialsError("loading the AWS credentials was interrupted")
        return load.task.result()

    def _load_here(self) -> _Load:
        """The load that runs on this loop, or a new one. Only this loop's own thread touches its entry."""
        loop = asyncio.get_running_loop()
        load = self._loads.get(loop)
        if load is None or load.task.done():
            for other in list(self._loads):
                if other.is_closed():
                    self._loads.pop(other, None)
            load = _Load()
            # An empty context: the load serves everybody, so no caller's context variables may follow it.
            load.task = asyncio.Task(self._run(self._generation), loop=loop, context=contextvars.Context())
            self._loads[loop] = load
            load.task.add_done_callback(lambda _: self._leave(loop, load))
        return load

    def _leave(self, loop: asyncio.AbstractEventLoop, load: _Load) -> None:
        if self._loads.get(loop) is load:
            del self._loads[loop]

    async def _run(self, generation: int) -> _Held | Exception | None:
        try:
            async with asyncio.timeout(LOAD_TIMEOUT):
                source = await awaited(self._load())
                if source is None:
                    return None
                held = _Held(source, await awaited(source.get_frozen_credentials()))
        except Exception as error:  # noqa: BLE001 - each waiter raises it, as an exception of its own
            return error
        self._had_some = True
        self._next_attempt = self._monotonic() + PAUSE
        if generation == self._generation and not held.expired:
            self._held = held
        return held
