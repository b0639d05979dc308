"""pick() and attribute(): which instance is next, what is read, and the errors when nothing matches."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.support.named_faults import NAMED_FAULTS

from aiocloudmap import (
    AttributeNotFoundError,
    CloudMap,
    ConfigurationError,
    InvalidAttributeError,
    NoInstancesError,
    Service,
    ServiceNotFoundError,
    UnavailableError,
)


def service_of(stage, *instances: dict[str, str], **settings) -> Service:
    """Register shop/carts with these instances, named i0, i1, ..."""
    stage.world.add_service("shop/carts")
    for number, attributes in enumerate(instances):
        stage.world.register("shop/carts", f"i{number}", attributes)
    return stage.cloud_map(**settings).service("shop/carts")


def three(stage) -> Service:
    """A service with three instances: N in all of them, ONLY in two."""
    return service_of(stage, {"N": "0", "ONLY": "a"}, {"N": "1"}, {"N": "2", "ONLY": "c"})


async def test_pick_returns_every_instance_in_turn(stage):
    """Any three picks in a row return each of three instances once."""
    service = three(stage)
    picked = [(await service.pick()).id for _ in range(9)]
    assert picked[:3] == picked[3:6] == picked[6:]
    assert sorted(picked[:3]) == ["i0", "i1", "i2"]


async def test_attribute_reads_every_instance_in_turn(stage):
    """attribute() rotates as pick() does."""
    service = three(stage)
    read = [await service.attribute("N") for _ in range(6)]
    assert read[:3] == read[3:]
    assert sorted(read[:3]) == ["0", "1", "2"]


async def test_a_handle_made_for_each_call_rotates_too(stage):
    """The rotation belongs to the answer, not to the handle."""
    three(stage)
    cloud_map = stage.cloud_map()
    picked = Counter([(await cloud_map.service("shop/carts", where={}).pick()).id for _ in range(30)])
    assert picked == {"i0": 10, "i1": 10, "i2": 10}


async def test_the_rotation_starts_at_random(stage):
    """Sixty processes that each pick once do not all pick the same instance."""
    three(stage)
    first = Counter([(await stage.cloud_map().service("shop/carts").pick()).id for _ in range(60)])
    assert len(first) == 3


async def test_the_rotation_continues_after_a_refresh(stage):
    """A new answer does not start with the first instance again."""
    service = three(stage)
    one = await service.pick()
    stage.clock.tick(700)
    two = await service.pick()
    assert stage.calls == 2
    assert (int(one.id[1]) + 1) % 3 == int(two.id[1])


async def test_attribute_skips_instances_without_the_key(stage):
    """All instances with the key are read, and no others."""
    service = three(stage)
    assert {await service.attribute("ONLY") for _ in range(12)} == {"a", "c"}


async def test_an_empty_value_is_a_value(stage):
    """An attribute with an empty value is not missing."""
    service = service_of(stage, {"N": "0", "NOTHING": ""})
    assert await service.attribute("NOTHING", default="none") == ""


@pytest.mark.parametrize("count", [1, 3])
async def test_a_missing_attribute_lists_the_existing_keys(stage, count):
    """The message names the requested key and every key of every instance, sorted."""
    instances = [{"B": "1", "A": "1"}, {"C": "1"}, {"A": "2"}][:count]
    service = service_of(stage, *instances)
    keys = ["A", "B", "C"] if count == 3 else ["A", "B"]
    with pytest.raises(AttributeNotFoundError) as caught:
        await service.attribute("QUEUE_URI")
    assert caught.value.key == "QUEUE_URI"
    assert caught.value.available == tuple(keys)
    there_are = ", ".join(keys)
    assert str(caught.value) == f"shop/carts: no instance has the attribute 'QUEUE_URI'. There are: {there_are}."
    assert isinstance(caught.value, LookupError)


async def test_without_instances_the_error_is_no_instances(stage):
    """pick() and attribute() raise the same error."""
    service = service_of(stage)
    for call in (service.pick(), service.attribute("QUEUE_URL")):
        with pytest.raises(NoInstancesError, match=r"^shop/carts: the service has no instance\. Register one\.$"):
            await call


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"health": "ALL"}, "no instance. Register one."),
        ({"health": "HEALTHY"}, "no HEALTHY instance. Register one, or change health=."),
        ({"health": "UNHEALTHY"}, "no UNHEALTHY instance. Register one, or change health=."),
        ({"where": {"N": "1"}}, "no instance with the requested N. Register one, or change where=."),
        (
            {"health": "HEALTHY", "where": {"N": "1"}},
            "no HEALTHY instance with the requested N. Register one, or change health= and where=.",
        ),
    ],
)
async def test_no_instances_names_the_filters_in_the_way(stage, filters, message):
    """A filter that matches every instance is not mentioned."""
    stage.world.add_service("shop/carts")
    with pytest.raises(NoInstancesError) as caught:
        await stage.cloud_map().service("shop/carts", **filters).pick()
    assert str(caught.value) == f"shop/carts: the service has {message}"


async def test_no_instances_names_filter_keys_but_no_values(stage):
    """The keys of a filter are part of the message, its values are not."""
    three(stage)
    service = stage.cloud_map().service("shop/carts", where={"N": "hidden-value"})
    with pytest.raises(NoInstancesError, match="with the requested N") as caught:
        await service.pick()
    assert "hidden-value" not in str(caught.value)


async def test_cast_converts_the_value(stage):
    """Any callable works."""
    service = service_of(stage, {"N": "42", "LIST": "a,b"})
    assert await service.attribute("N", int) == 42
    assert await service.attribute("N", cast=float, default=None) == 42.0
    assert await service.attribute("LIST", lambda text: text.split(",")) == ["a", "b"]


@pytest.mark.parametrize("default", [{}, {"default": 7}])
async def test_a_failing_cast_is_an_error_despite_a_default(stage, default):
    """A default does not hide a wrong value, and the message does not show it."""
    service = service_of(stage, {"N": "hidden-value"})
    with pytest.raises(
        InvalidAttributeError, match=r"^shop/carts: attribute 'N' cannot be read as int \(ValueError\)"
    ) as caught:
        await service.attribute("N", int, **default)
    assert "hidden-value" not in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value.__cause__, ValueError)


async def test_any_exception_of_a_cast_is_an_invalid_attribute(stage):
    """A cast is the caller's code and may raise anything."""

    class Table:
        def __call__(self, text: str) -> int:
            raise LookupError(text)

    service = service_of(stage, {"N": "1"})
    with pytest.raises(InvalidAttributeError, match=r"read as Table \(LookupError\)"):
        await service.attribute("N", Table())


@pytest.mark.parametrize("default", ["fallback", None, 0])
async def test_default_replaces_a_missing_attribute(stage, default):
    """Any value can be the default, None included."""
    assert await three(stage).attribute("MISSING", default=default) == default


async def test_default_is_not_converted(stage):
    """It is returned as it is."""
    assert await three(stage).attribute("MISSING", int, default="as it is") == "as it is"


async def test_default_replaces_missing_instances(stage):
    """The service exists and has no instances."""
    assert await service_of(stage).attribute("N", default="d") == "d"


@pytest.mark.parametrize("name", ["shop/nothing", "nowhere/orders"])
async def test_default_replaces_a_missing_service(stage, name):
    """Neither service nor namespace exists."""
    service = stage.cloud_map().service(name)
    assert await service.attribute("N", default="d") == "d"
    with pytest.raises(LookupError):
        await service.attribute("N")


@pytest.mark.parametrize("fault", [fault for fault, _ in NAMED_FAULTS])
async def test_default_replaces_a_failed_call(stage, fault):
    """A cold start during an outage returns the default."""
    service = three(stage)
    getattr(stage.faults, fault)()
    assert await service.attribute("N", default="d") == "d"
    assert await service.attribute("N", default="d") == "d"
    assert stage.calls == 1


async def test_default_does_not_hide_a_configuration_error(clock):
    """A program that is set up wrongly gets the error, default or not."""

    class Unset:
        async def discover(self, query):
            raise ConfigurationError("no region")

    service = CloudMap(backend=Unset(), clock=clock).service("shop/orders")
    with pytest.raises(ConfigurationError, match="no region"):
        await service.attribute("N", default="d")


async def test_without_default_every_failure_is_raised(stage):
    """pick() and attribute() raise what resolve() raises."""
    stage.faults.server_error(next=1)
    service = three(stage)
    for call in (service.pick(), service.attribute("N")):
        with pytest.raises(UnavailableError):
            await call
    with pytest.raises(ServiceNotFoundError):
        await stage.cloud_map().service("shop/nothing").pick()


async def test_a_hit_never_suspends(stage):
    """Reading a fresh answer with pick() or attribute() does not wait."""
    service = three(stage)
    await service.resolve()
    assert stage.at_once(service.pick()).id in {"i0", "i1", "i2"}
    assert stage.at_once(service.attribute("N")) in {"0", "1", "2"}
    assert stage.calls == 1
