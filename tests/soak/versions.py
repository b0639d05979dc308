"""The versions of each service's instances over time, and whether an answer was recent enough."""

from __future__ import annotations

import threading
import time

from aiocloudmap import CachePolicy, ConnectionPolicy, Snapshot
from aiocloudmap.local import World

CACHE = CachePolicy(
    ttl=0.2, stale_while_revalidate=0.3, stale_if_error=2, negative_ttl=0.1, empty_hold_time=0.5, soft_timeout=0.1
)
CONNECTIONS = ConnectionPolicy(connect_timeout=0.5, read_timeout=0.3, discovery_timeout=1, max_attempts=2)
# An answer's age counts from its arrival, and its call may have taken a whole discovery_timeout.
BOUND = CACHE.ttl + CACHE.stale_if_error + CONNECTIONS.discovery_timeout
SERVICES = tuple(f"shop/service-{number}" for number in range(12))
_REMEMBERED = 30.0


class Versions:
    """Publishes new versions of instances, and remembers when each old one ended.

    Args:
        world: Where the services are registered.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._lock = threading.Lock()
        self._version = 0
        self._current: dict[str, int] = {}
        self._ended: dict[int, float] = {}
        for service in SERVICES:
            self.publish(service)

    def publish(self, service: str) -> None:
        """Register both instances of the service again, with a new version."""
        with self._lock:
            self._version += 1
            attributes = {"SERVICE": service, "VERSION": str(self._version)}
            for name in ("one", "two"):
                self._world.register(service, name, attributes)
            now = time.monotonic()
            if service in self._current:
                self._ended[self._current[service]] = now
            self._current[service] = self._version
            for version in [each for each, ended in self._ended.items() if ended < now - _REMEMBERED]:
                del self._ended[version]

    def find_error(self, service: str, snapshot: Snapshot, since: float) -> str | None:
        """Return what is wrong with an answer that may be as old as `since`, or None."""
        if str(snapshot.service) != service:
            return f"asked for {service}, got {snapshot.service}"
        for instance in snapshot:
            if instance.attributes.get("SERVICE") != service or str(instance.service) != service:
                return f"asked for {service}, got an instance of {instance.attributes.get('SERVICE')}"
            version = int(instance.attributes["VERSION"])
            with self._lock:
                # A version that is neither current nor remembered ended long ago.
                ended = None if version >= self._current[service] else self._ended.get(version, 0.0)
            if ended is not None and ended < since:
                return f"{service}: version {version} ended {since - ended:.3f} s too early"
        return None
