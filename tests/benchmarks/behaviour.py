"""What each way does where it matters, found out by running it; what it does in an outage is a topic of its own."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from peers import Peer, installed
from stage import Stage

__all__ = ["measure"]

_TTL = 1
_DELAY = 0.3
_COLD = 100
_WAITING = 10
_UNKNOWN = 20


def measure(*, quick: bool) -> dict[str, Any]:
    """A row for each way, a cell for each question; None where the question makes no sense."""
    peers = installed(quick=quick)
    found: dict[str, dict[str, Any]] = {peer.name: {} for peer in peers}
    with Stage() as stage:
        for number, peer in enumerate(peers):
            found[peer.name] = asyncio.run(_on_one_loop(stage, peer, number))
        for name, expires in asyncio.run(_expiries(stage, peers)).items():
            found[name]["expires"] = expires
        for name, loops in _over_loops(stage, peers).items():
            found[name]["loops"] = loops
    return {"cold": _COLD, "waiting": _WAITING, "unknown": _UNKNOWN, "rows": found}


async def _on_one_loop(stage: Stage, peer: Peer, number: int) -> dict[str, Any]:
    try:
        return {
            "calls": await _cold(stage, peer, f"shop/cold-{number}"),
            "survivors": None if peer.threaded else await _cancelled(stage, peer, f"shop/cancelled-{number}"),
            "unknown_calls": await _unknown(stage, peer, f"shop/unknown-{number}"),
        }
    finally:
        await stage.close()


async def _caller(ask: Any, service: str) -> Any:
    """Somebody of his own, whatever it is that `ask` hands out."""
    return await ask(service)


async def _cold(stage: Stage, peer: Peer, service: str) -> int:
    """What a hundred callers cost who come at the same time."""
    stage.add(service)
    ask = peer.ask(stage, 3600)
    with stage.local.faults.delay(_DELAY):
        await asyncio.gather(*(_caller(ask, service) for _ in range(_COLD)))
    return stage.calls(service)


async def _cancelled(stage: Stage, peer: Peer, service: str) -> int:
    """How many of the others get their answer where the first of ten callers is cancelled."""
    stage.add(service)
    ask = peer.ask(stage, 3600)
    with stage.local.faults.delay(_DELAY):
        first, *others = [asyncio.create_task(_caller(ask, service)) for _ in range(_WAITING)]
        await asyncio.sleep(_DELAY / 3)
        first.cancel()
        answers = await asyncio.gather(*others, return_exceptions=True)
    await asyncio.gather(first, return_exceptions=True)
    return sum(isinstance(answer, str) for answer in answers)


async def _unknown(stage: Stage, peer: Peer, service: str) -> int:
    """What twenty questions after a service cost that does not exist."""
    ask = peer.ask(stage, 3600)
    for _ in range(_UNKNOWN):
        try:
            await ask(service)
        except Exception:
            continue
    return stage.calls(service)


async def _expiries(stage: Stage, peers: list[Peer]) -> dict[str, bool | None]:
    """Whether another call is made after the ttl."""
    asks = {}
    for number, peer in enumerate(peers):
        service = f"shop/expiry-{number}"
        stage.add(service)
        asks[peer] = service, peer.ask(stage, _TTL)
        await asks[peer][1](service)
    await asyncio.sleep(_TTL * 1.3)
    for service, ask in asks.values():
        await ask(service)
    await asyncio.sleep(0.1)
    await stage.close()
    return {peer.name: stage.calls(service) > 1 if peer.caches else None for peer, (service, _) in asks.items()}


def _over_loops(stage: Stage, peers: list[Peer]) -> dict[str, str]:
    """What a second event loop finds of what the first has left, and a third one after the ttl."""
    asks, found = {}, {}
    for number, peer in enumerate(peers):
        service = f"shop/loops-{number}"
        stage.add(service)
        asks[peer] = service, peer.ask(stage, _TTL)
        found[peer.name] = _on_new_loop(asks[peer][1], service) or _on_new_loop(asks[peer][1], service)
        if not found[peer.name] and peer.caches and stage.calls(service) > 1:
            found[peer.name] = "asks again"
    time.sleep(_TTL * 1.3)
    for peer, (service, ask) in asks.items():
        before = stage.calls(service)
        found[peer.name] = found[peer.name] or _on_new_loop(ask, service)
        if not found[peer.name] and stage.calls(service) == before:
            found[peer.name] = "never expires"
    return {name: words or "works" for name, words in found.items()}


def _on_new_loop(ask: Any, service: str) -> str:
    """Nothing, or how it fails."""
    try:
        asyncio.run(_settled(ask, service))
    except Exception as error:
        return f"fails: {type(error).__name__}"
    return ""


async def _settled(ask: Any, service: str) -> None:
    await ask(service)
    # A refresh in the background may be under way.
    await asyncio.sleep(0.05)
