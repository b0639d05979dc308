"""Others' ways to the same answer, each as its own documentation would have it used, with one ttl for all.

A peer is a function `ask(service) -> queue URL`: a coroutine function, or one that waits and is called in threads. What
has only one time gets the ttl; what has two gets stale time beside it, as aiocloudmap has.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from stage import Stage, bare_client, names, queue_url

from aiocloudmap import CachePolicy, CloudMap, ConnectionPolicy

__all__ = ["OURS", "PEERS", "Peer", "installed"]

STALE = 600.0


@dataclass(frozen=True)
class Peer:
    """One way.

    Args:
        name: In tables and figures.
        make: Gives `ask` for a stage and a ttl.
        module: What must be installed.
        threaded: Whether `ask` waits, and so has to be called in threads.
        caches: Whether it keeps answers at all.
    """

    name: str
    make: Callable[[Stage, float], Callable[[str], Any]]
    module: str
    threaded: bool = False
    caches: bool = True

    def ask(self, stage: Stage, ttl: float) -> Callable[[str], Any]:
        """A coroutine function, whatever it is made of."""
        function = self.make(stage, ttl)
        if not self.threaded:
            return function

        async def in_thread(service: str) -> str:
            return await stage.in_thread(function, service)

        return in_thread


def _ours(stage: Stage, ttl: float) -> Callable[[str], Any]:
    cloud_map = CloudMap(
        backend=stage.backend,
        cache=CachePolicy(ttl=ttl),
        connections=ConnectionPolicy(max_calls_per_second=1e6, max_attempts=1),
    )

    async def ask(service: str) -> str:
        return await cloud_map.service(service).attribute("QUEUE_URL")

    return ask


def _client_per_call(_stage: Stage, _ttl: float) -> Callable[[str], Any]:
    """aiobotocore, README, "Basic Example"."""
    from aiobotocore.session import get_session

    session = get_session()

    async def ask(service: str) -> str:
        async with bare_client(session) as client:
            return queue_url(await client.discover_instances(**names(service)))

    return ask


def _shared_client(stage: Stage, _ttl: float) -> Callable[[str], Any]:
    """aiobotocore, README, "Context Manager Examples": one client, kept by the program."""
    kept: list[Any] = []

    async def ask(service: str) -> str:
        if not kept:
            kept.append(await stage.keep(bare_client()))
        return queue_url(await kept[0].discover_instances(**names(service)))

    return ask


def _boto3(stage: Stage, _ttl: float) -> Callable[[str], Any]:
    """boto3, "Clients", on threads."""
    return stage.find_in_thread


def _async_lru(stage: Stage, ttl: float) -> Callable[[str], Any]:
    """async-lru, README, "TTL"."""
    from async_lru import alru_cache

    return alru_cache(maxsize=None, ttl=ttl)(stage.find)


def _aiocache(stage: Stage, ttl: float) -> Callable[[str], Any]:
    """aiocache, "Decorators", cached."""
    from aiocache import cached

    @cached(ttl=ttl)
    async def ask(service: str) -> str:
        return await stage.find(service)

    return ask


def _aiocache_stampede(stage: Stage, ttl: float) -> Callable[[str], Any]:
    """aiocache, "Decorators", cached_stampede, with its own lease of two seconds."""
    from aiocache import cached_stampede

    @cached_stampede(ttl=ttl)
    async def ask(service: str) -> str:
        return await stage.find(service)

    return ask


def _cashews(way: str) -> Callable[[Stage, float], Callable[[str], Any]]:
    """cashews, README: "Cache", "Early recalculation", "Soft ttl"; in memory."""
    times: dict[str, Callable[[float], dict[str, float]]] = {
        "cache": lambda ttl: {"ttl": ttl},
        "early": lambda ttl: {"ttl": ttl + STALE, "early_ttl": ttl},
        "soft": lambda ttl: {"ttl": ttl + STALE, "soft_ttl": ttl},
    }

    def make(stage: Stage, ttl: float) -> Callable[[str], Any]:
        from cashews import Cache

        cache = Cache()
        cache.setup("mem://")
        decorate = cache if way == "cache" else getattr(cache, way)

        @decorate(**times[way](ttl), key="{service}")
        async def ask(service: str) -> str:
            return await stage.find(service)

        return ask

    return make


def _theine(stage: Stage, ttl: float) -> Callable[[str], Any]:
    """theine, README, "Cache Decorator", with a key function as it recommends."""
    from theine import Memoize

    @Memoize(10_000, timedelta(seconds=ttl))
    async def ask(service: str) -> str:
        return await stage.find(service)

    ask.key(lambda service: service)
    return ask


def _cachebox(stage: Stage, ttl: float) -> Callable[[str], Any]:
    """cachebox, "cached", with a TTLCache."""
    import cachebox

    @cachebox.cached(cachebox.TTLCache(10_000, ttl))
    async def ask(service: str) -> str:
        return await stage.find(service)

    return ask


def _cachetools(stage: Stage, ttl: float) -> Callable[[str], Any]:
    """cachetools, "Memoizing decorators", with a lock; on threads."""
    import cachetools

    return cachetools.cached(cachetools.TTLCache(10_000, ttl), lock=threading.Lock())(stage.find_in_thread)


def _powertools(stage: Stage, ttl: float) -> Callable[[str], Any]:
    """Powertools for AWS Lambda, "Parameters", "Create your own provider"; on threads."""
    from aws_lambda_powertools.utilities.parameters import BaseProvider

    class CloudMapProvider(BaseProvider):
        def _get(self, name: str, **_: Any) -> str:
            return stage.find_in_thread(name)

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
    """aiocloudmap first, then who else is here; a quick look takes two caches.

    Args:
        quick: Whether it is one.
        caches: Only those that keep answers.
        threaded: Those, too, that are called in threads.
    """
    found = [
        peer
        for peer in PEERS
        if importlib.util.find_spec(peer.module)
        and (peer.caches or not (caches or quick))
        and (threaded or not peer.threaded)
    ]
    return [OURS, *(found[:2] if quick else found)]
