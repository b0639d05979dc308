"""From names to ids, through a local world's ListNamespaces and ListServices, page by page."""

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import pytest

from aiocloudmap import (
    NamespaceNotFoundError,
    ProtocolError,
    ServiceName,
    ServiceNotFoundError,
    ThrottledError,
)
from aiocloudmap.aws.service_ids import ServiceIds
from aiocloudmap.local import Quotas, World
from aiocloudmap.model.query import AttributesQuery

OWNER = "210987654321"
ORDERS = AttributesQuery(ServiceName("shop", "orders"))


class Asking:
    """Answers from a world, records the calls, and holds answers while `gate` is closed."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.asked: list[str] = []
        self.tokens: list[int] = []
        self.sizes: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def __call__(self, operation: str, service: ServiceName, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        filters = {each["Name"] for each in parameters["Filters"]} - {"RESOURCE_OWNER"}
        self.asked.append(f"{operation} {''.join(filters)}")
        self.tokens.append("NextToken" in parameters)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        name = re.sub("(?:^|_)(.)", lambda found: found[1].upper(), operation)
        answer = self.world.call(name, dict(parameters))
        self.sizes.append(len(answer.get("Services", answer.get("Namespaces"))))
        return answer


@pytest.fixture
def world() -> World:
    """Has shop/orders and shop/payments."""
    world = World(seed=1, quotas=Quotas.unlimited())
    world.add_service("shop/orders", attributes={"OWNER": "team-a"})
    world.add_service("shop/payments")
    return world


@pytest.fixture
def asking(world) -> Asking:
    return Asking(world)


@pytest.fixture
def ids(asking) -> ServiceIds:
    return ServiceIds(asking)


def owner_of(world: World, service_id: str) -> str | None:
    """The attribute OWNER of the service with this id or ARN."""
    answer = world.call("GetServiceAttributes", {"ServiceId": service_id})
    return answer["ServiceAttributes"]["Attributes"].get("OWNER")


NAMESPACES = "list_namespaces HTTP_NAME"
NAMESPACES_BY_NAME = "list_namespaces NAME"
SERVICES = "list_services NAMESPACE_ID"


async def test_an_id_is_looked_up_once(ids, asking, world):
    """Together with those of all services in the namespace."""
    found = await ids.find(ORDERS)
    assert (owner_of(world, found.value), found.value[:4], found.remembered) == ("team-a", "srv-", False)
    assert await ids.find(ORDERS) == (found.value, True)
    assert (await ids.find(AttributesQuery(ServiceName("shop", "payments")))).remembered
    assert asking.asked == [NAMESPACES, SERVICES]


async def test_all_pages_are_read_even_empty_ones(asking, ids, world):
    """AWS filters after reading a page, so the service may come after empty pages."""
    for number in range(250):
        world.add_service(f"other/service-{number}")
    world.add_service("shop/late", attributes={"OWNER": "team-late"})
    for number in range(150):
        world.add_namespace(f"namespace-{number}")
    world.add_service("last/orders", attributes={"OWNER": "team-last"})
    assert owner_of(world, (await ids.find(AttributesQuery(ServiceName("shop", "late")))).value) == "team-late"
    assert asking.asked == [NAMESPACES] * 2 + [SERVICES] * 3
    assert asking.sizes == [1, 0, 2, 0, 1]
    asking.asked.clear()
    asking.sizes.clear()
    assert owner_of(world, (await ids.find(AttributesQuery(ServiceName("last", "orders")))).value) == "team-last"
    assert asking.sizes == [0, 1, 0, 0, 1]
    assert asking.asked == [NAMESPACES] * 2 + [SERVICES] * 3


async def test_a_namespace_is_found_by_its_http_name(asking, ids, world):
    """If a name is used twice, the second HttpName has a hash in it. Each name finds its own namespace."""
    for kind, extra in (("Public", {}), ("Private", {"Vpc": "vpc-1"})):
        world.call(f"Create{kind}DnsNamespace", {"Name": "pass.private", **extra})
    described = world.call("ListNamespaces", {})["Namespaces"]
    http_names = [
        each["Properties"]["HttpProperties"]["HttpName"] for each in described if each["Name"] == "pass.private"
    ]
    assert http_names[0] == "pass.private" != http_names[1]
    for name in http_names:
        world.add_service(f"{name}/orders", attributes={"OWNER": name})
    for name in http_names:
        found = await ids.find(AttributesQuery(ServiceName(name, "orders")))
        assert owner_of(world, found.value) == name


async def test_a_namespace_with_another_http_name_is_not_found(asking, ids, world):
    """DiscoverInstances would not find it either."""
    world.call("CreatePublicDnsNamespace", {"Name": "pass.private"})
    world.remove_namespace("pass.private")
    world.call("CreatePublicDnsNamespace", {"Name": "pass.private"})
    assert "pass.private" in {each["Name"] for each in world.call("ListNamespaces", {})["Namespaces"]}
    with pytest.raises(NamespaceNotFoundError, match="HttpName"):
        await ids.find(AttributesQuery(ServiceName("pass.private", "orders")))
    assert asking.asked == [NAMESPACES, NAMESPACES_BY_NAME]


async def test_a_namespace_without_an_http_name_is_found_by_name():
    """Some emulators have such namespaces."""
    asked = []

    async def answer(operation, service, parameters):
        filters = [each["Name"] for each in parameters["Filters"]]
        asked.append((operation, filters))
        if operation == "list_services":
            return {"Services": [{"Id": "srv-1", "Name": "orders"}]}
        return (
            {"Namespaces": [{"Id": "ns-1", "Name": "shop", "Properties": {"HttpProperties": {}}}]}
            if ("NAME" in filters)
            else {"Namespaces": []}
        )

    assert (await ServiceIds(answer).find(ORDERS)).value == "srv-1"
    assert asked == [
        ("list_namespaces", ["HTTP_NAME", "RESOURCE_OWNER"]),
        ("list_namespaces", ["NAME", "RESOURCE_OWNER"]),
        ("list_services", ["NAMESPACE_ID"]),
    ]


async def test_unknown_namespaces_and_services_are_different_errors(asking, ids):
    """Neither is remembered."""
    for _ in range(2):
        with pytest.raises(NamespaceNotFoundError):
            await ids.find(AttributesQuery(ServiceName("unknown", "orders")))
    for _ in range(2):
        with pytest.raises(ServiceNotFoundError):
            await ids.find(AttributesQuery(ServiceName("shop", "unknown")))
    # The second time the namespace is remembered, so it may be another one by now.
    assert asking.asked[4:] == [NAMESPACES, SERVICES, SERVICES, NAMESPACES]


async def test_services_of_a_shared_namespace_have_arns(asking, ids, world):
    """The account's own namespace of the same name is another one."""
    world.add_service("shop/orders", attributes={"OWNER": "theirs"}, owner_account=OWNER)
    shared = await ids.find(AttributesQuery(ORDERS.service, OWNER))
    assert shared.value.startswith(f"arn:aws:servicediscovery:eu-west-1:{OWNER}:service/srv-")
    assert owner_of(world, shared.value) == "theirs"
    assert owner_of(world, (await ids.find(ORDERS)).value) == "team-a"
    assert await ids.find(AttributesQuery(ORDERS.service, OWNER)) == (shared.value, True)
    with pytest.raises(NamespaceNotFoundError):
        await ids.find(AttributesQuery(ORDERS.service, "999999999999"))


async def test_a_shared_namespace_is_not_found_without_its_owner(ids, world):
    """DiscoverInstances does not find it either."""
    world.add_service("theirs/orders", owner_account=OWNER)
    with pytest.raises(NamespaceNotFoundError):
        await ids.find(AttributesQuery(ServiceName("theirs", "orders")))


async def test_a_forgotten_id_is_looked_up_again_with_its_namespace(asking, ids, world):
    """Both may have been deleted and created again."""
    old = await ids.find(ORDERS)
    world.remove_namespace("shop")
    world.add_service("shop/orders", attributes={"OWNER": "new"})
    ids.forget(ORDERS, old)
    new = await ids.find(ORDERS)
    assert (owner_of(world, new.value), new.remembered) == ("new", False)
    ids.forget(ORDERS, old)  # a late caller: the new one stays
    assert await ids.find(ORDERS) == (new.value, True)
    assert asking.asked == [NAMESPACES, SERVICES] * 2


async def test_a_service_in_a_recreated_namespace_is_found(asking, ids, world):
    """The remembered id of the namespace is out of date."""
    await ids.find(ORDERS)
    world.remove_namespace("shop")
    world.add_service("shop/late", attributes={"OWNER": "late"})
    found = await ids.find(AttributesQuery(ServiceName("shop", "late")))
    assert owner_of(world, found.value) == "late"
    assert asking.asked == [NAMESPACES, SERVICES, SERVICES, NAMESPACES, SERVICES]


async def test_simultaneous_callers_share_one_reading(asking, ids, world):
    """Fifty services of one namespace cost two calls."""
    for number in range(50):
        world.add_service(f"shop/service-{number}")
    asking.gate.clear()
    names = [ServiceName("shop", f"service-{number}") for number in range(50)]
    callers = [asyncio.ensure_future(ids.find(AttributesQuery(name))) for name in names]
    await asyncio.sleep(0)
    asking.gate.set()
    found = await asyncio.gather(*callers)
    assert len({each.value for each in found}) == 50
    assert asking.asked == [NAMESPACES, SERVICES]


async def test_all_waiting_callers_share_a_failure(asking, ids):
    """A throttled control plane is not called again by each of them."""
    asking.gate.clear()
    asking.error = ThrottledError("slow down")
    callers = [asyncio.ensure_future(ids.find(ORDERS)) for _ in range(10)]
    await asyncio.sleep(0)
    asking.gate.set()
    outcomes = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ThrottledError] * 10
    assert len({id(outcome) for outcome in outcomes}) == 10
    assert asking.asked == [NAMESPACES]
    asking.error = None
    assert not (await ids.find(ORDERS)).remembered


async def test_cancelling_a_caller_leaves_the_reading_to_the_others(asking, ids):
    """The list is not read a second time."""
    asking.gate.clear()
    first, second = (asyncio.ensure_future(ids.find(ORDERS)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    asking.gate.set()
    assert (await second).value
    assert first.cancelled()
    assert asking.asked == [NAMESPACES, SERVICES]


def test_ids_outlive_event_loops(asking, ids):
    """With one loop per invocation, each is looked up once."""

    async def find():
        asking.gate = asyncio.Event()
        asking.gate.set()
        return await ids.find(ORDERS)

    assert [asyncio.run(find()).remembered for _ in range(3)] == [False, True, True]
    ids.forget_after_fork()
    assert asyncio.run(find()).remembered


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"Namespaces": "none"},
        {"Namespaces": ["none"]},
        {"Namespaces": [{"Name": "shop"}]},
        {"Namespaces": [], "NextToken": "again"},
    ],
    ids=["nothing", "no list", "no objects", "no id", "an endless page"],
)
async def test_an_invalid_answer_is_a_protocol_error(answer):
    """Not an endless loop, and not an error of Python's own."""

    async def answering(operation, service, parameters):
        return answer

    with pytest.raises(ProtocolError) as caught:
        await ServiceIds(answering).find(ORDERS)
    assert caught.value.service == str(ORDERS.service)
