"""CloudMap and its handles: which arguments are refused at once, and what needs no event loop."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest

from aiocloudmap import CachePolicy, CloudMap, ConfigurationError, ConnectionPolicy, HealthFilter, Service, ServiceName
from aiocloudmap.cache.memory_store import MAX_ENTRIES


@pytest.fixture
def cloud_map() -> CloudMap:
    """A CloudMap with an engine of its own, which makes no call."""
    return CloudMap(shared=False)


def test_making_a_cloud_map_and_a_handle_needs_no_event_loop(cloud_map):
    """At import, in a request, anywhere."""
    service = cloud_map.service("shop/orders")
    assert isinstance(service, Service)
    assert service.name == ServiceName("shop", "orders")
    assert service.query.health is HealthFilter.HEALTHY_OR_ELSE_ALL


def test_a_name_may_be_a_service_name(cloud_map):
    """It makes the same question as its text."""
    assert cloud_map.service(ServiceName("shop", "orders")).query == cloud_map.service("shop/orders").query


def test_filters_become_the_question(cloud_map):
    """Sorted, so that equal filters make equal questions."""
    query = cloud_map.service(
        "shop/orders", health="ALL", where={"B": "2", "A": "1"}, prefer={"Z": "1"}, owner_account="123456789012"
    ).query
    assert query.health is HealthFilter.ALL
    assert (query.where, query.prefer) == ((("A", "1"), ("B", "2")), (("Z", "1"),))
    assert query.owner_account == "123456789012"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "orders"}, "invalid service name 'orders'"),
        ({"name": None}, "invalid service name None: expected a string"),
        ({"health": "SICK"}, "invalid health filter 'SICK'"),
        ({"where": 5}, "invalid where: expected a mapping"),
        ({"prefer": ["a"]}, "invalid prefer: expected a mapping"),
        ({"owner_account": "1"}, "invalid owner_account '1'"),
        ({"cache": 30}, r"invalid cache 30: expected CachePolicy\. Write cache=CachePolicy\(ttl=30\)"),
        ({"cache": 0}, "invalid cache 0: expected CachePolicy"),
    ],
)
def test_an_invalid_question_is_refused_at_once(cloud_map, arguments, message):
    """When the handle is made, and not at its first call."""
    with pytest.raises(ConfigurationError, match=message):
        cloud_map.service(**{"name": "shop/orders", **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cache": {"ttl": 30}}, "expected CachePolicy"),
        ({"connections": 16}, "expected ConnectionPolicy"),
        ({"session_factory": object()}, "invalid session_factory: expected a function, not object"),
        ({"on_event": "print"}, "invalid on_event: expected a function, not str"),
        ({"region": ""}, "invalid region ''"),
        ({"endpoint_url": "127.0.0.1:5000"}, "invalid endpoint_url"),
    ],
)
def test_an_invalid_setting_is_refused_at_once(arguments, message):
    """When the CloudMap is made."""
    with pytest.raises(ConfigurationError, match=message):
        CloudMap(**arguments)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"cache": CachePolicy(), "ttl": 5}, "cache= and ttl= are both given"),
        (
            {"connections": ConnectionPolicy(), "max_attempts": 1},
            "connections= and max_attempts= are both given",
        ),
    ],
)
def test_a_field_beside_its_whole_policy_is_refused(overrides, message):
    """Otherwise from_env would ignore one of them silently."""
    with pytest.raises(ConfigurationError, match=message):
        CloudMap.from_env(**overrides)


def test_a_policy_takes_precedence_over_the_environment(monkeypatch):
    """from_env accepts a whole policy."""
    monkeypatch.setenv("AIOCLOUDMAP_TTL", "7")
    assert isinstance(CloudMap.from_env(cache=CachePolicy(ttl=5)), CloudMap)


@pytest.mark.parametrize("copying", [copy.copy, copy.deepcopy, pickle.dumps])
def test_copying_or_pickling_is_refused_with_advice(cloud_map, copying):
    """The message says what to write instead."""
    with pytest.raises(TypeError, match=r"make a CloudMap\(\) where it is needed"):
        copying(cloud_map)
    with pytest.raises(TypeError, match=r"write CloudMap\(\)\.service\('shop/orders'\) where it is needed"):
        copying(cloud_map.service("shop/orders"))


def test_the_oldest_handles_are_dropped_first(cloud_map):
    """As many are kept as the store has entries."""
    names = [f"shop/orders-{number}" for number in range(MAX_ENTRIES + 10)]
    made = [cloud_map.service(name) for name in names]
    assert all(cloud_map.service(name) is handle for name, handle in list(zip(names, made, strict=True))[10:])
    assert all(cloud_map.service(name) is not handle for name, handle in zip(names[:10], made, strict=False))
    assert cloud_map.service(names[-1]) is made[-1]


def test_several_threads_may_make_handles_at_once(cloud_map):
    """One thread may drop a handle while another looks for it."""

    def make(thread: int) -> int:
        names = [f"shop/orders-{thread}-{number}" for number in range(2000)]
        return len([cloud_map.service(name) for name in names])

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(make, range(4))) == [2000] * 4


async def test_a_call_without_a_running_asyncio_loop_is_refused(cloud_map):
    """The message says what to do. The coroutine is driven by hand, as another framework would."""
    import threading

    caught: list[BaseException] = []

    def drive() -> None:
        try:
            cloud_map.service("shop/orders").resolve().send(None)
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=drive)
    thread.start()
    thread.join()
    [error] = caught
    assert isinstance(error, ConfigurationError)
    assert str(error).startswith("shop/orders: no asyncio event loop is running. Await this in a coroutine")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ttl": 60}, r"^unknown argument 'ttl' of CloudMap\. Write CloudMap\(cache=CachePolicy\(ttl=\.\.\.\)\)\.$"),
        ({"dns_ttl": 60}, r"Write CloudMap\(connections=ConnectionPolicy\(dns_ttl=\.\.\.\)\)"),
        ({"regoin": "eu-west-1"}, r"^unknown argument 'regoin' of CloudMap\. Write CloudMap\(region=\.\.\.\)\.$"),
        ({"xyzzy": 1}, r"^unknown argument 'xyzzy' of CloudMap\. See help"),
    ],
)
def test_an_unknown_argument_is_refused_with_the_nearest(arguments, message):
    """A field of a policy is told where it belongs."""
    with pytest.raises(ConfigurationError, match=message):
        CloudMap(**arguments)
    if "ttl" not in str(arguments):
        with pytest.raises(ConfigurationError, match=message):
            CloudMap.from_env(**arguments)
