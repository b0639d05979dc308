"""The world as a backend in the same process, and every fault there."""

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


async def test_it_answers_with_typed_instances_and_the_revision(backend):
    """What the AWS backend would make of the same answer."""
    answer = await backend.discover(ORDERS)
    assert answer.revision == 2
    first = min(answer.instances, key=lambda each: each.id)
    assert (first.id, first.service, first.health) == ("a", ORDERS.service, "UNKNOWN")
    assert dict(first.attributes) == {"STAGE": "live", "ZONE": "1"}


async def test_every_part_of_the_question_counts(backend, world):
    """Health, where, prefer and owner."""
    world.set_health("shop/orders", "a", "UNHEALTHY")
    world.register("shared/orders", "c", owner_account="210987654321")
    assert await ids(backend, Query(ORDERS.service, HealthFilter.UNHEALTHY)) == ["a"]
    assert await ids(backend, Query(ORDERS.service, HealthFilter.ALL, where={"ZONE": "2"})) == ["b"]
    assert await ids(backend, Query(ORDERS.service, HealthFilter.ALL, prefer={"ZONE": "1"})) == ["a"]
    shared = Query(ServiceName("shared", "orders"), owner_account="210987654321")
    assert await ids(backend, shared) == ["c"]


async def test_a_thousand_instances_come(backend, world):
    """The default of 100 does not apply."""
    for number in range(300):
        world.register("shop/billing", str(number))
    assert len(await ids(backend, BILLING)) == 300


async def test_errors_are_the_librarys_own_and_name_the_service(backend, clock):
    """As from the AWS backend, with the refusal as the cause."""
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
    """A question that `Query` would not have let through."""

    service, health, where, prefer, owner_account = ORDERS.service, "SICK", (), (), None


async def test_calls_are_counted_by_operation_and_service(backend):
    """Failed ones as well."""
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
async def test_a_fault_is_the_error_that_aws_would_be(backend, fault, kind):
    """For as many calls as it is switched on for, and for the service it is switched on for."""
    switched = getattr(backend.faults, fault)(next=2, service="shop/orders")
    assert await ids(backend, BILLING) == []
    for _ in range(2):
        with pytest.raises(kind) as caught:
            await backend.discover(ORDERS)
        assert (type(caught.value), caught.value.service) == (kind, str(ORDERS.service))
    assert await ids(backend) == ["a", "b"]
    assert switched.hits == 2


async def test_a_fault_lasts_until_it_is_cleared(backend):
    """One of them, all of them, or at the end of a block."""
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


async def test_a_fault_may_be_for_one_operation_only(backend):
    """By AWS's name."""
    backend.faults.throttle(operation="DiscoverInstancesRevision")
    assert await ids(backend) == ["a", "b"]


async def test_fewer_instances_may_come(backend):
    """As if that were all."""
    backend.faults.truncate(instances=1, next=1)
    assert len(await ids(backend)) == 1
    assert len(await ids(backend)) == 2


async def test_a_delay_waits_for_the_worlds_clock(backend, clock):
    """And a cancelled one leaves no timer."""
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


async def test_a_delay_goes_before_what_fails(backend, clock):
    """A slow failure is made of two faults, in either order."""
    backend.faults.throttle()
    backend.faults.delay(5)
    task = asyncio.create_task(backend.discover(ORDERS))
    await asyncio.sleep(0)
    assert not task.done()
    clock.tick(5)
    with pytest.raises(ThrottledError):
        await task


async def test_a_hang_waits_until_it_is_cancelled(backend):
    """Clearing it helps later calls only."""
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
    """A test decides when the answer comes, without sleeping."""
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


async def test_a_held_call_that_is_cancelled_is_held_no_more(backend):
    """And those who wait for held ones count without it."""
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


async def test_a_call_that_was_met_by_a_hold_is_not_forgotten_by_its_release(backend):
    """Released before it began to wait, it does not wait."""
    backend.faults.hold()
    met, gate = backend.faults.take("DiscoverInstances", "shop/orders")
    backend.faults.release()
    async with asyncio.timeout(5):
        await gate.wait()
    assert [fault.hits for fault in met] == [1]


def test_calls_are_held_over_threads_and_loops(backend):
    """One release from anywhere wakes them all."""
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


def test_a_loop_that_died_with_a_held_call_does_not_stop_the_others(backend):
    """Nobody is left to wake there."""
    backend.faults.hold()
    loop = asyncio.new_event_loop()
    task = loop.create_task(ids(backend))
    loop.run_until_complete(backend.faults.until_held())
    loop.close()
    backend.faults.release()
    assert asyncio.run(ids(backend)) == ["a", "b"]
    task._log_destroy_pending = False


async def test_dropping_idle_connections_means_nothing_here(backend):
    """There are none."""
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
def test_a_fault_that_cannot_be_is_a_configuration_error(fault, arguments):
    """Told at once, where it is written, and nothing is switched on."""
    faults = Faults()
    with pytest.raises(ConfigurationError):
        getattr(faults, fault)(**arguments)
    assert repr(faults) == "<Faults [], 0 held>"


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        ("Bogus", "^operation='Bogus' is no operation of Cloud Map. Give AWS's name of one, like 'DiscoverInstances'"),
        ("DiscoverInstance", "is no operation of Cloud Map; is it DiscoverInstances?"),
        ("discover_instances", "; is it DiscoverInstances?"),
        ("Route53AutoNaming_v20170314.DiscoverInstances", "; is it DiscoverInstances?"),
        ("", "operation='' is no"),
    ],
)
def test_a_fault_for_an_operation_that_there_is_not_is_refused(operation, message):
    """It would meet no call, and the test that ordered it would pass for nothing."""
    with pytest.raises(ConfigurationError, match=message.replace("?", r"\?")):
        Faults().throttle(operation=operation)


def test_a_fault_may_be_for_another_service_and_for_one_that_is_not_there_yet():
    """Targets and services may come later."""
    faults = Faults()
    faults.throttle(operation="AmazonSQS.ReceiveMessage", service="shop/later")
    with pytest.raises(ConfigurationError):
        faults.throttle(operation="Plain")
    server = LocalServer(World(), faults)
    server.add_target("Plain", dict)
    faults.throttle(operation="Plain")
    with pytest.raises(ConfigurationError, match=r"is it Plain\?"):
        faults.throttle(operation="Plane")


def test_a_word_that_is_none_of_a_scopes_is_refused():
    """As for any function; else the fault would meet more calls than it was ordered for."""
    with pytest.raises(TypeError, match="a fault takes next, operation, service, not times"):
        Faults().throttle(times=2)


def test_faults_say_what_is_on():
    """For a look in the debugger."""
    faults = Faults()
    faults.throttle()
    faults.hold()
    assert "throttle" in repr(faults)
    assert "hold" in repr(faults)
