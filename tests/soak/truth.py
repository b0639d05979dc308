"""What is true in the world, version by version, and whether an answer was true recently enough."""

from __future__ import annotations

import threading
import time

from aiocloudmap import CachePolicy, ConnectionPolicy, Snapshot
from aiocloudmap.local import World

CACHE = CachePolicy(
    ttl=0.2, stale_while_revalidate=0.3, stale_if_error=2, negative_ttl=0.1, empty_hold_time=0.5, soft_timeout=0.1
)
CONNECTIONS = ConnectionPolicy(connect_timeout=0.5, read_timeout=0.3, discovery_timeout=1, max_attempts=2)
# An answer's age counts from its coming, and it may have been under way for a whole discovery_timeout.
BOUND = CACHE.ttl + CACHE.stale_if_error + CONNECTIONS.discovery_timeout
SERVICES = tuple(f"shop/service-{number}" for number in range(12))
_REMEMBERED = 30.0


class Truth:
    """Publishes new versions of instances, and remembers until when each old one was true.

    Args:
        world: Where the services are registered.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._lock = threading.Lock()
        self._version = 0
        self._current: dict[str, int] = {}
        self._over: dict[int, float] = {}
        for service in SERVICES:
            self.publish(service)

    def publish(self, service: str) -> None:
        """Register both of its instances anew, with a new version."""
        with self._lock:
            self._version += 1
            attributes = {"SERVICE": service, "VERSION": str(self._version)}
            for name in ("one", "two"):
                self._world.register(service, name, attributes)
            now = time.monotonic()
            if service in self._current:
                self._over[self._current[service]] = now
            self._current[service] = self._version
            for version in [each for each, over in self._over.items() if over < now - _REMEMBERED]:
                del self._over[version]

    def wrong(self, service: str, snapshot: Snapshot, since: float) -> str | None:
        """What is wrong with an answer that may be as old as `since`; None where nothing is."""
        if str(snapshot.service) != service:
            return f"asked for {service}, got {snapshot.service}"
        for instance in snapshot:
            if instance.attributes.get("SERVICE") != service or str(instance.service) != service:
                return f"asked for {service}, got an instance of {instance.attributes.get('SERVICE')}"
            version = int(instance.attributes["VERSION"])
            with self._lock:
                # Not the current one, and not known as an old one: it was over long ago.
                over = None if version >= self._current[service] else self._over.get(version, 0.0)
            if over is not None and over < since:
                return f"{service}: version {version} was over {since - over:.3f} s before it might have been given"
        return None
