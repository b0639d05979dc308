"""Shared engines: which settings share an engine, and which do not."""

import gc
import logging
import weakref

import pytest

from aiocloudmap import CachePolicy, CloudMap, ConfigurationError, ConnectionPolicy
from aiocloudmap.client.registry import registry
from aiocloudmap.testing import ManualClock, reset


@pytest.fixture(autouse=True)
def no_engines():
    """Start without the engines of other tests."""
    reset()


def engine_of(cloud_map):
    """The engine has no public name, and these tests compare identities."""
    return cloud_map._engine


def test_cloud_maps_share_an_engine_whatever_their_policies_and_listeners():
    """cache and on_event are not part of the key, so a CloudMap per request is cheap."""
    made = [CloudMap(region="eu-west-1", cache=CachePolicy(ttl=n), on_event=print) for n in range(1000)]
    assert len({id(engine_of(each)) for each in made}) == 1
    assert len(registry) == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"region": "us-east-1"},
        {"endpoint_url": "http://127.0.0.1:1"},
        {"connections": ConnectionPolicy(max_attempts=1)},
    ],
)
def test_another_setting_makes_another_engine(settings):
    """Region, endpoint and ConnectionPolicy are part of the key."""
    assert engine_of(CloudMap(region="eu-west-1")) is not engine_of(CloudMap(**({"region": "eu-west-1"} | settings)))


def test_equal_policies_share_an_engine():
    """The key compares values, not identities."""
    first, second = (CloudMap(connections=ConnectionPolicy(max_connections=20)) for _ in range(2))
    assert engine_of(first) is engine_of(second)


def test_each_session_factory_has_its_own_engine():
    """Two factories mean two sets of credentials."""

    def tenant_a():
        raise NotImplementedError

    def tenant_b():
        raise NotImplementedError

    a, again, b = (CloudMap(session_factory=factory) for factory in (tenant_a, tenant_a, tenant_b))
    assert engine_of(a) is engine_of(again)
    assert engine_of(a) is not engine_of(b)


def test_another_aws_environment_makes_another_engine(monkeypatch):
    """Credentials and Region may come from AWS_* variables, so these are part of the key."""
    monkeypatch.setenv("AWS_PROFILE", "one")
    first = CloudMap()
    monkeypatch.setenv("AWS_PROFILE", "two")
    assert engine_of(CloudMap()) is not engine_of(first)
    monkeypatch.setenv("AWS_PROFILE", "one")
    assert engine_of(CloudMap()) is engine_of(first)


def test_a_backend_a_clock_or_shared_false_is_never_shared(stage):
    """Answers of another backend or clock must not reach other CloudMaps."""
    for settings in ({"backend": stage.backend}, {"clock": ManualClock()}, {"shared": False}):
        assert engine_of(CloudMap(**settings)) is not engine_of(CloudMap(**settings))
    assert len(registry) == 0


def test_the_eighth_engine_warns_and_names_the_differing_setting(caplog):
    """It points out a factory or Region that is new for every request. Values are not logged."""
    with caplog.at_level(logging.WARNING, "aiocloudmap"):
        kept = [CloudMap(region=f"secret-region-{n}") for n in range(9)]
    (record,) = caplog.records
    assert "8 combinations" in record.getMessage()
    assert "differ in: region." in record.getMessage()
    assert "secret" not in record.getMessage()
    assert len(kept) == 9


def test_the_warning_names_variables_but_not_their_values(caplog, monkeypatch):
    """The environment may contain secrets."""
    for n in range(8):
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f"hunter-{n}")
        CloudMap()
    assert "AWS_SECRET_ACCESS_KEY" in caplog.text
    assert "hunter" not in caplog.text


def test_the_registry_keeps_the_32_latest_engines():
    """Rotated keys in the environment or a factory per request must not fill the memory."""
    held = CloudMap(region="eu-west-0").service("shop/orders")
    seen = [weakref.ref(engine_of(CloudMap(region=f"eu-west-{number}"))) for number in range(1, 40)]
    gc.collect()
    assert len(registry) == 32
    assert [number for number, engine in enumerate(seen, 1) if engine() is not None] == list(range(8, 40))
    CloudMap(region="eu-west-8")
    CloudMap(region="eu-west-40")
    gc.collect()
    assert (seen[7]() is None, seen[8]() is None) == (False, True)
    # An engine that is still in use is shared again, although the registry has dropped it.
    assert CloudMap(region="eu-west-0").service("shop/orders")._resolver is held._resolver


def test_after_a_reset_an_engine_in_use_is_shared_again():
    """A CloudMap made at import and one made in a request share an engine in every test."""
    made_at_import = CloudMap()
    reset()
    assert engine_of(CloudMap()) is engine_of(made_at_import)
    assert len(registry) == 1


def test_after_a_reset_an_unused_engine_is_gone():
    """Tests with different environments do not add up to a warning."""
    gone = weakref.ref(engine_of(CloudMap()))
    reset()
    gc.collect()
    assert gone() is None


def test_a_listener_lives_as_long_as_its_cloud_map_or_a_handle(stage):
    """The engine refers to listeners weakly, so a CloudMap per request leaves none behind."""
    received = []
    cloud_map = CloudMap(backend=stage.backend, clock=stage.clock, on_event=received.append)
    engine = engine_of(cloud_map)
    handle = cloud_map.service("shop/orders")
    gone = weakref.ref(cloud_map)
    del cloud_map
    gc.collect()
    assert gone() is None
    stage.clock.freeze(60)
    engine.resolver.check_clock()
    assert len(received) == 1
    del handle
    gc.collect()
    stage.clock.freeze(60)
    engine.resolver.check_clock()
    assert len(received) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"region": ""}, "invalid region ''"),
        ({"region": 5}, "invalid region 5"),
        ({"endpoint_url": "localhost:5000"}, "invalid endpoint_url"),
        ({"endpoint_url": "ftp://x"}, "invalid endpoint_url"),
        ({"cache": 30}, "expected CachePolicy"),
        ({"connections": {"max_connections": 3}}, "expected ConnectionPolicy"),
    ],
)
def test_an_invalid_argument_is_refused_at_once(settings, message):
    """The message says what is expected."""
    with pytest.raises(ConfigurationError, match=message):
        CloudMap(**settings)
