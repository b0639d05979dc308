"""Policies and their environment: every field, its default, its range, and what is said outside of it."""

import logging
import math
from dataclasses import FrozenInstanceError, fields, replace

import pytest

from aiocloudmap import CachePolicy, CloudMap, ConfigurationError, ConnectionPolicy
from aiocloudmap.model.policy import policies_from_env

CACHE_DEFAULTS = {
    "ttl": 30,
    "stale_while_revalidate": 30,
    "stale_if_error": 600,
    "negative_ttl": 5,
    "empty_hold_time": 30,
    "jitter": 0.1,
    "soft_timeout": 1.0,
    "refresh": "auto",
}
CONNECTION_DEFAULTS = {
    "max_connections": 16,
    "max_connections_per_host": 8,
    "keepalive_timeout": 10.0,
    "connect_timeout": 1.0,
    "read_timeout": 2.0,
    "discovery_timeout": 5.0,
    "max_calls_per_second": 200.0,
    "max_attempts": 3,
    "dns_ttl": 30,
}
NUMBERS = [(CachePolicy, name) for name in CACHE_DEFAULTS if name != "refresh"] + [
    (ConnectionPolicy, name) for name in CONNECTION_DEFAULTS
]
MAY_BE_ZERO = [(CachePolicy, name) for name in CACHE_DEFAULTS if name != "refresh"] + [(ConnectionPolicy, "dns_ttl")]
MORE_THAN_ZERO = [
    (ConnectionPolicy, name)
    for name in ("keepalive_timeout", "connect_timeout", "read_timeout", "discovery_timeout", "max_calls_per_second")
]
WHOLE = [(ConnectionPolicy, name) for name in ("max_connections", "max_connections_per_host", "max_attempts")]


@pytest.mark.parametrize(
    ("policy", "defaults"), [(CachePolicy, CACHE_DEFAULTS), (ConnectionPolicy, CONNECTION_DEFAULTS)]
)
def test_the_defaults_are_the_documented_ones(policy, defaults):
    """Every field and no other."""
    assert {field.name: getattr(policy(), field.name) for field in fields(policy)} == defaults


@pytest.mark.parametrize("policy", [CachePolicy, ConnectionPolicy])
def test_policies_are_values(policy):
    """Equal and hashable by their fields, frozen: they are keys."""
    assert policy() == policy()
    assert hash(policy()) == hash(policy())
    name = fields(policy)[0].name
    assert policy() != replace(policy(), **{name: 29})
    with pytest.raises(FrozenInstanceError):
        setattr(policy(), name, 1)
    with pytest.raises(TypeError):
        policy(1)


@pytest.mark.parametrize(("policy", "name"), MAY_BE_ZERO)
def test_zero_is_allowed_where_it_means_something(policy, name):
    """0 turns a thing off; a hair below it is refused."""
    assert getattr(policy(**{name: 0}), name) == 0
    with pytest.raises(ConfigurationError, match=rf"^{name}=-0.001 is out of range\. Give a number (of|from) 0"):
        policy(**{name: -0.001})


@pytest.mark.parametrize(("policy", "name"), MORE_THAN_ZERO)
def test_a_time_that_has_to_pass_is_more_than_zero(policy, name):
    """A time-out of 0 would end every call before it began."""
    assert getattr(policy(**{name: 0.001}), name) == 0.001
    for value in (0, -1):
        with pytest.raises(ConfigurationError, match=rf"^{name}={value} is out of range"):
            policy(**{name: value})


@pytest.mark.parametrize(("policy", "name"), NUMBERS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "30", None, [], 1j])
def test_what_is_no_finite_number_is_refused(policy, name, value):
    """Nor are True and text that looks like a number: each is a slip."""
    with pytest.raises(ConfigurationError, match=rf"^{name}=.* is out of range\. Give a (whole )?number"):
        policy(**{name: value})


@pytest.mark.parametrize(("policy", "name"), WHOLE)
def test_counts_are_whole(policy, name):
    """Half a connection is none."""
    with pytest.raises(ConfigurationError, match=rf"^{name}=8\.0 is out of range\. Give a whole number"):
        policy(**{name: 8.0})


@pytest.mark.parametrize(("jitter", "fits"), [(0, True), (1, True), (0.5, True), (1.001, False), (2, False)])
def test_jitter_is_a_part(jitter, fits):
    """From none of ttl to all of it."""
    if fits:
        assert CachePolicy(jitter=jitter).jitter == jitter
    else:
        with pytest.raises(ConfigurationError, match=r"Give a number from 0 to 1\."):
            CachePolicy(jitter=jitter)


def test_two_connections_are_kept_for_discovery_so_three_are_the_least():
    """max_connections from 3."""
    assert ConnectionPolicy(max_connections=3, max_connections_per_host=3).max_connections == 3
    with pytest.raises(ConfigurationError, match=r"^max_connections=2 .* Give a whole number of 3 or more\."):
        ConnectionPolicy(max_connections=2, max_connections_per_host=1)


def test_one_host_gets_at_least_one_connection():
    """max_connections_per_host from 1 up; a smaller max_connections alone is no contradiction to its default."""
    assert ConnectionPolicy(max_connections=4).max_connections_per_host == 8
    with pytest.raises(ConfigurationError, match=r"max_connections_per_host=0 .* of 1 or more\."):
        ConnectionPolicy(max_connections_per_host=0)


def test_a_value_out_of_range_names_the_variables_that_were_read():
    """Who set it in the environment looks for the variable, not for the field."""
    with pytest.raises(ConfigurationError, match=r"ttl=-1\.0 .* Read from the environment: AIOCLOUDMAP_TTL\."):
        policies_from_env({}, {"AIOCLOUDMAP_TTL": "-1"})


def test_one_attempt_is_the_least():
    """The first attempt counts."""
    assert ConnectionPolicy(max_attempts=1).max_attempts == 1
    with pytest.raises(ConfigurationError, match="max_attempts=0"):
        ConnectionPolicy(max_attempts=0)


@pytest.mark.parametrize("refresh", ["auto", "background", "inline"])
def test_the_ways_to_refresh_are_three(refresh):
    """By name."""
    assert CachePolicy(refresh=refresh).refresh == refresh


@pytest.mark.parametrize("refresh", ["", "Auto", None, 1, []])
def test_any_other_way_to_refresh_is_refused(refresh):
    """The message has the three."""
    with pytest.raises(ConfigurationError, match=r"is no way to refresh\. Use 'auto', 'background' or 'inline'"):
        CachePolicy(refresh=refresh)


@pytest.mark.parametrize(
    ("refresh", "in_lambda", "inline"),
    [
        ("auto", True, True),
        ("auto", False, False),
        ("inline", False, True),
        ("background", True, False),
    ],
)
def test_auto_is_inline_in_lambda_and_nowhere_else(monkeypatch, refresh, in_lambda, inline):
    """AWS_LAMBDA_RUNTIME_API says where the process runs; what is said outright wins."""
    if in_lambda:
        monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")
    assert CachePolicy(refresh=refresh).inline is inline


# From the environment


def test_an_empty_environment_gives_the_defaults():
    """Nothing set, nothing changed."""
    assert policies_from_env({}, {}) == (CachePolicy(), ConnectionPolicy())


@pytest.mark.parametrize("policy", [CachePolicy, ConnectionPolicy])
def test_every_field_has_its_variable(policy):
    """AIOCLOUDMAP_ and the field's name in capitals; numbers become the field's own type."""
    values = {"refresh": "inline", "jitter": "0.5", "max_connections": "9"}
    for field in fields(policy):
        text = values.get(field.name, "7")
        made = policies_from_env({}, {f"AIOCLOUDMAP_{field.name.upper()}": text})
        [changed] = [each for each in made if type(each) is policy]
        value = getattr(changed, field.name)
        assert value == type(field.default)(text)
        assert type(value) is type(field.default)
        assert replace(changed, **{field.name: field.default}) == policy()


@pytest.mark.parametrize("text", ["", "  "])
def test_a_blank_variable_is_none(text):
    """Deployment tools set variables to nothing to unset them."""
    assert policies_from_env({}, {"AIOCLOUDMAP_TTL": text}) == (CachePolicy(), ConnectionPolicy())


def test_spaces_around_a_value_do_not_matter():
    """Neither for numbers nor for words."""
    cache, _ = policies_from_env({}, {"AIOCLOUDMAP_TTL": " 7 ", "AIOCLOUDMAP_REFRESH": " inline "})
    assert (cache.ttl, cache.refresh) == (7, "inline")


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("AIOCLOUDMAP_TTL", "soon", r"^AIOCLOUDMAP_TTL='soon' is not a number\. Say a number, or unset it\."),
        ("AIOCLOUDMAP_TTL", "30s", "AIOCLOUDMAP_TTL='30s' is not a number"),
        ("AIOCLOUDMAP_MAX_CONNECTIONS", "8.5", "AIOCLOUDMAP_MAX_CONNECTIONS='8.5' is not a whole number"),
        ("AIOCLOUDMAP_MAX_ATTEMPTS", "many", "AIOCLOUDMAP_MAX_ATTEMPTS='many' is not a whole number"),
        ("AIOCLOUDMAP_TTL", "-1", r"ttl=-1\.0 is out of range"),
        ("AIOCLOUDMAP_TTL", "nan", "ttl=nan is out of range"),
        ("AIOCLOUDMAP_TTL", "inf", "ttl=inf is out of range"),
        ("AIOCLOUDMAP_REFRESH", "sometimes", "refresh='sometimes' is no way to refresh"),
        ("AIOCLOUDMAP_MAX_CONNECTIONS", "2", "max_connections=2 is out of range"),
    ],
)
def test_a_variable_that_its_field_cannot_be_is_refused(variable, text, message):
    """The message names what is wrong and what would be right."""
    with pytest.raises(ConfigurationError, match=message):
        policies_from_env({}, {variable: text})


def test_overrides_win_and_are_taken_out():
    """A field that is said in code is not read from the environment, not even a wrong one."""
    overrides = {"ttl": 5, "max_attempts": 1, "region": "eu-west-1"}
    cache, connections = policies_from_env(overrides, {"AIOCLOUDMAP_TTL": "soon", "AIOCLOUDMAP_NEGATIVE_TTL": "9"})
    assert (cache.ttl, cache.negative_ttl, connections.max_attempts) == (5, 9, 1)
    assert overrides == {"region": "eu-west-1"}


def test_a_variable_that_names_no_field_is_warned_of(caplog):
    """With the one that is nearest, and never with its value."""
    policies_from_env({}, {"AIOCLOUDMAP_TLT": "hidden-value", "AIOCLOUDMAP_ZZZZZZZZ": "1", "OTHER": "2"})
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "AIOCLOUDMAP_TLT is no setting of aiocloudmap; is it AIOCLOUDMAP_TTL?"),
        (logging.WARNING, "AIOCLOUDMAP_ZZZZZZZZ is no setting of aiocloudmap"),
    ]


async def test_a_cloud_map_from_the_environment_lives_by_it(monkeypatch):
    """CloudMap.from_env: the environment's ttl is the one its answers live by; arguments of CloudMap pass."""
    from aiocloudmap.local import LocalBackend, World
    from aiocloudmap.testing import ManualClock

    clock = ManualClock()
    world = World(clock=clock)
    world.register("shop/orders", "orders-1", {"A": "1"})
    monkeypatch.setenv("AIOCLOUDMAP_TTL", "7")
    monkeypatch.setenv("AIOCLOUDMAP_JITTER", "0")
    service = CloudMap.from_env(backend=LocalBackend(world), clock=clock, stale_if_error=3).service("shop/orders")
    await service.resolve()
    told = service.explain()
    assert (told.refresh_in, told.expires_in) == (7, 10)


def test_a_cloud_map_from_a_wrong_environment_is_refused(monkeypatch):
    """At once, not at the first call."""
    monkeypatch.setenv("AIOCLOUDMAP_TTL", "soon")
    with pytest.raises(ConfigurationError, match="AIOCLOUDMAP_TTL='soon'"):
        CloudMap.from_env()


def test_what_is_no_setting_is_no_override():
    """A slip in an override is told like any wrong argument."""
    with pytest.raises(TypeError, match="tlt"):
        CloudMap.from_env(tlt=5)
