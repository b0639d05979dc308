"""A world on a manual clock. Every answer is checked against botocore's model of AWS's API."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from aiocloudmap.local import RefusedError, World
from aiocloudmap.testing import ManualClock

Call = Callable[..., dict[str, Any]]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def world(clock: ManualClock) -> World:
    return World(clock=clock, seed=1)


@pytest.fixture
def caller() -> Callable[[World], Call]:
    """Calls a world through AWS's API and checks each answer and error against AWS's model."""

    def of(world: World) -> Call:
        def call(operation: str, **members: Any) -> dict[str, Any]:
            try:
                answer = world.call(operation, members)
            except RefusedError as refusal:
                _check_error(operation, refusal)
                raise
            _check(_model().operation_model(operation).output_shape, answer, operation)
            return answer

        return call

    return of


@pytest.fixture
def call(world: World, caller: Callable[[World], Call]) -> Call:
    return caller(world)


@pytest.fixture
def service(world: World, call: Call) -> str:
    """The id of shop/orders, in an HTTP namespace."""
    world.add_service("shop/orders")
    return call("ListServices")["Services"][0]["Id"]


@pytest.fixture
def register(call: Call) -> Call:
    """Registers an instance with a service, by its id."""

    def register(
        service: str, instance: str = "a", attributes: dict[str, str] | None = None, **members: Any
    ) -> dict[str, Any]:
        return call("RegisterInstance", ServiceId=service, InstanceId=instance, Attributes=attributes or {}, **members)

    return register


@pytest.fixture
def revision(call: Call) -> Callable[[], int]:
    """Returns the revision of shop/orders."""
    names = {"NamespaceName": "shop", "ServiceName": "orders"}
    return lambda: call("DiscoverInstancesRevision", **names)["InstancesRevision"]


@pytest.fixture
def refused() -> Callable[[str], Any]:
    """Expects an error with this AWS name."""
    return lambda code: pytest.raises(RefusedError, check=lambda error: error.code == code)


@cache
def _model() -> Any:
    from botocore.session import get_session

    return get_session().get_service_model("servicediscovery")


_EMPTY_WITHOUT_DNS = {"SOA", "DnsConfig"}
"""AWS sends them without their required members for HTTP namespaces and services."""


def _check(shape: Any, value: Any, path: str) -> None:
    """Check every member against the model: its name, type and range."""
    if shape is None:
        assert value == {}, path
    elif shape.name in _EMPTY_WITHOUT_DNS and value == {}:
        pass
    elif shape.type_name == "structure":
        assert isinstance(value, dict), path
        assert not (unknown := value.keys() - shape.members.keys()), f"{path}: {unknown}"
        assert not (missing := set(shape.required_members) - value.keys()), f"{path}: {missing}"
        for name, member in value.items():
            _check(shape.members[name], member, f"{path}.{name}")
    elif shape.type_name == "list":
        assert isinstance(value, list), path
        for member in value:
            _check(shape.member, member, f"{path}[]")
    elif shape.type_name == "map":
        assert isinstance(value, dict), path
        for key, member in value.items():
            _check(shape.key, key, f"{path} key")
            _check(shape.value, member, f"{path}.{key}")
    else:
        kinds = {"string": str, "integer": int, "long": int, "timestamp": float}
        assert isinstance(value, kinds[shape.type_name]), f"{path}: {value!r}"
        assert not shape.metadata.get("enum") or value in shape.metadata["enum"], f"{path}: {value!r}"
        assert len(str(value)) <= shape.metadata.get("max", 10**6) or shape.type_name != "string", path


_NOT_IN_THE_MODEL = {"SerializationException", "AccessDeniedException", "UnknownOperationException"}


def _check_error(operation: str, refusal: RefusedError) -> None:
    """Check that AWS's model has the error for this operation, with its members."""
    if refusal.code in _NOT_IN_THE_MODEL:
        return
    shapes = {shape.name: shape for shape in _model().operation_model(operation).error_shapes}
    assert refusal.code in shapes, f"{operation} does not raise {refusal.code}"
    assert refusal.members.keys() <= shapes[refusal.code].members.keys()
