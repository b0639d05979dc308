"""What an answer falls short of: the errors for callers who got one, and do not find in it what they asked for."""

from __future__ import annotations

from collections.abc import Iterable

from aiocloudmap.errors import AttributeNotFoundError, NoInstancesError
from aiocloudmap.model import HealthFilter, Instance, Query

__all__ = ["no_attribute", "no_instances"]


def no_instances(query: Query) -> NoInstancesError:
    """There are none that match."""
    asked = f" with {', '.join(key for key, _ in query.where)} as asked" if query.where else ""
    # Only these two leave out some of the instances that there are.
    wanted = f" {query.health}" if query.health in (HealthFilter.HEALTHY, HealthFilter.UNHEALTHY) else ""
    filters = " and ".join(["health="] * bool(wanted) + ["where="] * bool(asked))
    return NoInstancesError(
        f"the service has no{wanted} instance{asked}",
        service=query.service,
        advice=f"Register one, or ask for others with {filters}." if filters else "Register one.",
    )


def no_attribute(what: str, key: str, instances: Iterable[Instance]) -> AttributeNotFoundError:
    """There are instances, and none has it; the advice lists what they have.

    Args:
        what: What happened, as a clause.
        key: The attribute.
        instances: At least one.
    """
    instances = list(instances)
    available = {name for instance in instances for name in instance.attributes}
    return AttributeNotFoundError(
        what,
        service=instances[0].service,
        key=key,
        available=available,
        advice=f"There are: {', '.join(sorted(available)) or 'no attributes'}.",
    )
