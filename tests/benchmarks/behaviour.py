"""What each library does in the cases that matter, found by running it. Outages are a topic of their own."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from peers import Peer, installed
from testbed import Testbed

__all__ = ["measure"]

_TTL = 1
_DELAY = 0.3
_COLD = 100
_WAITING = 10
_UNKNOWN = 20


def measure(*, quick: bool) -> dict[str, Any]:
    """Return a row for each library and a cell for each case, or None if the case does not apply."""
    peers = installed(quick=quick)
    found: dict[str, dict[str, Any]] = {peer.name: {} for peer in peers}
    with Testbed() as testbed:
        for number, peer in enumerate(peers):
            found[peer.name] = asyncio.run(_on_one_loop(testbed, peer, number))
        for name, expires in asyncio.run(_expiries(testbed, peers)).items():
            found[name]["expires"] = expires
        for name, loops in _over_loops(testbed, peers).items():
            found[name]["loops"] = loops
    return {"cold": _COLD, "waiting": _WAITING, "unknown": _UNKNOWN, "rows": found}


async def _on_one_loop(testbed: Testbed, peer: Peer, number: int) -> dict[str, Any]:
    try:
        return {
            "calls": await _cold(testbed, peer, f"shop/cold-{number}"),
            "survivors": None if peer.threaded else await _cancelled(testbed, peer, f"shop/cancelled-{number}"),
            "unknown_calls": await _unknown(testbed, peer, f"shop/unknown-{number}"),
        }
    finally:
        await testbed.close()


async def _caller(ask: Any, service: str) -> Any:
    """A coroutine of its own, whatever awaitable `ask` returns."""
    return await ask(service)


async def _cold(testbed: Testbed, peer: Peer, service: str) -> int:
    """Count the calls for a hundred concurrent callers."""
    testbed.add(service)
    ask = peer.ask(testbed, 3600)
    with testbed.local.faults.delay(_DELAY):
        await asyncio.gather(*(_caller(ask, service) for _ in range(_COLD)))
    return testbed.calls(service)


async def _cancelled(testbed: Testbed, peer: Peer, service: str) -> int:
    """Count the answered callers after the first of ten is cancelled."""
    testbed.add(service)
    ask = peer.ask(testbed, 3600)
    with testbed.local.faults.delay(_DELAY):
        first, *others = [asyncio.create_task(_caller(ask, service)) for _ in range(_WAITING)]
        await asyncio.sleep(_DELAY / 3)
        first.cancel()
        answers = await asyncio.gather(*others, return_exceptions=True)
    await asyncio.gather(first, return_exceptions=True)
    return sum(isinstance(answer, str) for answer in answers)


async def _unknown(testbed: Testbed, peer: Peer, service: str) -> int:
    """Count the calls for twenty questions about a service that does not exist."""
    ask = peer.ask(testbed, 3600)
    for _ in range(_UNKNOWN):
        try:
            await ask(service)
        except Exception:
            continue
    return testbed.calls(service)


async def _expiries(testbed: Testbed, peers: list[Peer]) -> dict[str, bool | None]:
    """Whether another call is made after the ttl."""
    asks = {}
    for number, peer in enumerate(peers):
        service = f"shop/expiry-{number}"
        testbed.add(service)
        asks[peer] = service, peer.ask(testbed, _TTL)
        await asks[peer][1](service)
    await asyncio.sleep(_TTL * 1.3)
    for service, ask in asks.values():
        await ask(service)
    await asyncio.sleep(0.1)
    await testbed.close()
    return {peer.name: testbed.calls(service) > 1 if peer.caches else None for peer, (service, _) in asks.items()}


def _over_loops(testbed: Testbed, peers: list[Peer]) -> dict[str, str]:
    """What a second event loop finds of the first one's answer, and a third one after the ttl."""
    asks, found = {}, {}
    for number, peer in enumerate(peers):
        service = f"shop/loops-{number}"
        testbed.add(service)
        asks[peer] = service, peer.ask(testbed, _TTL)
        found[peer.name] = _on_new_loop(asks[peer][1], service) or _on_new_loop(asks[peer][1], service)
        if not found[peer.name] and peer.caches and testbed.calls(service) > 1:
            found[peer.name] = "asks again"
    time.sleep(_TTL * 1.3)
    for peer, (service, ask) in asks.items():
        before = testbed.calls(service)
        found[peer.name] = found[peer.name] or _on_new_loop(ask, service)
        if not found[peer.name] and testbed.calls(service) == before:
            found[peer.name] = "never expires"
    return {name: words or "works" for name, words in found.items()}


def _on_new_loop(ask: Any, service: str) -> str:
    """Return how it fails, or an empty string."""
    try:
        asyncio.run(_settled(ask, service))
    except Exception as error:
        return f"fails: {type(error).__name__}"
    return ""


async def _settled(ask: Any, service: str) -> None:
    await ask(service)
    # A background refresh may be under way.
    await asyncio.sleep(0.05)
