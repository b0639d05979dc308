"""Calls that AWS does not answer: time-outs, broken connections, TLS, proxies, cancellation."""

from __future__ import annotations

import asyncio
import logging

import pytest
from backends import ONE_ATTEMPT, ORDERS, discover, opened
from canned_server import CannedServer, Reply, found, refused
from certificates import tls_of

from aiocloudmap import errors
from aiocloudmap.model.policy import ConnectionPolicy

pytestmark = pytest.mark.usefixtures("keys")


async def test_a_server_that_hangs_is_a_deadline_error():
    """After the read time-out."""
    with CannedServer(Reply(hang=True)) as server:
        with pytest.raises(errors.DeadlineError, match="localhost"):
            await discover(
                server.url, connections=ConnectionPolicy(connect_timeout=60, read_timeout=0.1, max_attempts=1)
            )


async def test_a_connection_that_breaks_is_a_connect_error():
    """The server closed it without an answer."""
    with CannedServer(Reply(close=True)) as server:
        with pytest.raises(errors.ConnectError, match="broke"):
            await discover(server.url, connections=ONE_ATTEMPT)


async def test_a_refused_connection_is_a_connect_error():
    """The message names the endpoint and the reason."""
    with CannedServer(found()) as server:
        url = server.url
    with pytest.raises(errors.ConnectError, match=r"localhost:\d+, ECONNREFUSED"):
        await discover(url, connections=ONE_ATTEMPT)


async def test_a_certificate_of_an_unknown_authority_is_refused(authority):
    """Nothing is sent; the message has OpenSSL's reason and names AWS_CA_BUNDLE."""
    with CannedServer(found(), tls=tls_of(authority, "localhost")) as server:
        with pytest.raises(errors.ConnectError, match=r"unable to get local issuer certificate.*AWS_CA_BUNDLE"):
            await discover(server.url, connections=ONE_ATTEMPT)
    assert server.requests == []


async def test_a_certificate_for_another_host_is_refused(authority, bundle, monkeypatch):
    """Even if the authority is known."""
    monkeypatch.setenv("AWS_CA_BUNDLE", bundle)
    with CannedServer(found(), tls=tls_of(authority, "other.example")) as server:
        with pytest.raises(errors.ConnectError, match="host name"):
            await discover(server.url, connections=ONE_ATTEMPT)
    assert server.requests == []


async def test_an_authority_in_aws_ca_bundle_is_accepted(authority, bundle, monkeypatch):
    """The variable names a file."""
    monkeypatch.setenv("AWS_CA_BUNDLE", bundle)
    with CannedServer(found("orders-1"), tls=tls_of(authority, "localhost")) as server:
        assert len((await discover(server.url)).instances) == 1


async def test_a_missing_ca_bundle_is_a_configuration_error(authority, monkeypatch, tmp_path):
    """A retry would not help."""
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "missing.pem"))
    with CannedServer(found(), tls=tls_of(authority, "localhost")) as server:
        with pytest.raises(errors.ConfigurationError, match="certificate file"):
            await discover(server.url, connections=ONE_ATTEMPT)


async def test_an_unreachable_proxy_is_a_connect_error(monkeypatch):
    """The message names the variables that set it."""
    with CannedServer(found()) as server:
        monkeypatch.setenv("HTTPS_PROXY", server.url)
    with pytest.raises(errors.ConnectError, match="HTTPS_PROXY"):
        await discover("https://aws.invalid", connections=ONE_ATTEMPT)


async def test_a_proxy_is_used(monkeypatch):
    """botocore's variables apply to the shared connections too."""
    with CannedServer(found("orders-1")) as server:
        monkeypatch.setenv("HTTP_PROXY", server.url)
        answer = await discover("http://aws.invalid")
    assert [(request.path, len(answer.instances)) for request in server.requests] == [("http://aws.invalid/", 1)]


async def test_cancelling_ends_the_request():
    """It raises CancelledError, and the client still works."""
    with CannedServer(Reply(hang=True), found("orders-1")) as server:
        backend, _ = opened(server.url, ONE_ATTEMPT)
        task = asyncio.create_task(backend.discover(ORDERS))
        while not server.requests:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len((await backend.discover(ORDERS)).instances) == 1


async def test_failures_are_not_logged(caplog):
    """The error has the reason."""
    with CannedServer(
        Reply(200, b"garbage"), refused("AccessDenied"), Reply(close=True), refused("ExpiredToken")
    ) as server:
        backend, _ = opened(server.url, ONE_ATTEMPT)
        for _ in range(4):
            with pytest.raises(errors.CloudMapError):
                await backend.discover(ORDERS)
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []
