"""Names of services in the URLs of aiohttp: `http://orders.shop/` reaches an instance of the service `shop/orders`."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from aiocloudmap.errors import CloudMapError, ConfigurationError, UnavailableError
from aiocloudmap.integrations.hostnames import UrlNames
from aiocloudmap.model.query import HealthFilter
from aiocloudmap.model.validation import safe_repr

if TYPE_CHECKING:
    from aiocloudmap.balancing.addresses import Address
    from aiocloudmap.client import CloudMap

__all__ = ["CloudMapResolver"]


class CloudMapResolver(AbstractResolver):
    """Finds the services of some namespaces in Cloud Map, and all other names elsewhere.

    ```python
    resolver = CloudMapResolver(cloud_map, namespaces=("shop",))
    connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False)
    async with aiohttp.ClientSession(connector=connector) as session:
        await session.get("http://orders.shop/health")
    ```

    aiohttp asks for each new connection, and tries the addresses in order until one takes it. `use_dns_cache=False`
    leaves the remembering to the CloudMap: aiohttp's own would give the same addresses for ten seconds, in another
    order. The `Host` header and the name that TLS checks stay those of the URL.

    Making one needs no event loop, and one serves every loop.

    Args:
        cloud_map: Who is asked.
        namespaces: Those whose services are meant by `service.namespace`. Where several fit a name, the longest is
            meant. No name below one of them is ever looked up elsewhere.
        zone: The Availability Zone whose instances are tried first.
        health: Which instances count; unhealthy ones are tried last.
        fallback: Looks up all other names, and the host names of instances that are registered by AWS_INSTANCE_CNAME.
            It stays yours: `close` does not close it. None asks the system in a thread.

    Raises:
        ConfigurationError: One of them cannot be what it is.
    """

    def __init__(
        self,
        cloud_map: CloudMap,
        *,
        namespaces: Iterable[str],
        zone: str | None = None,
        health: HealthFilter | str = HealthFilter.HEALTHY_OR_ELSE_ALL,
        fallback: AbstractResolver | None = None,
    ) -> None:
        if fallback is not None and not isinstance(fallback, AbstractResolver):
            raise ConfigurationError(
                f"fallback={safe_repr(fallback)} is no resolver",
                advice="Give one like aiohttp.ThreadedResolver(), or None.",
            )
        self._names = UrlNames(cloud_map, namespaces=namespaces, zone=zone, health=health)
        self._given = fallback

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses to try for one connection, the best first.

        Args:
            host: The name.
            port: For instances that say none of their own.
            family: AF_INET or AF_INET6 leaves the others out, AF_UNSPEC none.

        Raises:
            OSError: There is none; raised from the CloudMapError that says why. `EAI_AGAIN` where a later try may
                succeed. aiohttp makes a ClientConnectorDNSError of it.
            ConfigurationError: The CloudMap cannot ask: no Region, no credentials.
        """
        try:
            addresses = await self._names.addresses(host)
        except ConfigurationError:
            raise
        except CloudMapError as error:
            code = socket.EAI_AGAIN if isinstance(error, UnavailableError) else socket.EAI_NONAME
            raise socket.gaierror(code, str(error)) from error
        if addresses is None:
            return await self._fallback.resolve(host, port, family)
        looked_up = await asyncio.gather(
            *(self._look_up(address, host, address.port or port, family) for address in addresses)
        )
        if results := [result for each in looked_up if not isinstance(each, OSError) for result in each]:
            return results
        failed = next((each for each in looked_up if isinstance(each, OSError)), None)
        # Without the text of the failure, which may quote the host name: it is an attribute's value.
        what = (
            "no instance has an address of the family asked for"
            if failed is None
            else "no host name of its instances leads anywhere"
        )
        raise socket.gaierror(socket.EAI_NONAME, f"{host}: {what}") from failed

    async def close(self) -> None:
        """Nothing: there is nothing of its own to close."""

    @property
    def _fallback(self) -> AbstractResolver:
        # Not aiohttp's default, which is another one where aiodns happens to be installed. It belongs to a loop, and
        # holds nothing else.
        return self._given or ThreadedResolver()

    async def _look_up(
        self, address: Address, host: str, port: int, family: socket.AddressFamily
    ) -> list[ResolveResult] | OSError:
        if address.family is None:
            try:
                return await self._fallback.resolve(address.host, port, family)
            except OSError as error:
                return error  # as an instance that refuses: others may be there
        if family not in (socket.AF_UNSPEC, address.family):
            return []
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(
                hostname=host,
                host=address.host,
                port=port,
                family=address.family,
                proto=socket.IPPROTO_TCP,
                flags=flags,
            )
        ]
