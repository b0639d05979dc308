"""Async service discovery for AWS Cloud Map: one session, one bounded connector, one cache.

from aiocloudmap import CloudMap

cloud_map = CloudMap()
queue_url = await cloud_map.service("shop/orders").attribute("QUEUE_URL")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from aiocloudmap.client import CloudMap
from aiocloudmap.errors import (
    AccessDeniedError,
    AttributeNotFoundError,
    CloudMapError,
    ConfigurationError,
    ConnectError,
    ConnectionLimitError,
    CredentialsError,
    DeadlineError,
    InvalidAttributeError,
    InvalidRequestError,
    NamespaceNotFoundError,
    NoInstancesError,
    NotFoundError,
    ProtocolError,
    RequestError,
    ServiceNotFoundError,
    ThrottledError,
    TooManyOpenFilesError,
    UnavailableError,
)
from aiocloudmap.loading import TOLD
from aiocloudmap.model import Discovery, Freshness, HealthFilter, HealthStatus, Instance, Query, ServiceName
from aiocloudmap.ports import SYSTEM_CLOCK, AttributesBackend, Backend, Clock, Timer
from aiocloudmap.service import Service
from aiocloudmap.service_attributes import AttributesQuery, ServiceAttributes
from aiocloudmap.settings import CachePolicy, ConnectionPolicy
from aiocloudmap.snapshot import Snapshot

if TYPE_CHECKING:
    from aiocloudmap.events import (
        AnswerTruncated,
        AttributesRefreshed,
        ClockJumped,
        DescriptorsLow,
        EmptyAnswerHeld,
        Event,
        Refreshed,
        RefreshFailed,
        Throttled,
    )
    from aiocloudmap.reports import Explanation, Stats

__all__ = [
    "SYSTEM_CLOCK",
    "AccessDeniedError",
    "AnswerTruncated",
    "AttributeNotFoundError",
    "AttributesBackend",
    "AttributesQuery",
    "AttributesRefreshed",
    "Backend",
    "CachePolicy",
    "Clock",
    "ClockJumped",
    "CloudMap",
    "CloudMapError",
    "ConfigurationError",
    "ConnectError",
    "ConnectionLimitError",
    "ConnectionPolicy",
    "CredentialsError",
    "DeadlineError",
    "DescriptorsLow",
    "Discovery",
    "EmptyAnswerHeld",
    "Event",
    "Explanation",
    "Freshness",
    "HealthFilter",
    "HealthStatus",
    "Instance",
    "InvalidAttributeError",
    "InvalidRequestError",
    "NamespaceNotFoundError",
    "NoInstancesError",
    "NotFoundError",
    "ProtocolError",
    "Query",
    "RefreshFailed",
    "Refreshed",
    "RequestError",
    "Service",
    "ServiceAttributes",
    "ServiceName",
    "ServiceNotFoundError",
    "Snapshot",
    "Stats",
    "Throttled",
    "ThrottledError",
    "Timer",
    "TooManyOpenFilesError",
    "UnavailableError",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name in __all__:
            for module in map(import_module, TOLD):
                if hasattr(module, name):
                    return globals().setdefault(name, getattr(module, name))
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
