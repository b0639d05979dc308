"""From queries to DiscoverInstances' parameters, and from its answers to discoveries."""

from __future__ import annotations

import contextlib
import json
from types import SimpleNamespace

import botocore.session
import pytest
from aiobotocore.session import get_session
from botocore.parsers import create_parser
from hypothesis import given
from hypothesis import strategies as st

from aiocloudmap.aws.backend import AwsBackend, discovery_of, parameters_of, register_reader
from aiocloudmap.errors import CloudMapError, CredentialsError, ProtocolError, ThrottledError
from aiocloudmap.model.instance import Discovery, HealthStatus, Instance
from aiocloudmap.model.query import HealthFilter, Query, ServiceName

ORDERS = ServiceName("shop", "orders")


@pytest.mark.parametrize("health", HealthFilter)
def test_the_health_status_is_always_sent(health):
    """AWS does not document what happens without it."""
    assert parameters_of(Query(ORDERS, health=health))["HealthStatus"] == health.value


def test_unset_filters_are_not_sent():
    """An empty filter is the same as no filter."""
    assert set(parameters_of(Query(ORDERS))) == {"NamespaceName", "ServiceName", "MaxResults", "HealthStatus"}


def test_an_answer_becomes_a_discovery():
    """Instances keep the order in which they came."""
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
def test_any_answer_is_understood_or_a_protocol_error(answer):
    """Never an error of Python's own, whatever a proxy or a newer AWS sends."""
    with contextlib.suppress(ProtocolError):
        assert isinstance(discovery_of(answer, ORDERS), Discovery)


# Which credentials are dropped


class Session:
    """A session whose client raises, and which counts dropped credentials."""

    dropped = 0
    credentials = SimpleNamespace(held=object())

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def discovery_client(self):
        raise self.error

    def drop_credentials(self, rejected: object) -> None:
        assert rejected is self.credentials.held
        self.dropped += 1


@pytest.mark.parametrize(("error", "dropped"), [(CredentialsError("x"), 1), (ThrottledError("x"), 0)])
async def test_credentials_are_dropped_only_if_they_failed(error, dropped):
    """The next query loads new ones."""
    session = Session(error)
    with pytest.raises(CloudMapError):
        await AwsBackend(session).discover(Query(ORDERS))
    assert session.dropped == dropped


async def test_an_error_of_this_library_is_raised_itself():
    """With the service filled in, and without itself as its cause."""
    error = ThrottledError("x")
    with pytest.raises(ThrottledError) as caught:
        await AwsBackend(Session(error)).discover(Query(ORDERS))
    assert (caught.value, error.service, error.__cause__) == (error, str(ORDERS), None)


# Answers are read by the JSON parser, with the result that botocore's parser would have

SHAPE = (
    botocore.session.get_session()
    .get_service_model("servicediscovery")
    .operation_model("DiscoverInstances")
    .output_shape
)
HEADERS = {"x-amzn-requestid": "17"}
INSTANCE = {
    "InstanceId": "orders-1",
    "NamespaceName": "shop",
    "ServiceName": "orders",
    "HealthStatus": "HEALTHY",
    "Attributes": {"QUEUE_URL": "https://queue/ö", "EMPTY": ""},
}


async def read(body: bytes, *, status: int = 200):
    """What a client of ours reads from the answer, and what is left to botocore's parser."""
    session = get_session()
    options = {"region_name": "eu-west-1", "aws_access_key_id": "local", "aws_secret_access_key": "local"}
    async with session.create_client("servicediscovery", **options) as client:
        register_reader(client)
        response = {"status_code": status, "headers": HEADERS, "body": body}
        customized: dict = {}
        await client.meta.events.emit(
            "before-parse.servicediscovery.DiscoverInstances",
            operation_model=None,
            response_dict=response,
            customized_response_dict=customized,
        )
    return response, customized


def parsed(response):
    """The answer as botocore reads it."""
    return create_parser("json").parse(response, SHAPE)


@pytest.mark.parametrize(
    "answer",
    [
        {"Instances": [INSTANCE, INSTANCE | {"InstanceId": "orders-2"}], "InstancesRevision": 7},
        {"Instances": [], "InstancesRevision": 0},
        {"Instances": [INSTANCE]},
        {"Instances": None, "InstancesRevision": None},
        {},
        {"Instances": [INSTANCE], "Unknown": 1},
    ],
    ids=["two", "empty", "no revision", "null", "nothing", "an unknown member"],
)
async def test_an_answer_is_read_as_botocore_reads_it(answer):
    """The same members and the same metadata; botocore gets an empty body."""
    body = json.dumps(answer).encode()
    response, customized = await read(body)
    assert response["body"] == b""
    expected = parsed({"status_code": 200, "headers": HEADERS, "body": body})
    assert parsed(response) | customized == expected
    assert expected["ResponseMetadata"]["RequestId"] == "17"


@pytest.mark.parametrize("body", [b"", b"not JSON", b"[]", b"3", b"\xff{}"])
async def test_a_body_without_an_object_is_left_to_botocore(body):
    """It fails there as it would without us."""
    response, customized = await read(body)
    assert (response["body"], customized) == (body, {})


async def test_an_error_answer_is_left_to_botocore():
    """botocore finds the code and the message."""
    body = json.dumps({"__type": "ServiceNotFound", "Instances": [INSTANCE]}).encode()
    response, customized = await read(body, status=400)
    assert (response["body"], customized) == (body, {})


async def test_registering_the_reader_twice_reads_once():
    """Two first calls at once register it twice."""
    session = get_session()
    options = {"region_name": "eu-west-1", "aws_access_key_id": "local", "aws_secret_access_key": "local"}
    async with session.create_client("servicediscovery", **options) as client:
        register_reader(client)
        register_reader(client)
        response = {"status_code": 200, "headers": HEADERS, "body": b'{"Instances": []}'}
        answers = await client.meta.events.emit(
            "before-parse.servicediscovery.DiscoverInstances",
            operation_model=None,
            response_dict=response,
            customized_response_dict={},
        )
    assert len(answers) == 1
