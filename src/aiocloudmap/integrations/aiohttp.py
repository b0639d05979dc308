"""For aiohttp: URLs such as `http://orders.shop/` connect to an instance of the service `shop/orders`."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from aiocloudmap.errors import CloudMapError, ConfigurationError, UnavailableError
from aiocloudmap.integrations.hostnames import Hostnames
from aiocloudmap.model.query import HealthFilter
from aiocloudmap.model.validation import check_type

if TYPE_CHECKING:
    from aiocloudmap.balancing.addresses import Address
    from aiocloudmap.client import CloudMap

__all__ = ["CloudMapResolver"]


class CloudMapResolver(AbstractResolver):
    """Resolves names below some namespaces through Cloud Map, and all others through a fallback.

    ```python
    resolver = CloudMapResolver(cloud_map, namespaces=("shop",))
    connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False)
    async with aiohttp.ClientSession(connector=connector) as session:
        await session.get("http://orders.shop/health")
    ```

    aiohttp calls it for each new connection and tries the addresses in order. `use_dns_cache=False` leaves caching to
    the CloudMap: aiohttp's own cache would return the same addresses for ten seconds, in another order. The `Host`
    header and the name that TLS checks are those of the URL.

    It can be created without an event loop and used on any number of loops.

    Args:
        cloud_map: Resolves the services.
        namespaces: Namespaces whose services are addressed as `service.namespace`. If a name is below several of them,
            the longest one is used. Names below them never reach the fallback.
        zone: Availability Zone whose instances are tried first.
        health: Which instances to use; unhealthy ones are tried last.
        fallback: Resolves all other names, and the host names of instances with an AWS_INSTANCE_CNAME. `close` does not
            close it. None means the system's resolver, in a thread.

    Raises:
        ConfigurationError: An argument is invalid.
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
        if fallback is not None:
            check_type("fallback", fallback, AbstractResolver, example="fallback=aiohttp.ThreadedResolver()")
        self._hostnames = Hostnames(cloud_map, namespaces=namespaces, zone=zone, health=health)
        self._given_fallback = fallback

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses to try for one connection, best first.

        Args:
            host: The host name.
            port: Used for instances without an AWS_INSTANCE_PORT.
            family: AF_INET or AF_INET6 restricts the addresses, AF_UNSPEC allows both.

        Raises:
            OSError: No address was found; its cause is the CloudMapError. Its code is `EAI_AGAIN` if a retry may
                succeed. aiohttp turns it into a ClientConnectorDNSError.
            ConfigurationError: A setting is missing, such as the Region or credentials.
        """
        try:
            addresses = await self._hostnames.addresses(host)
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
        # The text of the failure may hold the instance's host name, an attribute value: it stays in the cause.
        what = (
            "no instance has an address of the requested family"
            if failed is None
            else "the host names of its instances could not be resolved"
        )
        raise socket.gaierror(socket.EAI_NONAME, f"{host}: {what}") from failed

    async def close(self) -> None:
        """Does nothing; aiohttp requires the method."""

    @property
    def _fallback(self) -> AbstractResolver:
        # aiohttp's default depends on whether aiodns is installed. A ThreadedResolver belongs to the running loop and
        # holds no resources, so each call makes one.
        return self._given_fallback or ThreadedResolver()

    async def _look_up(
        self, address: Address, host: str, port: int, family: socket.AddressFamily
    ) -> list[ResolveResult] | OSError:
        if address.family is None:
            try:
                return await self._fallback.resolve(address.host, port, family)
            except OSError as error:
                return error  # the other instances may be reachable
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
