"""The hosts that would be called, by botocore's own endpoint rules; nothing is sent.

Source: https://docs.aws.amazon.com/general/latest/gr/cloud_map.html, and botocore's `host_prefix` of the operations.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import botocore.session
import pytest
from aiobotocore.session import get_session
from botocore.awsrequest import AWSResponse, HeadersDict

from aiocloudmap import CloudMap, ConfigurationError


class Wire:
    """A session factory whose clients pass their requests to this object instead of the network."""

    def __init__(self) -> None:
        self.sent = []

    def __call__(self):
        session = get_session()
        session.set_credentials("AKID", "secret")
        session.register("before-send.*", self._answer)
        return session

    def _answer(self, request, **_):
        self.sent.append(request)
        return Answer()

    @property
    def urls(self) -> list[str]:
        return [request.url for request in self.sent]

    @property
    def scopes(self) -> list[str]:
        """The Region and service that each request is signed for."""
        signed = [text(request.headers["Authorization"]) for request in self.sent]
        return [re.search(r"Credential=AKID/\d{8}/([^,]*)/aws4_request", value).group(1) for value in signed]


def text(value: str | bytes) -> str:
    """Header values are str or bytes."""
    return value.decode() if isinstance(value, bytes) else value


class Answer:
    """A response as aiobotocore has it, to either operation."""

    status_code, headers, raw = 200, HeadersDict(), None

    @property
    async def content(self) -> bytes:
        return b'{"Instances": [], "ServiceAttributes": {}}'


@pytest.fixture
def wire():
    return Wire()


def botocores_own(region: str) -> str:
    """The host that botocore would call by itself. Old versions have other rules for dual-stack."""
    session, urls = botocore.session.get_session(), []
    session.set_credentials("AKID", "secret")

    def answer(request, **_):
        urls.append(request.url)
        response = AWSResponse(request.url, 200, {}, None)
        response._content = b"{}"
        return response

    session.register("before-send.*", answer)
    session.create_client("servicediscovery", region).get_service_attributes(ServiceId="srv-1234567890abcdef")
    return urlsplit(urls[0]).hostname


async def discovered(wire, **settings) -> str:
    """The URL of DiscoverInstances through `CloudMap`."""
    async with CloudMap(session_factory=wire, **settings) as cloud_map:
        await cloud_map.service("shop/orders").resolve()
    [url] = wire.urls
    return url


async def attributes(wire, **settings) -> str:
    """The URL of GetServiceAttributes through `client()`."""
    async with CloudMap(session_factory=wire, **settings) as cloud_map:
        client = await cloud_map.client("servicediscovery")
        await client.get_service_attributes(ServiceId="srv-1234567890abcdef")
    [url] = wire.urls
    return url


@pytest.mark.parametrize(
    ("region", "fips", "dual_stack", "host"),
    [
        ("eu-west-1", False, False, "servicediscovery.eu-west-1.amazonaws.com"),
        ("us-east-1", True, False, "servicediscovery-fips.us-east-1.amazonaws.com"),
        ("eu-west-1", False, True, "servicediscovery.eu-west-1.api.aws"),
        ("us-east-1", True, True, "servicediscovery-fips.us-east-1.api.aws"),
        ("cn-north-1", False, False, "servicediscovery.cn-north-1.amazonaws.com.cn"),
        ("cn-northwest-1", False, True, "servicediscovery.cn-northwest-1.api.amazonwebservices.com.cn"),
        ("us-gov-west-1", False, False, "servicediscovery.us-gov-west-1.amazonaws.com"),
        ("us-gov-west-1", True, False, "servicediscovery-fips.us-gov-west-1.amazonaws.com"),
        ("us-gov-east-1", True, True, "servicediscovery-fips.us-gov-east-1.api.aws"),
    ],
)
async def test_the_hosts_of_every_partition(wire, monkeypatch, region, fips, dual_stack, host):
    """Only the data plane's host has AWS's prefix; both planes' calls are signed for the Region."""
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", str(fips).lower())
    monkeypatch.setenv("AWS_USE_DUALSTACK_ENDPOINT", str(dual_stack).lower())
    if dual_stack and host != botocores_own(region):
        pytest.skip("this botocore has no dual-stack hosts for Cloud Map")
    assert await discovered(wire, region=region) == f"https://data-{host}/"
    control = Wire()
    assert await attributes(control, region=region) == f"https://{host}/"
    assert wire.scopes == control.scopes == [f"{region}/servicediscovery"]


@pytest.mark.parametrize("way", ["argument", "variable", "variable for all"])
@pytest.mark.parametrize("called", [discovered, attributes])
async def test_a_custom_endpoint_gets_no_prefix(wire, monkeypatch, way, called):
    """The host stays as it is; the signature still names the Region."""
    endpoint, settings = "https://vpce-1.example:8443", {}
    if way == "argument":
        settings = {"endpoint_url": endpoint}
    else:
        monkeypatch.setenv("AWS_ENDPOINT_URL" + "_SERVICEDISCOVERY" * (way == "variable"), endpoint)
    assert await called(wire, region="eu-west-1", **settings) == f"{endpoint}/"
    assert wire.scopes == ["eu-west-1/servicediscovery"]


async def test_a_client_of_the_users_has_the_prefix_too(wire):
    """botocore adds it by itself."""
    async with CloudMap(session_factory=wire, region="eu-west-1") as cloud_map:
        client = await cloud_map.client("servicediscovery")
        await client.discover_instances(NamespaceName="shop", ServiceName="orders")
    assert wire.urls == ["https://data-servicediscovery.eu-west-1.amazonaws.com/"]


@pytest.mark.parametrize("region", ["eu-west-1.evil.example/#", "x@evil.example", "evil.example/", "eu west"])
async def test_a_region_cannot_become_another_host(wire, region):
    """The Region is part of the host name."""
    with pytest.raises(ConfigurationError):
        await discovered(wire, region=region)
    assert wire.urls == []


@pytest.mark.parametrize("region", ["eu-west-1.evil.example/#", "x@evil.example"])
async def test_a_region_of_the_environment_cannot_become_another_host(wire, monkeypatch, region):
    """AWS_REGION is checked like the argument."""
    monkeypatch.setenv("AWS_REGION", region)
    with pytest.raises(ConfigurationError):
        await discovered(wire)
    assert wire.urls == []


async def test_the_request_is_as_the_api_defines_it(wire):
    """JSON 1.1 by POST, with the operation in a header."""
    await discovered(wire, region="eu-west-1")
    [request] = wire.sent
    assert request.method == "POST"
    assert text(request.headers["X-Amz-Target"]) == "Route53AutoNaming_v20170314.DiscoverInstances"
    assert text(request.headers["Content-Type"]) == "application/x-amz-json-1.1"
