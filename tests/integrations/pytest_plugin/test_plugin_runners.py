"""The fixtures with every way to run asynchronous tests, in sessions where warnings are errors."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

BODY = """
    cloud_map_world.register("shop/orders", "orders-1", {"QUEUE_URL": "here"})
    orders = cloud_map.service("shop/orders")
    assert await orders.attribute("QUEUE_URL") == "here"
    assert await CloudMap().service("shop/orders").attribute("QUEUE_URL") == "here"
    cloud_map_world.fail("RequestLimitExceeded")
    cloud_map_clock.tick(31)
    assert await orders.attribute("QUEUE_URL") == "here"
    cloud_map_clock.tick(700)
    with pytest.raises(ThrottledError):
        await orders.attribute("QUEUE_URL")
"""
FIXTURES = "cloud_map, cloud_map_world, cloud_map_clock"


def test_under_pytest_asyncio_in_auto_mode(run):
    """Every coroutine is a test."""
    result = run(f"async def test_it({FIXTURES}):{BODY}", mode="auto")
    result.assert_outcomes(passed=1)


def test_under_pytest_asyncio_in_strict_mode(run):
    """Asynchronous tests are marked."""
    result = run(f"@pytest.mark.asyncio\nasync def test_it({FIXTURES}):{BODY}")
    result.assert_outcomes(passed=1)


def test_under_anyio_on_asyncio(run):
    """Its plugin runs coroutines with a mark and a backend."""
    pytest.importorskip("anyio")
    source = f"""
@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.anyio
async def test_it({FIXTURES}):{BODY}
"""
    run(source).assert_outcomes(passed=1)


def test_under_trio_the_error_names_asyncio(run):
    """The library requires asyncio: an error, not a hang."""
    pytest.importorskip("anyio")
    pytest.importorskip("trio")
    source = """
@pytest.fixture
def anyio_backend():
    return "trio"

@pytest.mark.anyio
async def test_it(cloud_map, cloud_map_world):
    cloud_map_world.register("shop/orders", "orders-1")
    with pytest.raises(ConfigurationError, match="no asyncio event loop is running"):
        await cloud_map.service("shop/orders").resolve()
"""
    run(source).assert_outcomes(passed=1)


def test_in_a_plain_test_that_runs_its_own_loop(run):
    """Without a plugin for coroutines."""
    source = f"""
def test_it({FIXTURES}):
    async def main():{BODY.replace(chr(10), chr(10) + "    ")}
    asyncio.run(main())
"""
    run(source, "-p", "no:anyio").assert_outcomes(passed=1)


def test_in_a_unittest_test_case(run):
    """With a fixture of the class that stores them."""
    source = f"""
class TestOrders(unittest.IsolatedAsyncioTestCase):
    @pytest.fixture(autouse=True)
    def store(self, {FIXTURES}):
        self.fixtures = {FIXTURES}

    async def test_it(self):
        {FIXTURES} = self.fixtures{BODY.replace(chr(10), chr(10) + "    ")}
"""
    run(source).assert_outcomes(passed=1)


def test_a_shared_loop_runs_no_tasks_of_the_previous_test(run):
    """Hanging refreshes are cancelled at the end of a test; answers and faults are removed."""
    source = """
pytestmark = pytest.mark.asyncio(loop_scope="session")
orders = CloudMap().service("shop/orders")
held = []

async def test_one(cloud_map, cloud_map_world, cloud_map_clock):
    cloud_map_world.register("shop/orders", "orders-1")
    mine = cloud_map.service("shop/orders")
    for handle in (orders, mine):
        await handle.resolve()
    own = CloudMap(backend=cloud_map_world.backend).service("shop/orders")
    cloud_map_world.hold(next=1)
    held.append(asyncio.create_task(own.resolve()))
    await cloud_map_world.faults.until_held()
    cloud_map_world.hang()
    cloud_map_clock.tick(31)
    for handle in (orders, mine):
        assert len(await handle.resolve()) == 1
        await asyncio.sleep(0)
        assert handle.explain().in_flight

async def test_two(cloud_map_world):
    assert len(await held.pop()) == 1
    for _ in range(3):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert orders.peek() is None
    cloud_map_world.register("shop/orders", "orders-2")
    assert [instance.id for instance in await orders.resolve()] == ["orders-2"]
"""
    run(source).assert_outcomes(passed=2)
