"""Other libraries for the same task, each used as its own documentation shows, all with the same ttl.

A peer is a function `ask(service) -> queue URL`, either a coroutine function or a blocking one that runs in threads.
A library with one duration gets the ttl. A library with two also gets the stale time that aiocloudmap has.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from testbed import Testbed, bare_client, name_parameters, queue_url

from aiocloudmap import CachePolicy, CloudMap, ConnectionPolicy

__all__ = ["OURS", "PEERS", "Peer", "installed"]

STALE = 600.0


@dataclass(frozen=True)
class Peer:
    """One library.

    Args:
        name: In tables and figures.
        make: Makes `ask` for a test bed and a ttl.
        module: The module that must be installed.
        threaded: Whether `ask` blocks and so runs in threads.
        caches: Whether it caches answers.
    """

    name: str
    make: Callable[[Testbed, float], Callable[[str], Any]]
    module: str
    threaded: bool = False
    caches: bool = True

    def ask(self, testbed: Testbed, ttl: float) -> Callable[[str], Any]:
        """Return a coroutine function, also for a threaded library."""
        function = self.make(testbed, ttl)
        if not self.threaded:
            return function

        async def in_thread(service: str) -> str:
            return await testbed.in_thread(function, service)

        return in_thread


def _ours(testbed: Testbed, ttl: float) -> Callable[[str], Any]:
    cloud_map = CloudMap(
        backend=testbed.backend,
        cache=CachePolicy(ttl=ttl),
        connections=ConnectionPolicy(max_calls_per_second=1e6, max_attempts=1),
    )

    async def ask(service: str) -> str:
        return await cloud_map.service(service).attribute("QUEUE_URL")

    return ask


def _client_per_call(_stage: Testbed, _ttl: float) -> Callable[[str], Any]:
    """aiobotocore, README, "Basic Example"."""
    from aiobotocore.session import get_session

    session = get_session()

    async def ask(service: str) -> str:
        async with bare_client(session) as client:
            return queue_url(await client.discover_instances(**name_parameters(service)))

    return ask


def _shared_client(testbed: Testbed, _ttl: float) -> Callable[[str], Any]:
    """aiobotocore, README, "Context Manager Examples": one client, kept by the program."""
    kept: list[Any] = []

    async def ask(service: str) -> str:
        if not kept:
            kept.append(await testbed.keep(bare_client()))
        return queue_url(await kept[0].discover_instances(**name_parameters(service)))

    return ask


def _boto3(testbed: Testbed, _ttl: float) -> Callable[[str], Any]:
    """boto3, "Clients", in threads."""
    return testbed.find_in_thread


def _async_lru(testbed: Testbed, ttl: float) -> Callable[[str], Any]:
    """async-lru, README, "TTL"."""
    from async_lru import alru_cache

    return alru_cache(maxsize=None, ttl=ttl)(testbed.find)


def _aiocache(testbed: Testbed, ttl: float) -> Callable[[str], Any]:
    """aiocache, "Decorators", cached."""
    from aiocache import cached

    @cached(ttl=ttl)
    async def ask(service: str) -> str:
        return await testbed.find(service)

    return ask


def _aiocache_stampede(testbed: Testbed, ttl: float) -> Callable[[str], Any]:
    """aiocache, "Decorators", cached_stampede, with its own lease of two seconds."""
    from aiocache import cached_stampede

    @cached_stampede(ttl=ttl)
    async def ask(service: str) -> str:
        return await testbed.find(service)

    return ask


def _cashews(way: str) -> Callable[[Testbed, float], Callable[[str], Any]]:
    """cashews, README, "Cache", "Early recalculation" and "Soft ttl", in memory."""
    times: dict[str, Callable[[float], dict[str, float]]] = {
        "cache": lambda ttl: {"ttl": ttl},
        "early": lambda ttl: {"ttl": ttl + STALE, "early_ttl": ttl},
        "soft": lambda ttl: {"ttl": ttl + STALE, "soft_ttl": ttl},
    }

    def make(testbed: Testbed, ttl: float) -> Callable[[str], Any]:
        from cashews import Cache

        cache = Cache()
        cache.setup("mem://")
        decorate = cache if way == "cache" else getattr(cache, way)

        @decorate(**times[way](ttl), key="{service}")
        async def ask(service: str) -> str:
            return await testbed.find(service)

        return ask

    return make


def _theine(testbed: Testbed, ttl: float) -> Callable[[str], Any]:
    """theine, README, "Cache Decorator", with a key function as it recommends."""
    from theine import Memoize

    @Memoize(10_000, timedelta(seconds=ttl))
    async def ask(service: str) -> str:
        return await testbed.find(service)

    ask.key(lambda service: service)
    return ask


def _cachebox(testbed: Testbed, ttl: float) -> Callable[[str], Any]:
    """cachebox, "cached", with a TTLCache."""
    import cachebox

    @cachebox.cached(cachebox.TTLCache(10_000, ttl))
    async def ask(service: str) -> str:
        return await testbed.find(service)

    return ask


def _cachetools(testbed: Testbed, ttl: float) -> Callable[[str], Any]:
    """cachetools, "Memoizing decorators", with a lock, in threads."""
    import cachetools

    return cachetools.cached(cachetools.TTLCache(10_000, ttl), lock=threading.Lock())(testbed.find_in_thread)


def _powertools(testbed: Testbed, ttl: float) -> Callable[[str], Any]:
    """Powertools for AWS Lambda, "Parameters", "Create your own provider", in threads."""
    from aws_lambda_powertools.utilities.parameters import BaseProvider

    class CloudMapProvider(BaseProvider):
        def _get(self, name: str, **_: Any) -> str:
            return testbed.find_in_thread(name)

        def _get_multiple(self, path: str, **_: Any) -> dict[str, str]:
            raise NotImplementedError(path)

    provider = CloudMapProvider()
    return lambda service: provider.get(service, max_age=ttl)


OURS = Peer("aiocloudmap", _ours, "aiocloudmap")
PEERS = [
    Peer("aiobotocore, a client per call", _client_per_call, "aiobotocore", caches=False),
    Peer("aiobotocore, one shared client", _shared_client, "aiobotocore", caches=False),
    Peer("boto3 in threads", _boto3, "boto3", threaded=True, caches=False),
    Peer("async-lru", _async_lru, "async_lru"),
    Peer("aiocache cached", _aiocache, "aiocache"),
    Peer("aiocache cached_stampede", _aiocache_stampede, "aiocache"),
    Peer("cashews cache", _cashews("cache"), "cashews"),
    Peer("cashews early", _cashews("early"), "cashews"),
    Peer("cashews soft", _cashews("soft"), "cashews"),
    Peer("theine", _theine, "theine"),
    Peer("cachebox", _cachebox, "cachebox"),
    Peer("cachetools in threads", _cachetools, "cachetools", threaded=True),
    Peer("Powertools parameters in threads", _powertools, "aws_lambda_powertools", threaded=True),
]


def installed(*, quick: bool, caches: bool = False, threaded: bool = True) -> list[Peer]:
    """Return aiocloudmap and the installed peers. A quick run takes two caches.

    Args:
        quick: Whether this is a quick run.
        caches: Only libraries that cache.
        threaded: Include libraries that run in threads.
    """
    found = [
        peer
        for peer in PEERS
        if importlib.util.find_spec(peer.module)
        and (peer.caches or not (caches or quick))
        and (threaded or not peer.threaded)
    ]
    return [OURS, *(found[:2] if quick else found)]
