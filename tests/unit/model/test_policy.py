"""Policies: fields, defaults, ranges, and the environment."""

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
def test_policies_have_the_documented_fields_and_defaults(policy, defaults):
    """Every field, and no others."""
    assert {field.name: getattr(policy(), field.name) for field in fields(policy)} == defaults


@pytest.mark.parametrize("policy", [CachePolicy, ConnectionPolicy])
def test_policies_are_frozen_keyword_only_and_equal_by_value(policy):
    """They are parts of dict keys."""
    assert policy() == policy()
    assert hash(policy()) == hash(policy())
    name = fields(policy)[0].name
    assert policy() != replace(policy(), **{name: 29})
    with pytest.raises(FrozenInstanceError):
        setattr(policy(), name, 1)
    with pytest.raises(TypeError):
        policy(1)


@pytest.mark.parametrize(("policy", "name"), MAY_BE_ZERO)
def test_zero_is_valid_for_most_numbers_but_less_is_not(policy, name):
    """Zero turns a feature off."""
    assert getattr(policy(**{name: 0}), name) == 0
    with pytest.raises(
        ConfigurationError, match=rf"^invalid {name} -0\.001: expected a number (of 0 or more|from 0 to 1)$"
    ):
        policy(**{name: -0.001})


@pytest.mark.parametrize(("policy", "name"), MORE_THAN_ZERO)
def test_timeouts_and_rates_must_be_positive(policy, name):
    """A timeout of 0 would end every call before it began."""
    assert getattr(policy(**{name: 0.001}), name) == 0.001
    for value in (0, -1):
        with pytest.raises(ConfigurationError, match=rf"^invalid {name} {value}: expected a number of 0\.001 or more$"):
            policy(**{name: value})


@pytest.mark.parametrize(("policy", "name"), NUMBERS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "30", None, [], 1j])
def test_only_finite_numbers_are_valid(policy, name, value):
    """True and numeric text are mistakes, too."""
    with pytest.raises(ConfigurationError, match=rf"^invalid {name} .*: expected a (whole )?number (of|from) "):
        policy(**{name: value})


@pytest.mark.parametrize(("policy", "name"), WHOLE)
def test_counts_must_be_integers(policy, name):
    """8.0 is not a count."""
    with pytest.raises(ConfigurationError, match=rf"^invalid {name} 8\.0: expected a whole number of "):
        policy(**{name: 8.0})


@pytest.mark.parametrize(("jitter", "fits"), [(0, True), (1, True), (0.5, True), (1.001, False), (2, False)])
def test_jitter_is_between_0_and_1(jitter, fits):
    """It is a part of ttl."""
    if fits:
        assert CachePolicy(jitter=jitter).jitter == jitter
    else:
        with pytest.raises(ConfigurationError, match=r"^invalid jitter .*: expected a number from 0 to 1$"):
            CachePolicy(jitter=jitter)


def test_at_least_three_connections_are_required():
    """Two are reserved for discovery."""
    assert ConnectionPolicy(max_connections=3, max_connections_per_host=3).max_connections == 3
    with pytest.raises(ConfigurationError, match=r"^invalid max_connections 2: expected a whole number of 3 or more$"):
        ConnectionPolicy(max_connections=2, max_connections_per_host=1)


def test_at_least_one_connection_per_host_is_required():
    """The default may be larger than max_connections."""
    assert ConnectionPolicy(max_connections=4).max_connections_per_host == 8
    with pytest.raises(ConfigurationError, match="^invalid max_connections_per_host 0: .* of 1 or more$"):
        ConnectionPolicy(max_connections_per_host=0)


def test_an_invalid_value_names_the_environment_variables():
    """The variable is what has to be corrected."""
    with pytest.raises(
        ConfigurationError, match=r"^invalid ttl -1\.0: .* Read from the environment: AIOCLOUDMAP_TTL\.$"
    ):
        policies_from_env({}, {"AIOCLOUDMAP_TTL": "-1"})


def test_at_least_one_attempt_is_required():
    """The first attempt counts."""
    assert ConnectionPolicy(max_attempts=1).max_attempts == 1
    with pytest.raises(ConfigurationError, match="^invalid max_attempts 0: expected a whole number of 1 or more$"):
        ConnectionPolicy(max_attempts=0)


@pytest.mark.parametrize("refresh", ["auto", "background", "inline"])
def test_there_are_three_refresh_modes(refresh):
    """By name."""
    assert CachePolicy(refresh=refresh).refresh == refresh


@pytest.mark.parametrize("refresh", ["", "Auto", None, 1, []])
def test_any_other_refresh_mode_is_invalid(refresh):
    """The message lists the three."""
    with pytest.raises(ConfigurationError, match=r"^invalid refresh .*: expected 'auto', 'background' or 'inline'$"):
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
def test_auto_is_inline_in_lambda_only(monkeypatch, refresh, in_lambda, inline):
    """AWS_LAMBDA_RUNTIME_API is set there. An explicit mode wins."""
    if in_lambda:
        monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")
    assert CachePolicy(refresh=refresh).inline is inline


# From the environment


def test_an_empty_environment_means_the_defaults():
    """Both policies."""
    assert policies_from_env({}, {}) == (CachePolicy(), ConnectionPolicy())


@pytest.mark.parametrize("policy", [CachePolicy, ConnectionPolicy])
def test_every_field_has_an_environment_variable(policy):
    """AIOCLOUDMAP_ and the field in capitals, converted to the field's type."""
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
def test_a_blank_variable_counts_as_unset(text):
    """Deployment tools set variables to an empty text to unset them."""
    assert policies_from_env({}, {"AIOCLOUDMAP_TTL": text}) == (CachePolicy(), ConnectionPolicy())


def test_spaces_around_a_value_are_ignored():
    """For numbers and for words."""
    cache, _ = policies_from_env({}, {"AIOCLOUDMAP_TTL": " 7 ", "AIOCLOUDMAP_REFRESH": " inline "})
    assert (cache.ttl, cache.refresh) == (7, "inline")


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("AIOCLOUDMAP_TTL", "soon", "^invalid AIOCLOUDMAP_TTL 'soon': expected a number$"),
        ("AIOCLOUDMAP_TTL", "30s", "^invalid AIOCLOUDMAP_TTL '30s': expected a number$"),
        ("AIOCLOUDMAP_MAX_CONNECTIONS", "8.5", "^invalid AIOCLOUDMAP_MAX_CONNECTIONS '8.5': expected a whole number$"),
        ("AIOCLOUDMAP_MAX_ATTEMPTS", "many", "^invalid AIOCLOUDMAP_MAX_ATTEMPTS 'many': expected a whole number$"),
        ("AIOCLOUDMAP_TTL", "-1", r"^invalid ttl -1\.0: expected a number of 0 or more"),
        ("AIOCLOUDMAP_TTL", "nan", "^invalid ttl nan: expected a number of 0 or more"),
        ("AIOCLOUDMAP_TTL", "inf", "^invalid ttl inf: expected a number of 0 or more"),
        ("AIOCLOUDMAP_REFRESH", "sometimes", "^invalid refresh 'sometimes': expected 'auto'"),
        ("AIOCLOUDMAP_MAX_CONNECTIONS", "2", "^invalid max_connections 2: expected a whole number of 3 or more"),
    ],
)
def test_an_invalid_variable_is_an_error(variable, text, message):
    """The message says what is expected."""
    with pytest.raises(ConfigurationError, match=message):
        policies_from_env({}, {variable: text})


def test_overrides_win_over_the_environment_and_are_removed():
    """Even an invalid variable is not read."""
    overrides = {"ttl": 5, "max_attempts": 1, "region": "eu-west-1"}
    cache, connections = policies_from_env(overrides, {"AIOCLOUDMAP_TTL": "soon", "AIOCLOUDMAP_NEGATIVE_TTL": "9"})
    assert (cache.ttl, cache.negative_ttl, connections.max_attempts) == (5, 9, 1)
    assert overrides == {"region": "eu-west-1"}


def test_an_unknown_variable_causes_a_warning(caplog):
    """With a similar name if there is one, and without the value."""
    policies_from_env({}, {"AIOCLOUDMAP_TLT": "hidden-value", "AIOCLOUDMAP_ZZZZZZZZ": "1", "OTHER": "2"})
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "unknown setting AIOCLOUDMAP_TLT; did you mean AIOCLOUDMAP_TTL?"),
        (logging.WARNING, "unknown setting AIOCLOUDMAP_ZZZZZZZZ"),
    ]


async def test_from_env_uses_the_environment(monkeypatch):
    """Arguments win over variables."""
    from aiocloudmap.local import LocalBackend, World
    from aiocloudmap.testing import ManualClock

    clock = ManualClock()
    world = World(clock=clock)
    world.register("shop/orders", "orders-1", {"A": "1"})
    monkeypatch.setenv("AIOCLOUDMAP_TTL", "7")
    monkeypatch.setenv("AIOCLOUDMAP_JITTER", "0")
    service = CloudMap.from_env(backend=LocalBackend(world), clock=clock, stale_if_error=3).service("shop/orders")
    await service.resolve()
    explained = service.explain()
    assert (explained.refresh_in, explained.expires_in) == (7, 10)


def test_from_env_raises_for_an_invalid_environment(monkeypatch):
    """At once, not at the first call."""
    monkeypatch.setenv("AIOCLOUDMAP_TTL", "soon")
    with pytest.raises(ConfigurationError, match="AIOCLOUDMAP_TTL 'soon'"):
        CloudMap.from_env()


def test_from_env_raises_for_an_unknown_argument():
    """With the nearest one."""
    with pytest.raises(ConfigurationError, match=r"unknown argument 'tlt' of CloudMap\. .*ttl="):
        CloudMap.from_env(tlt=5)
