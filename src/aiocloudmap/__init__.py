"""Async service discovery for AWS Cloud Map: one session, one bounded connector, one cache.

from aiocloudmap import CloudMap

cloud_map = CloudMap()
queue_url = await cloud_map.service("shop/orders").attribute("QUEUE_URL")
"""

import sys

from aiocloudmap.client import CloudMap
from aiocloudmap.client.service import Service
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
from aiocloudmap.model import events
from aiocloudmap.model.answer import ServiceAttributes, Snapshot
from aiocloudmap.model.events import (
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
from aiocloudmap.model.instance import Discovery, HealthStatus, Instance
from aiocloudmap.model.interfaces import SYSTEM_CLOCK, AttributesBackend, Backend, Clock, Timer
from aiocloudmap.model.policy import CachePolicy, ConnectionPolicy
from aiocloudmap.model.query import AttributesQuery, HealthFilter, Query, ServiceName
from aiocloudmap.model.stats import Explanation, Freshness, Stats

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

# The events may also be imported from `aiocloudmap.events`.
sys.modules[f"{__name__}.events"] = events
