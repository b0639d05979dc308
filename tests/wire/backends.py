"""AWS backends for a server at any address."""

from __future__ import annotations

import functools

from callers import Holder

from aiocloudmap.aws.backend import AwsBackend
from aiocloudmap.aws.session import AwsSession
from aiocloudmap.aws.transport.transport import Transport
from aiocloudmap.model.policy import ConnectionPolicy
from aiocloudmap.model.query import Query, ServiceName

__all__ = ["LONG_TIMEOUTS", "ONE_ATTEMPT", "ORDERS", "discover", "opened"]

ORDERS = Query(ServiceName("shop", "orders"))
LONG_TIMEOUTS = ConnectionPolicy(connect_timeout=60, read_timeout=60)
ONE_ATTEMPT = ConnectionPolicy(connect_timeout=60, read_timeout=60, max_attempts=1)

transport = functools.cache(Transport)  # one per process, as in an application


def opened(url: str | None, connections: ConnectionPolicy | None = None, factory=None) -> tuple[AwsBackend, AwsSession]:
    """Return a backend for the server at this address, and its session."""
    session = AwsSession(
        transport=transport(),
        connections=connections or LONG_TIMEOUTS,
        region=None,
        endpoint_url=url,
        session_factory=factory,
        holder=Holder(),
    )
    return AwsBackend(session), session


async def discover(url: str, query: Query = ORDERS, connections: ConnectionPolicy | None = None):
    """Make one discovery with a new backend."""
    backend, _ = opened(url, connections)
    return await backend.discover(query)
