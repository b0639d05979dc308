"""What is worked out once changes nothing that goes over the wire."""

from __future__ import annotations

import re

import pytest
from aiobotocore.session import AioSession
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from aiocloudmap.aws import session as session_module
from aiocloudmap.aws.sending import host_of, send_quickly

DIFFERS_EACH_TIME = {"amz-sdk-invocation-id", "X-Amz-Date", "Authorization"}


def encoded(request) -> dict[str, bytes]:
    """The headers as they are sent; botocore has some as text."""
    return {name: value if isinstance(value, bytes) else value.encode() for name, value in request.headers.items()}


def signed_by_botocore(request) -> str:
    """The signature of the same request by a signer that has to find the host by itself."""
    headers = {name: value.decode() for name, value in encoded(request).items()}
    signed = re.search("SignedHeaders=([^,]+)", headers["Authorization"])[1].split(";")
    headers = {name: value for name, value in headers.items() if name.lower() in signed and name != "Host"}
    again = AWSRequest(request.method, request.url, headers=headers, data=request.body)
    again.context["timestamp"] = headers["X-Amz-Date"]
    signer = SigV4Auth(Credentials("AKIDEXAMPLE", "secret"), "servicediscovery", "eu-west-1")
    return signer.signature(signer.string_to_sign(again, signer.canonical_request(again)), again)


@pytest.mark.parametrize("endpoint", [None, "http://127.0.0.1:9", "https://[::1]:443/", "https://me@Host.example:8/"])
async def test_it_sends_and_signs_what_botocore_does(opened, request_of, monkeypatch, endpoint):
    """Address, body, headers and signature, at every call."""
    quick = await opened(endpoint_url=endpoint).discovery_client()
    monkeypatch.setattr(session_module, "send_quickly", lambda client: None)
    plain = await opened(endpoint_url=endpoint).discovery_client()
    for operation, parameters in [("discover_instances", {}), ("list_namespaces", {"MaxResults": 100})] * 2:
        mine, theirs = [await request_of(client, operation, **parameters) for client in (quick, plain)]
        assert (mine.method, mine.url, mine.body) == (theirs.method, theirs.url, theirs.body)
        sent, expected = encoded(mine), encoded(theirs)
        assert sent["Host"] == host_of(mine.url).encode()
        assert set(sent) == {*expected, "Host"}
        assert {name for name in expected if sent[name] != expected[name]} <= DIFFERS_EACH_TIME
        assert f"Signature={signed_by_botocore(mine)}".encode() in sent["Authorization"]


async def test_the_rules_for_the_endpoint_are_gone_through_once_an_operation(opened, request_of, monkeypatch):
    """They look at nothing that a call says."""
    gone_through = []
    make = AioSession.create_client

    def watched(self, *args, **options):
        self.get_component("event_emitter").register(
            "before-endpoint-resolution", lambda model, **_: gone_through.append(model.name)
        )
        return make(self, *args, **options)

    monkeypatch.setattr(AioSession, "create_client", watched)
    client = await opened().discovery_client()
    for operation in ["discover_instances", "list_namespaces"] * 3:
        await request_of(client, operation)
    assert gone_through == ["DiscoverInstances", "ListNamespaces"]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://data-servicediscovery.eu-west-1.amazonaws.com/", "data-servicediscovery.eu-west-1.amazonaws.com"),
        ("https://HOST.example:443/a?b=c", "host.example"),
        ("http://host.example:443", "host.example:443"),
        ("http://127.0.0.1:80", "127.0.0.1"),
        ("http://[FE80::1]:8000/", "[fe80::1]:8000"),
        ("https://me:secret@host.example/", "host.example"),
    ],
)
def test_the_host_is_written_as_a_header_has_it(url, host):
    """Without who calls, and without a port that goes without saying."""
    assert host_of(url) == host


def test_a_botocore_without_these_names_is_left_alone():
    """They are its own; nothing breaks where they are gone."""

    class Events:
        def register(self, event, handler):
            self.registered = event

        def unregister(self, event, handler): ...

    client = type("Client", (), {"meta": type("Meta", (), {"events": Events()})})()
    send_quickly(client)
    assert client.meta.events.registered.startswith("before-sign")
