"""A session's own chain of credential providers, asked on one event loop after the other."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from aiobotocore.credentials import (
    AioAssumeRoleProvider,
    AioAssumeRoleWithWebIdentityProvider,
    AioContainerProvider,
    AioCredentialResolver,
    AioInstanceMetadataProvider,
    AioSSOProvider,
    create_credential_resolver,
)

if TYPE_CHECKING:
    from aiobotocore.session import AioSession

__all__ = ["CredentialChain", "awaited"]


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
