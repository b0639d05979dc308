"""Reading DiscoverInstances' answer: what botocore would have found, without its walk."""

import json

import botocore.session
import pytest
from aiobotocore.session import get_session
from botocore.parsers import create_parser

from aiocloudmap.aws.reading import read_quickly

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
    """What a client of ours makes of the answer, and what is left of it to botocore's parser."""
    session = get_session()
    options = {"region_name": "eu-west-1", "aws_access_key_id": "local", "aws_secret_access_key": "local"}
    async with session.create_client("servicediscovery", **options) as client:
        read_quickly(client)
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
    """As botocore reads it."""
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
    ids=["two", "none", "no revision", "null", "nothing", "more than is known"],
)
async def test_the_answer_is_what_botocore_would_have_read(answer):
    """The same members, and the same metadata; nothing is left to walk over."""
    body = json.dumps(answer).encode()
    response, customized = await read(body)
    assert response["body"] == b""
    expected = parsed({"status_code": 200, "headers": HEADERS, "body": body})
    assert parsed(response) | customized == expected
    assert expected["ResponseMetadata"]["RequestId"] == "17"


@pytest.mark.parametrize("body", [b"", b"no JSON", b"[]", b"3", b"\xff{}"])
async def test_what_is_no_object_is_left_to_botocore(body):
    """So that it fails as it always did."""
    response, customized = await read(body)
    assert (response["body"], customized) == (body, {})


async def test_an_error_is_left_to_botocore():
    """Its code and its message are elsewhere."""
    body = json.dumps({"__type": "ServiceNotFound", "Instances": [INSTANCE]}).encode()
    response, customized = await read(body, status=400)
    assert (response["body"], customized) == (body, {})
