"""LocalBackend: answers, errors, call counts, and every fault in process."""

from __future__ import annotations

import asyncio
import threading

import pytest
from tests.support.named_faults import NAMED_FAULTS

from aiocloudmap import (
    ConfigurationError,
    ConnectError,
    InvalidRequestError,
    NamespaceNotFoundError,
    ProtocolError,
    ServiceNotFoundError,
    ThrottledError,
)
from aiocloudmap.local import Faults, LocalBackend, LocalServer, Quotas, Rate, World
from aiocloudmap.model.query import HealthFilter, Query, ServiceName

ORDERS = Query(ServiceName("shop", "orders"))
BILLING = Query(ServiceName("shop", "billing"))


@pytest.fixture
def backend(world):
    world.register("shop/orders", "a", {"STAGE": "live", "ZONE": "1"})
    world.register("shop/orders", "b", {"STAGE": "live", "ZONE": "2"})
    world.add_service("shop/billing")
    return LocalBackend(world)


async def ids(backend, query=ORDERS):
    return sorted(instance.id for instance in (await backend.discover(query)).instances)


async def test_an_answer_has_typed_instances_and_the_revision(backend):
    """The same values as from the AWS backend."""
    answer = await backend.discover(ORDERS)
    assert answer.revision == 2
    first = min(answer.instances, key=lambda each: each.id)
    assert (first.id, first.service, first.health) == ("a", ORDERS.service, "UNKNOWN")
    assert dict(first.attributes) == {"STAGE": "live", "ZONE": "1"}


async def test_every_part_of_a_query_is_used(backend, world):
    """Health, where, prefer and owner_account."""
    world.set_health("shop/orders", "a", "UNHEALTHY")
    world.register("shared/orders", "c", owner_account="210987654321")
    assert await ids(backend, Query(ORDERS.service, HealthFilter.UNHEALTHY)) == ["a"]
    assert await ids(backend, Query(ORDERS.service, HealthFilter.ALL, where={"ZONE": "2"})) == ["b"]
    assert await ids(backend, Query(ORDERS.service, HealthFilter.ALL, prefer={"ZONE": "1"})) == ["a"]
    shared = Query(ServiceName("shared", "orders"), owner_account="210987654321")
    assert await ids(backend, shared) == ["c"]


async def test_all_instances_are_returned(backend, world):
    """The API's default of 100 does not apply."""
    for number in range(300):
        world.register("shop/billing", str(number))
    assert len(await ids(backend, BILLING)) == 300


async def test_errors_are_the_librarys_own_and_name_the_service(backend, clock):
    """As from the AWS backend, with the RefusedError as the cause."""
    for name, kind in (("unknown/orders", NamespaceNotFoundError), ("shop/unknown", ServiceNotFoundError)):
        with pytest.raises(kind) as caught:
            await backend.discover(Query(ServiceName.parse(name)))
        assert str(caught.value.service) == name
        assert caught.value.__cause__ is not None
    throttled = LocalBackend(World(clock=clock, quotas=Quotas(discover_instances=Rate(0, 0))))
    with pytest.raises(ThrottledError):
        await throttled.discover(ORDERS)
    with pytest.raises(InvalidRequestError) as caught:
        await backend.discover(_Bad())
    assert caught.value.code == "InvalidInput"


class _Bad:
    """A query with a health filter that `Query` would refuse."""

    service, health, where, prefer, owner_account = ORDERS.service, "SICK", (), (), None


async def test_calls_are_counted_by_operation_and_service(backend):
    """Failed calls count too."""
    await backend.discover(ORDERS)
    with backend.faults.reset(), pytest.raises(ConnectError):
        await backend.discover(ORDERS)
    await backend.discover(BILLING)
    assert backend.calls["DiscoverInstances"] == backend.calls.total == 3
    assert backend.calls["DiscoverInstancesRevision"] == 0
    assert backend.calls.by_service == {"shop/billing": 1, "shop/orders": 2}
    assert backend.calls.of("shop/orders", "DiscoverInstances") == 2
    assert backend.calls.by_operation == dict(backend.calls) == {"DiscoverInstances": 3}
    assert list(backend.calls) == ["DiscoverInstances"]
    backend.calls.reset()
    assert backend.calls.total == 0


@pytest.mark.parametrize(("fault", "kind"), NAMED_FAULTS)
async def test_a_fault_raises_the_same_error_as_aws(backend, fault, kind):
    """For the number of calls and the service it was switched on for."""
    switched = getattr(backend.faults, fault)(next=2, service="shop/orders")
    assert await ids(backend, BILLING) == []
    for _ in range(2):
        with pytest.raises(kind) as caught:
            await backend.discover(ORDERS)
        assert (type(caught.value), caught.value.service) == (kind, str(ORDERS.service))
    assert await ids(backend) == ["a", "b"]
    assert switched.hits == 2


async def test_a_fault_lasts_until_it_is_cleared(backend):
    """One fault, all faults, or at the end of a block."""
    first = backend.faults.throttle()
    second = backend.faults.reset()
    for _ in range(3):
        with pytest.raises(ThrottledError):
            await backend.discover(ORDERS)
    assert (first.hits, second.hits) == (3, 0)
    first.clear()
    with pytest.raises(ConnectError):
        await backend.discover(ORDERS)
    backend.faults.clear()
    with backend.faults.garbage(), pytest.raises(ProtocolError):
        await backend.discover(ORDERS)
    assert await ids(backend) == ["a", "b"]


async def test_a_fault_may_apply_to_one_operation_only(backend):
    """By AWS's name of it."""
    backend.faults.throttle(operation="DiscoverInstancesRevision")
    assert await ids(backend) == ["a", "b"]


async def test_truncate_may_leave_out_instances(backend):
    """The answer looks complete."""
    backend.faults.truncate(instances=1, next=1)
    assert len(await ids(backend)) == 1
    assert len(await ids(backend)) == 2


async def test_a_delay_uses_the_worlds_clock(backend, clock):
    """A cancelled call leaves no timer."""
    backend.faults.delay(5)
    task = asyncio.create_task(ids(backend))
    await asyncio.sleep(0)
    clock.tick(4.9)
    await asyncio.sleep(0)
    assert not task.done()
    clock.tick(0.1)
    assert await task == ["a", "b"]
    cancelled = asyncio.create_task(ids(backend))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert clock.timers == 0


async def test_a_delay_comes_before_the_failure(backend, clock):
    """Two faults make a slow failure, in either order."""
    backend.faults.throttle()
    backend.faults.delay(5)
    task = asyncio.create_task(backend.discover(ORDERS))
    await asyncio.sleep(0)
    assert not task.done()
    clock.tick(5)
    with pytest.raises(ThrottledError):
        await task


async def test_a_hang_waits_until_it_is_cancelled(backend):
    """Clearing it affects later calls only."""
    backend.faults.hang(next=1)
    task = asyncio.create_task(backend.discover(ORDERS))
    await asyncio.sleep(0)
    backend.faults.clear()
    assert await ids(backend) == ["a", "b"]
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_held_call_waits_for_its_release(backend):
    """The test decides when the answer comes, without sleeping."""
    backend.faults.hold()
    tasks = [asyncio.create_task(ids(backend)) for _ in range(3)]
    async with asyncio.timeout(5):
        await backend.faults.until_held(3)
    assert backend.faults.held == 3
    backend.faults.release(1)
    assert await tasks[0] == ["a", "b"]
    assert backend.faults.held == 2
    backend.faults.release()
    assert await asyncio.gather(*tasks[1:]) == [["a", "b"]] * 2
    assert await ids(backend) == ["a", "b"]


async def test_a_cancelled_call_is_no_longer_held(backend):
    """`until_held` does not count it."""
    with backend.faults.hold():
        task = asyncio.create_task(ids(backend))
        await backend.faults.until_held()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert backend.faults.held == 0
        other = asyncio.create_task(ids(backend))
        await backend.faults.until_held()
    assert await other == ["a", "b"]


async def test_a_release_before_the_wait_is_not_lost(backend):
    """The call passes the gate without waiting."""
    backend.faults.hold()
    met, gate = backend.faults.take("DiscoverInstances", "shop/orders")
    backend.faults.release()
    async with asyncio.timeout(5):
        await gate.wait()
    assert [fault.hits for fault in met] == [1]


def test_calls_are_held_across_threads_and_loops(backend):
    """One release from any thread wakes them all."""
    backend.faults.hold()
    answers = []

    def ask():
        answers.append(asyncio.run(ids(backend)))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()

    async def wait():
        async with asyncio.timeout(10):
            await backend.faults.until_held(3)

    asyncio.run(wait())
    backend.faults.release()
    for thread in threads:
        thread.join()
    assert answers == [["a", "b"]] * 3


def test_a_release_skips_calls_of_a_closed_loop(backend):
    """Later calls are answered."""
    backend.faults.hold()
    loop = asyncio.new_event_loop()
    task = loop.create_task(ids(backend))
    loop.run_until_complete(backend.faults.until_held())
    loop.close()
    backend.faults.release()
    assert asyncio.run(ids(backend)) == ["a", "b"]
    task._log_destroy_pending = False


async def test_drop_idle_has_no_effect_in_process(backend):
    """There are no connections."""
    backend.faults.drop_idle()
    assert await ids(backend) == ["a", "b"]


@pytest.mark.parametrize(
    ("fault", "arguments"),
    [
        ("throttle", {"next": 0}),
        ("throttle", {"next": "x"}),
        ("throttle", {"next": 1.5}),
        ("throttle", {"next": True}),
        ("delay", {"seconds": -1}),
        ("delay", {"seconds": "x"}),
        ("delay", {"seconds": float("nan")}),
        ("fail", {"error": 5}),
        ("fail", {"error": []}),
        ("fail", {"error": "CustomerHasLeft", "status": "x"}),
        ("server_error", {"status": 400}),
        ("server_error", {"status": None}),
        ("truncate", {"instances": -1}),
        ("truncate", {"instances": "x"}),
        ("throttle", {"service": "orders"}),
        ("throttle", {"service": 5}),
        ("throttle", {"operation": 5}),
    ],
)
def test_an_invalid_fault_is_a_configuration_error(fault, arguments):
    """At once, and the fault is not switched on."""
    faults = Faults()
    with pytest.raises(ConfigurationError):
        getattr(faults, fault)(**arguments)
    assert repr(faults) == "<Faults [], 0 held>"


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        ("Bogus", "^invalid operation 'Bogus': expected an operation of Cloud Map or an X-Amz-Target. Use AWS's name"),
        ("DiscoverInstance", "or an X-Amz-Target. Did you mean 'DiscoverInstances'?"),
        ("discover_instances", "Did you mean 'DiscoverInstances'?"),
        ("Route53AutoNaming_v20170314.DiscoverInstances", "Did you mean 'DiscoverInstances'?"),
        ("", "^invalid operation '': expected"),
    ],
)
def test_a_fault_for_an_unknown_operation_is_refused(operation, message):
    """It would apply to no call, and a test would pass for the wrong reason."""
    with pytest.raises(ConfigurationError, match=message.replace("?", r"\?")):
        Faults().throttle(operation=operation)


def test_a_fault_may_name_a_service_that_does_not_exist_yet():
    """Targets of other AWS services too."""
    faults = Faults()
    faults.throttle(operation="AmazonSQS.ReceiveMessage", service="shop/later")
    with pytest.raises(ConfigurationError):
        faults.throttle(operation="Plain")
    server = LocalServer(World(), faults)
    server.add_target("Plain", dict)
    faults.throttle(operation="Plain")
    with pytest.raises(ConfigurationError, match=r"Did you mean 'Plain'\?"):
        faults.throttle(operation="Plane")


def test_an_unknown_scope_argument_is_refused():
    """Otherwise the fault would apply to more calls than intended."""
    with pytest.raises(TypeError, match="a fault takes next, operation, service, not times"):
        Faults().throttle(times=2)


def test_the_repr_lists_active_faults():
    """For debugging."""
    faults = Faults()
    faults.throttle()
    faults.hold()
    assert "throttle" in repr(faults)
    assert "hold" in repr(faults)
