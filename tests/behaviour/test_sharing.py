"""What equal settings share, and what others do not."""

import gc
import logging
import weakref

import pytest

from aiocloudmap import CachePolicy, CloudMap, ConfigurationError, ConnectionPolicy
from aiocloudmap.client.registry import registry
from aiocloudmap.testing import ManualClock, reset


@pytest.fixture(autouse=True)
def clean_slate():
    """Engines of other tests do not count."""
    reset()


def engine_of(cloud_map):
    """The engine's repr is all that is public; identity is what counts here."""
    return cloud_map._engine


def test_a_thousand_cloud_maps_share_one_engine_whatever_their_policies_and_listeners():
    """Making one per request is free: cache and on_event are in no key."""
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
    """Region, endpoint and ConnectionPolicy are in the key."""
    assert engine_of(CloudMap(region="eu-west-1")) is not engine_of(CloudMap(**({"region": "eu-west-1"} | settings)))


def test_equal_policies_that_are_not_the_same_object_share():
    """The key compares values."""
    first, second = (CloudMap(connections=ConnectionPolicy(max_connections=20)) for _ in range(2))
    assert engine_of(first) is engine_of(second)


def test_tenants_with_their_own_session_factory_share_nothing():
    """Two factories, two sets of credentials: two engines. One factory: one."""

    def tenant_a():
        raise NotImplementedError

    def tenant_b():
        raise NotImplementedError

    a, again, b = (CloudMap(session_factory=factory) for factory in (tenant_a, tenant_a, tenant_b))
    assert engine_of(a) is engine_of(again)
    assert engine_of(a) is not engine_of(b)


def test_another_aws_environment_makes_another_engine(monkeypatch):
    """Credentials and Region may come from AWS_* variables, so they are part of the identity."""
    monkeypatch.setenv("AWS_PROFILE", "one")
    first = CloudMap()
    monkeypatch.setenv("AWS_PROFILE", "two")
    assert engine_of(CloudMap()) is not engine_of(first)
    monkeypatch.setenv("AWS_PROFILE", "one")
    assert engine_of(CloudMap()) is engine_of(first)


def test_a_backend_or_a_clock_or_shared_false_means_an_engine_of_its_own(stage):
    """Another truth or another time must not leak into answers that others get."""
    for settings in ({"backend": stage.backend}, {"clock": ManualClock()}, {"shared": False}):
        assert engine_of(CloudMap(**settings)) is not engine_of(CloudMap(**settings))
    assert len(registry) == 0


def test_the_eighth_engine_warns_and_names_the_setting_that_differs(caplog):
    """A factory or a Region made anew per request is noticed before it has cost much; values are not logged."""
    with caplog.at_level(logging.WARNING, "aiocloudmap"):
        kept = [CloudMap(region=f"secret-region-{n}") for n in range(9)]
    (record,) = caplog.records
    assert "8 combinations" in record.getMessage()
    assert "differ in: region." in record.getMessage()
    assert "secret" not in record.getMessage()
    assert len(kept) == 9


def test_the_warning_names_variables_but_never_their_values(caplog, monkeypatch):
    """The environment may hold secrets."""
    for n in range(8):
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f"hunter-{n}")
        CloudMap()
    assert "AWS_SECRET_ACCESS_KEY" in caplog.text
    assert "hunter" not in caplog.text


def test_of_many_engines_those_are_kept_that_were_asked_for_last():
    """Rotated keys in the environment, or a factory per request, fill the memory with no more than 32 sessions."""
    held = CloudMap(region="eu-west-0").service("shop/orders")
    seen = [weakref.ref(engine_of(CloudMap(region=f"eu-west-{number}"))) for number in range(1, 40)]
    gc.collect()
    assert len(registry) == 32
    assert [number for number, engine in enumerate(seen, 1) if engine() is not None] == list(range(8, 40))
    CloudMap(region="eu-west-8")
    CloudMap(region="eu-west-40")
    gc.collect()
    assert (seen[7]() is None, seen[8]() is None) == (False, True)
    # One that somebody holds is shared again by whoever comes, though the registry had let go of it.
    assert CloudMap(region="eu-west-0").service("shop/orders")._resolver is held._resolver


def test_after_a_reset_who_still_holds_an_engine_shares_it_with_who_comes():
    """A CloudMap made at import and one made in a request belong together in every test."""
    made_at_import = CloudMap()
    reset()
    assert engine_of(CloudMap()) is engine_of(made_at_import)
    assert len(registry) == 1


def test_after_a_reset_an_engine_that_nobody_holds_is_gone():
    """Tests with an environment each do not add up to a warning of many engines."""
    gone = weakref.ref(engine_of(CloudMap()))
    reset()
    gc.collect()
    assert gone() is None


def test_a_listener_lives_as_long_as_its_cloud_map_or_a_handle(stage):
    """The engine holds listeners weakly: a CloudMap made per request leaves none behind."""
    told = []
    cloud_map = CloudMap(backend=stage.backend, clock=stage.clock, on_event=told.append)
    engine = engine_of(cloud_map)
    handle = cloud_map.service("shop/orders")
    gone = weakref.ref(cloud_map)
    del cloud_map
    gc.collect()
    assert gone() is None
    stage.clock.freeze(60)
    engine.resolver.check_clock()
    assert len(told) == 1
    del handle
    gc.collect()
    stage.clock.freeze(60)
    engine.resolver.check_clock()
    assert len(told) == 1


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
def test_a_bad_argument_is_refused_at_once_with_what_would_be_right(settings, message):
    """Nothing waits for the first call to find out."""
    with pytest.raises(ConfigurationError, match=message):
        CloudMap(**settings)
