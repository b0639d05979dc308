"""AWS is down, slow, throttling or sends garbage: what callers get, and how often AWS is asked."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.named_faults import NAMED_FAULTS

from aiocloudmap import (
    CloudMap,
    CloudMapError,
    ConfigurationError,
    ConnectError,
    DeadlineError,
    Discovery,
    Instance,
    NamespaceNotFoundError,
    Query,
    ServiceNotFoundError,
    UnavailableError,
)

EPSILON = 0.001


def depth(error: BaseException) -> int:
    """Count the frames in an error's traceback."""
    frames, traceback = 0, error.__traceback__
    while traceback is not None:
        frames, traceback = frames + 1, traceback.tb_next
    return frames


class Failing:
    """A backend that raises the given errors in turn. None stands for an answer."""

    def __init__(self, *outcomes: BaseException | None) -> None:
        self.outcomes = list(outcomes)
        self.calls = 0

    async def discover(self, query: Query) -> Discovery:
        self.calls += 1
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if outcome is None:
            return Discovery((Instance("a", query.service),))
        raise outcome


@pytest.mark.parametrize(("fault", "error"), NAMED_FAULTS)
@pytest.mark.parametrize("age", [30, 60, 629.9])
async def test_any_failure_keeps_the_old_answer(stage, fault, error, age):
    """Stale and fallback answers survive every failure, including expired tokens and missing permissions."""
    service = await stage.known()
    getattr(stage.faults, fault)()
    stage.clock.tick(age)
    assert len(await service.resolve()) == 1
    await stage.settle()
    assert len(await service.resolve()) == 1
    assert stage.calls == 2
    assert type(service.explain().last_error) is error


@pytest.mark.parametrize(("fault", "error"), NAMED_FAULTS)
async def test_any_failure_without_an_answer_raises_its_named_error(stage, fault, error):
    """Without an answer in memory, the caller gets an error that names the service."""
    service = stage.cloud_map().service("shop/orders")
    getattr(stage.faults, fault)()
    with pytest.raises(CloudMapError, match=r"^shop/orders: ") as caught:
        await service.resolve()
    assert type(caught.value) is error
    assert caught.value.service == str(service.name)
    assert caught.value.last_good_age is None


async def test_an_error_reports_the_age_of_the_last_good_answer(stage):
    """Past the hard end, the error reports how old the last good answer is."""
    service = await stage.known()
    stage.faults.server_error()
    stage.clock.tick(700)
    with pytest.raises(UnavailableError, match="the last good answer is 700 s old") as caught:
        await service.resolve()
    assert caught.value.last_good_age == 700


@pytest.mark.parametrize("age", [30, 60])
async def test_twenty_callers_in_an_outage_cost_one_call(stage, age):
    """Twenty callers in sequence get twenty answers from one failed call. After it, no caller waits."""
    service = await stage.known()
    stage.faults.server_error()
    stage.clock.tick(age)
    answers = [await service.resolve()]
    await stage.settle()
    answers += [stage.at_once(service.resolve()) for _ in range(19)]
    assert [len(answer) for answer in answers] == [1] * 20
    assert stage.calls == 2


@pytest.mark.parametrize("age", [30, 60])
async def test_the_backoff_doubles_from_half_a_second_to_thirty_seconds(stage, age):
    """After n failures in a row, the next attempt is min(30, 0.5·2ⁿ⁻¹)·U[½,1) s away."""
    service = await stage.known(stale_while_revalidate=30 if age == 60 else 300)
    stage.faults.server_error()
    stage.clock.tick(age)
    for failure in range(1, 12):
        await service.resolve()
        await stage.settle()
        bound = min(30, 0.5 * 2 ** (failure - 1))
        wait = service.explain().refresh_in
        assert service.explain().failures == failure
        assert bound / 2 - 1e-6 <= wait < bound
        stage.clock.tick(wait - EPSILON)
        stage.at_once(service.resolve())
        await stage.settle()
        assert stage.calls == 1 + failure
        stage.clock.tick(EPSILON)


async def test_without_an_answer_the_backoff_raises_the_error_at_once(stage):
    """Without an answer, the same error is raised at once and reports when the next attempt may be made."""
    service = stage.cloud_map().service("shop/orders")
    stage.faults.server_error()
    for failure in range(1, 10):
        with pytest.raises(UnavailableError) as caught:
            await service.resolve()
        wait = caught.value.retry_after
        bound = min(30, 0.5 * 2 ** (failure - 1))
        assert bound / 2 - 1e-6 <= wait < bound
        assert stage.calls == failure
        stage.clock.tick(wait - EPSILON)
        with pytest.raises(UnavailableError) as caught:
            stage.at_once(service.resolve())
        assert caught.value.retry_after == pytest.approx(EPSILON)
        assert stage.calls == failure
        stage.clock.tick(EPSILON)


async def test_the_backoff_of_many_services_is_spread(stage):
    """A hundred services that fail together do not retry together."""
    cloud_map = stage.cloud_map()
    stage.faults.server_error()
    waits = []
    for number in range(100):
        with pytest.raises(UnavailableError) as caught:
            await cloud_map.service(f"shop/s{number}").resolve()
        waits.append(caught.value.retry_after)
    assert min(waits) >= 0.25
    assert max(waits) < 0.5
    assert max(waits) - min(waits) > 0.1


async def test_a_success_resets_the_backoff(stage):
    """After an answer, the next failure starts at half a second again."""
    service = await stage.known()
    stage.faults.server_error(next=5)
    stage.clock.tick(60)
    for _ in range(5):
        await service.resolve()
        stage.clock.tick(30)
    await service.resolve()
    assert service.explain().failures == 0
    assert service.explain().last_error is None
    stage.faults.server_error()
    stage.clock.tick(60)
    await service.resolve()
    assert service.explain().refresh_in < 0.5


async def test_concurrent_callers_share_one_failure(stage):
    """Ten concurrent callers without an answer cause one call and get ten separate exceptions."""
    service = stage.cloud_map().service("shop/orders")
    stage.faults.server_error()
    errors = await asyncio.gather(*(service.resolve() for _ in range(10)), return_exceptions=True)
    assert stage.calls == 1
    assert [type(error) for error in errors] == [UnavailableError] * 10
    assert len({id(error) for error in errors}) == 10
    assert service.explain().failures == 1


async def test_a_remembered_error_is_raised_as_a_new_exception(clock, stage):
    """Same message, same cause, a new object, and a traceback that does not grow."""
    cause = OSError(111, "refused")
    failure = ConnectError("cannot connect", advice="Check the network.")
    failure.__cause__ = cause
    service = CloudMap(backend=Failing(failure), clock=clock).service("shop/orders")
    raised = []
    for _ in range(10):
        with pytest.raises(ConnectError, match=r"^shop/orders: cannot connect\. Check the network\.") as caught:
            await service.resolve()
        raised.append(caught.value)
    assert len({id(error) for error in raised}) == 10
    assert all(error.__cause__ is cause for error in raised)
    assert len({depth(error) for error in raised[1:]}) == 1
    assert depth(cause) == 0


@pytest.mark.parametrize(
    ("name", "error"), [("nowhere/orders", NamespaceNotFoundError), ("shop/nothing", ServiceNotFoundError)]
)
async def test_not_found_is_remembered_for_negative_ttl(stage, name, error):
    """A missing namespace or service is not asked for again before negative_ttl."""
    service = stage.cloud_map(negative_ttl=5).service(name)
    raised = []
    for moment in (0, 5 - EPSILON, EPSILON):
        stage.clock.tick(moment)
        with pytest.raises(error) as caught:
            await service.resolve()
        raised.append((caught.value, stage.calls))
    assert [calls for _, calls in raised] == [1, 1, 2]
    assert len({id(each) for each, _ in raised}) == 3
    assert raised[1][0].__cause__ is raised[0][0].__cause__ is not None


async def test_a_remembered_not_found_is_raised_at_once(stage):
    """The second caller does not wait."""
    service = stage.cloud_map().service("shop/nothing")
    with pytest.raises(ServiceNotFoundError):
        await service.resolve()
    with pytest.raises(ServiceNotFoundError):
        stage.at_once(service.resolve())


async def test_not_found_is_remembered_for_each_service_separately(stage):
    """One missing service does not affect another."""
    cloud_map = stage.cloud_map()
    with pytest.raises(ServiceNotFoundError):
        await cloud_map.service("shop/nothing").resolve()
    assert len(await cloud_map.service("shop/orders").resolve()) == 1
    with pytest.raises(ServiceNotFoundError):
        await cloud_map.service("shop/nought").resolve()
    assert stage.calls == 3


async def test_a_negative_ttl_of_zero_does_not_remember_not_found(stage):
    """With negative_ttl=0 every caller asks, and a service that appears is found at once."""
    service = stage.cloud_map(negative_ttl=0).service("shop/new")
    for _ in range(2):
        with pytest.raises(ServiceNotFoundError):
            await service.resolve()
    stage.world.register("shop/new", "new-1", {"A": "1"})
    assert len(await service.resolve()) == 1
    assert stage.calls == 3


@pytest.mark.parametrize("age", [60, 700])
async def test_a_configuration_error_is_never_hidden(clock, age):
    """Past the stale period, an old answer does not hide a ConfigurationError, and it is not remembered."""
    backend = Failing(None, ConfigurationError("no region"), ConfigurationError("no region"), None)
    service = CloudMap(backend=backend, clock=clock).service("shop/orders")
    await service.resolve()
    clock.tick(age)
    for calls in (2, 3):
        with pytest.raises(ConfigurationError, match=r"^shop/orders: no region"):
            await service.resolve()
        assert backend.calls == calls
    assert len(await service.resolve()) == 1


@pytest.mark.parametrize(("age", "settings"), [(30, {}), (60, {"soft_timeout": 0})])
async def test_a_configuration_error_in_the_background_reaches_the_next_caller(clock, stage, age, settings):
    """A background refresh finds the configuration wrong: the next caller gets the error until it is fixed."""
    wrong = ConfigurationError("no region")
    backend = Failing(None, wrong, wrong, None)
    service = stage.cloud_map(backend=backend, **settings).service("shop/orders")
    await service.resolve()
    clock.tick(age)
    assert len(stage.at_once(service.resolve())) == 1
    await stage.settle()
    with pytest.raises(ConfigurationError, match="no region"):
        await service.resolve()
    assert len(await service.resolve()) == 1
    assert service.explain().last_error is None


async def test_a_configuration_error_of_a_forced_call_keeps_a_fresh_answer(clock, stage):
    """A fresh answer needs no call and stays fresh until its ttl."""
    backend = Failing(None, ConfigurationError("no region"))
    service = stage.cloud_map(backend=backend).service("shop/orders")
    await service.resolve()
    with pytest.raises(ConfigurationError):
        await service.resolve(max_age=0)
    assert len(stage.at_once(service.resolve())) == 1


async def test_any_exception_of_a_backend_becomes_a_named_error(clock):
    """A bug in a backend is an UnavailableError with its cause, and no caller waits forever."""
    bug = KeyError("Instances")
    service = CloudMap(backend=Failing(bug), clock=clock).service("shop/orders")
    with pytest.raises(UnavailableError, match="KeyError") as caught:
        await service.resolve()
    assert caught.value.__cause__ is bug


class Stubborn:
    """A backend that ignores cancellation until the test releases it."""

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.cancelled = 0

    async def discover(self, query: Query) -> Discovery:
        while not self.released.is_set():
            try:
                await self.released.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
        return Discovery((Instance("late", query.service),))


async def test_the_deadline_holds_for_a_backend_that_ignores_cancellation(stage):
    """Callers get their error at the deadline, and the late result is not written."""
    backend = Stubborn()
    service = stage.cloud_map(backend=backend).service("shop/orders")
    waiting = await stage.start(service.resolve())
    await stage.tick(5)
    with pytest.raises(DeadlineError, match="no answer within 5 s"):
        await waiting
    assert backend.cancelled == 1
    backend.released.set()
    await stage.settle()
    assert service.peek() is None


async def test_the_remembered_error_is_not_the_raised_one(stage):
    """A caller that modifies the error it caught changes nothing for other callers."""
    service = stage.cloud_map().service("shop/orders")
    stage.faults.server_error()
    with pytest.raises(UnavailableError) as caught:
        await service.resolve()
    assert service.explain().last_error is not caught.value
