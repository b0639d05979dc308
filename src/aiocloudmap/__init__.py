"""Async service discovery for AWS Cloud Map: one session, one bounded connector, one cache.

from aiocloudmap import CloudMap

cloud_map = CloudMap()
queue_url = await cloud_map.service("shop/orders").attribute("QUEUE_URL")
"""

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
from aiocloudmap.model import Discovery, HealthFilter, HealthStatus, Instance, Query, ServiceName
from aiocloudmap.ports import SYSTEM_CLOCK, AttributesBackend, Backend, Clock, Timer
from aiocloudmap.reports import Explanation, Freshness, Stats
from aiocloudmap.service import Service
from aiocloudmap.service_attributes import AttributesQuery, ServiceAttributes
from aiocloudmap.settings import CachePolicy, ConnectionPolicy
from aiocloudmap.snapshot import Snapshot

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
