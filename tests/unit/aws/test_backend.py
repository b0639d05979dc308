from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiocloudmap.aws.backend import AwsBackend, discovery_of, parameters_of
from aiocloudmap.errors import CloudMapError, CredentialsError, ProtocolError, ThrottledError
from aiocloudmap.model.instance import Discovery, HealthStatus, Instance
from aiocloudmap.model.query import HealthFilter, Query, ServiceName

ORDERS = ServiceName("shop", "orders")


@pytest.mark.parametrize("health", HealthFilter)
def test_the_health_asked_for_is_always_said(health):
    """AWS does not document what it means to leave it out."""
    assert parameters_of(Query(ORDERS, health=health))["HealthStatus"] == health.value


def test_what_is_not_asked_for_is_not_said():
    """An empty filter is none."""
    assert set(parameters_of(Query(ORDERS))) == {"NamespaceName", "ServiceName", "MaxResults", "HealthStatus"}


def test_an_answer_becomes_a_discovery():
    """In the order in which it came."""
    answer = {
        "Instances": [
            {"InstanceId": "b", "HealthStatus": "UNHEALTHY", "Attributes": {"A": "1"}},
            {"InstanceId": "a"},
        ],
        "InstancesRevision": 3,
    }
    expected = (
        Instance("b", ORDERS, HealthStatus.UNHEALTHY, {"A": "1"}),
        Instance("a", ORDERS, HealthStatus.UNKNOWN, {}),
    )
    assert discovery_of(answer, ORDERS) == Discovery(expected, 3)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Instances", "InstanceId", "Attributes", "HealthStatus", "InstancesRevision", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(anything)
def test_any_answer_is_understood_or_refused(answer):
    """Never an error of Python's own, whatever a proxy or a newer AWS sends."""
    with contextlib.suppress(ProtocolError):
        assert isinstance(discovery_of(answer, ORDERS), Discovery)


class Session:
    """A session whose client raises, and which counts what it is told."""

    dropped = 0
    credentials = object()

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def discovery_client(self):
        raise self.error

    def drop_credentials(self, rejected: object) -> None:
        assert rejected is self.credentials
        self.dropped += 1


@pytest.mark.parametrize(("error", "dropped"), [(CredentialsError("x"), 1), (ThrottledError("x"), 0)])
async def test_credentials_are_dropped_only_when_they_are_the_trouble(error, dropped):
    """The next question loads them anew."""
    session = Session(error)
    with pytest.raises(CloudMapError):
        await AwsBackend(session).discover(Query(ORDERS))
    assert session.dropped == dropped


async def test_an_error_of_ours_is_raised_itself():
    """With the service in it, and without itself as its cause."""
    error = ThrottledError("x")
    with pytest.raises(ThrottledError) as caught:
        await AwsBackend(Session(error)).discover(Query(ORDERS))
    assert (caught.value, error.service, error.__cause__) == (error, str(ORDERS), None)
