"""The nouns: what is asked (`ServiceName`, `Query`), what is answered (`Instance`, `Discovery`), and how good it is."""

from aiocloudmap.model.freshness import Freshness
from aiocloudmap.model.instance import MAX_INSTANCES, Discovery, HealthStatus, Instance
from aiocloudmap.model.names import ServiceName
from aiocloudmap.model.query import HealthFilter, Query, check_account

__all__ = [
    "MAX_INSTANCES",
    "Discovery",
    "Freshness",
    "HealthFilter",
    "HealthStatus",
    "Instance",
    "Query",
    "ServiceName",
    "check_account",
]
