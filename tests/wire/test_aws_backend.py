"""Requests to Cloud Map as they are sent, and how the answers are read."""

from __future__ import annotations

import asyncio
import threading
import uuid

import pytest
from aiobotocore.session import AioSession
from backends import ONE_ATTEMPT, ORDERS, discover, opened
from canned_server import CannedServer, Reply, found

from aiocloudmap import errors
from aiocloudmap.aws.session import AwsSession
from aiocloudmap.model.instance import HealthStatus
from aiocloudmap.model.policy import ConnectionPolicy
from aiocloudmap.model.query import HealthFilter, Query, ServiceName

pytestmark = pytest.mark.usefixtures("keys")

CROWDED = ConnectionPolicy(connect_timeout=60, read_timeout=60, max_connections=100, max_connections_per_host=100)


async def filled(session: AwsSession, count: int = 1, **attributes: str) -> ServiceName:
    """Create a service on moto with `count` instances."""
    name = ServiceName(f"ns-{uuid.uuid4().hex}", "orders")
    client = await session.client("servicediscovery")
    await client.create_http_namespace(Name=name.namespace)
    pages = (await client.list_namespaces())["Namespaces"]
    namespace = next(item["Id"] for item in pages if item["Name"] == name.namespace)
    service = (await client.create_service(Name=name.service, NamespaceId=namespace))["Service"]["Id"]
    for number in range(count):
        await client.register_instance(
            ServiceId=service, InstanceId=f"i-{number}", Attributes={"NUMBER": str(number), **attributes}
        )
    return name


# Against moto's server


async def test_every_instance_of_a_service_is_found(moto_url):
    """More than the hundred that AWS returns by default."""
    backend, session = opened(moto_url)
    name = await filled(session, 150)
    found_ = await backend.discover(Query(name))
    assert {(item.id, item.attributes["NUMBER"]) for item in found_.instances} == {
        (f"i-{number}", str(number)) for number in range(150)
    }


async def test_where_filters_and_prefer_falls_back_to_all(moto_url):
    """`where` may leave no instance, `prefer` does not."""
    backend, session = opened(moto_url)
    name = await filled(session, 3, STAGE="live")
    answers = [
        await backend.discover(Query(name, where=(("NUMBER", "1"),))),
        await backend.discover(Query(name, where=(("NUMBER", "9"),))),
        await backend.discover(Query(name, prefer=(("NUMBER", "2"),))),
        await backend.discover(Query(name, prefer=(("NUMBER", "9"),))),
    ]
    ids = [sorted(item.id for item in answer.instances) for answer in answers]
    assert ids == [["i-1"], [], ["i-2"], ["i-0", "i-1", "i-2"]]


async def test_an_empty_service_is_an_answer(moto_url):
    """It is not an error."""
    backend, session = opened(moto_url)
    assert (await backend.discover(Query(await filled(session, 0)))).instances == ()


async def test_unknown_namespaces_and_services_are_different_errors(moto_url):
    """The message names the possible causes of each."""
    backend, session = opened(moto_url)
    name = await filled(session)
    with pytest.raises(errors.NamespaceNotFoundError, match="HttpName") as namespace:
        await backend.discover(ORDERS)
    with pytest.raises(errors.ServiceNotFoundError, match="eu-west-1") as service:
        await backend.discover(Query(ServiceName(name.namespace, "unknown")))
    assert (namespace.value.service, service.value.service) == (str(ORDERS.service), f"{name.namespace}/unknown")


# What goes over the wire


async def test_the_request_has_all_parameters():
    """MaxResults and HealthStatus always, the others if they are set."""
    query = Query(
        ORDERS.service, health=HealthFilter.ALL, where={"A": "1"}, prefer={"B": "2"}, owner_account="123456789012"
    )
    with CannedServer(found()) as server:
        await discover(server.url)
        await discover(server.url, query)
    plain = {
        "NamespaceName": "shop",
        "ServiceName": "orders",
        "MaxResults": 1000,
        "HealthStatus": "HEALTHY_OR_ELSE_ALL",
    }
    full = {"QueryParameters": {"A": "1"}, "OptionalParameters": {"B": "2"}, "OwnerAccount": "123456789012"}
    assert [request.parameters for request in server.requests] == [plain, {**plain, "HealthStatus": "ALL", **full}]
    assert server.requests[0].headers["X-Amz-Target"] == "Route53AutoNaming_v20170314.DiscoverInstances"


async def test_the_answer_becomes_instances():
    """With id, health and attributes."""
    with CannedServer(found("orders-1")) as server:
        answer = await discover(server.url)
    (instance,) = answer.instances
    assert (instance.id, instance.service, instance.health, dict(instance.attributes), answer.revision) == (
        "orders-1",
        ORDERS.service,
        HealthStatus.HEALTHY,
        {"QUEUE_URL": "https://orders-1"},
        7,
    )


def instances(*items: object, **fields: object) -> Reply:
    """An answer with any values as instances."""
    return Reply.json({"Instances": list(items), **fields})


GARBAGE = {
    "nothing": Reply(),
    "html": Reply(200, b"<html><body>Log in to the network</body></html>"),
    "text": Reply(200, b"OK"),
    "cut json": Reply(200, found("orders-1").body[:-9]),
    "not utf-8": Reply(200, b"\xff\xfe\x00"),
    "a list": Reply.json([]),
    "a number": Reply.json(7),
    "null": Reply.json(None),
    "an object without instances": Reply.json({}),
    "null for instances": Reply.json({"Instances": None}),
    "an object for instances": Reply.json({"Instances": {"i-1": {}}}),
    "text for instances": Reply.json({"Instances": "i-1"}),
    "a number for instances": Reply.json({"Instances": 5}),
    "text for an instance": instances("i-1"),
    "null for an instance": instances(None),
    "no id": instances({"Attributes": {}}),
    "an empty id": instances({"InstanceId": ""}),
    "a number for an id": instances({"InstanceId": 5}),
    "a list for attributes": instances({"InstanceId": "i", "Attributes": []}),
    "text for attributes": instances({"InstanceId": "i", "Attributes": "A=b"}),
    "a number for a value": instances({"InstanceId": "i", "Attributes": {"PORT": 80}}),
    "null for a value": instances({"InstanceId": "i", "Attributes": {"PORT": None}}),
    "text for the revision": instances(InstancesRevision="7"),
    "a boolean for the revision": instances(InstancesRevision=True),
    "a connection that ends early": found("orders-1")._replace(cut=True),
}


@pytest.mark.parametrize("reply", GARBAGE.values(), ids=GARBAGE)
async def test_an_invalid_answer_is_a_protocol_error(reply):
    """Never an error of Python's own."""
    with CannedServer(reply) as server:
        with pytest.raises(errors.ProtocolError) as caught:
            await discover(server.url, connections=ONE_ATTEMPT)
    assert caught.value.service == str(ORDERS.service)


LENIENT = {
    "no revision": (instances({"InstanceId": "i"}), ("i", HealthStatus.UNKNOWN, {}, None)),
    "null attributes": (instances({"InstanceId": "i", "Attributes": None}), ("i", HealthStatus.UNKNOWN, {}, None)),
    "an unknown health status": (
        instances({"InstanceId": "i", "HealthStatus": "DEGRADED"}, InstancesRevision=1),
        ("i", HealthStatus.UNKNOWN, {}, 1),
    ),
    "an unknown field": (
        instances({"InstanceId": "i", "Zone": "a"}, Cluster="b"),
        ("i", HealthStatus.UNKNOWN, {}, None),
    ),
}


@pytest.mark.parametrize(("reply", "expected"), LENIENT.values(), ids=LENIENT)
async def test_missing_and_unknown_fields_are_accepted(reply, expected):
    """Later versions of the API may send them."""
    with CannedServer(reply) as server:
        answer = await discover(server.url)
    (item,) = answer.instances
    assert (item.id, item.health, dict(item.attributes), answer.revision) == expected


# Many callers, loops and threads


@pytest.mark.parametrize("callers", [10, 1000])
async def test_many_first_calls_make_one_session(callers):
    """Each discovery is one call: the backend itself does not share answers."""
    made = []

    def factory():
        made.append(AioSession())
        return made[-1]

    with CannedServer(found("orders-1")) as server:
        backend, _ = opened(server.url, CROWDED, factory)
        answers = await asyncio.gather(*(backend.discover(ORDERS) for _ in range(callers)))
    assert (len(made), len(server.requests), {len(answer.instances) for answer in answers}) == (1, callers, {1})


def test_one_backend_serves_successive_loops_and_threads():
    """The client is made once; only its connections belong to a loop."""
    with CannedServer(found("orders-1")) as server:
        backend, _ = opened(server.url)

        async def discoveries():
            return await asyncio.gather(*(backend.discover(ORDERS) for _ in range(4)))

        answers = [answer for _ in range(4) for answer in asyncio.run(discoveries())]
        threads = [threading.Thread(target=lambda: answers.extend(asyncio.run(discoveries()))) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [len(answer.instances) for answer in answers] == [1] * 40
