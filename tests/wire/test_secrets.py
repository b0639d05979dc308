"""Marked secrets never appear in a log line, an event, a repr, an error or on standard error.

Chained causes are not checked: they are botocore's, aiohttp's and the program's own errors, kept as they are. Nor is
AWS's own message for a denied access, which names the caller and the action.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import subprocess
import sys
import traceback

import pytest
from canned_server import CannedServer, Reply, found, refused

from aiocloudmap import CachePolicy, CloudMap, CloudMapError, ConfigurationError, ConnectionPolicy, HealthFilter
from aiocloudmap.local import LocalCloudMap, LocalServer, World, serve_in_thread
from aiocloudmap.model.instance import Attributes
from aiocloudmap.testing import ManualClock

MARK = "marked5ecret"
KEYS = {
    "AWS_ACCESS_KEY_ID": f"AKID{MARK}",
    "AWS_SECRET_ACCESS_KEY": f"key-{MARK}",
    "AWS_SESSION_TOKEN": f"token-{MARK}",
}
ATTRIBUTES = {
    "QUEUE_URL": f"https://{MARK}.example/",
    "NUMBER": f"{MARK}",
    "STAGE": f"live-{MARK}",
    "AWS_INSTANCE_CNAME": f"user:{MARK}@example",
    "AWS_INSTANCE_PORT": f"1{MARK}",
}
QUICK = ConnectionPolicy(max_attempts=1, read_timeout=5, connect_timeout=5, discovery_timeout=10)


@pytest.fixture
def keys(monkeypatch):
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")


@pytest.fixture
def heard(caplog):
    """The library's log at DEBUG, as a formatter writes it."""
    caplog.set_level(logging.DEBUG, logger="aiocloudmap")
    return caplog


def shown_of(thing: object) -> list[str]:
    """All texts that a program may print of it."""
    texts = [str(thing), repr(thing), f"{thing}"]
    if isinstance(thing, BaseException):
        texts += [repr(thing.args), repr(vars(thing)), "".join(traceback.format_exception(thing, chain=False))]
    return texts


def assert_clean(*things: object) -> None:
    leaks = [text for thing in things for text in shown_of(thing) if MARK in text]
    leaks += [text for thing in everything_of_ours() for text in (str(thing), repr(thing)) if MARK in text]
    assert leaks == []


def everything_of_ours() -> list[object]:
    """All living objects of the library's own classes, except instance attributes and the records of a local world."""
    things = gc.get_objects()
    rooms = [str(vars(type(thing)).get("__module__")) for thing in things]
    return [
        thing
        for thing, room in zip(things, rooms, strict=True)
        if room.startswith("aiocloudmap") and not room.startswith("aiocloudmap.local") and type(thing) is not Attributes
    ]


async def failure_of(awaitable) -> CloudMapError:
    with pytest.raises(CloudMapError) as caught:
        await awaitable
    return caught.value


async def test_no_object_log_or_error_shows_a_secret(keys, heard):
    """Miss, hit, every fault with and without an old answer, missing names, bad casts, and all living objects."""
    events, failures, clock = [], [], ManualClock()
    async with LocalCloudMap() as local:
        local.world.register("shop/orders", "orders-1", ATTRIBUTES)
        settings = {"endpoint_url": local.endpoint_url, "connections": QUICK, "clock": clock, "region": "eu-west-1"}
        async with CloudMap(on_event=events.append, cache=CachePolicy(jitter=0), **settings) as cloud_map:
            orders = cloud_map.service("shop/orders", where={"STAGE": ATTRIBUTES["STAGE"]}, health=HealthFilter.ALL)
            assert await orders.attribute("QUEUE_URL") == ATTRIBUTES["QUEUE_URL"]  # the secrets are there
            snapshot, instance = await orders.resolve(), await orders.pick()
            seen = [
                cloud_map,
                orders,
                orders.query,
                orders.name,
                snapshot,
                instance,
                orders.explain(),
                cloud_map.stats(),
            ]
            seen += [orders.peek(), instance.service, instance.health]
            failures.append(await failure_of(orders.attribute("NUMBER", int)))
            failures.append(await failure_of(orders.attribute("NUMBER", json.loads)))
            failures.append(await failure_of(orders.attribute("MISSING")))
            for read in (
                lambda: instance.host,
                lambda: instance.port,
                instance.url,
                lambda: instance.url(path=f"\n{MARK}"),
            ):
                with pytest.raises(CloudMapError) as caught:
                    read()
                failures.append(caught.value)
            failures.append(await failure_of(cloud_map.service("shop/nothing").resolve()))
            failures.append(await failure_of(cloud_map.service("nowhere/orders").resolve()))
            with pytest.raises(ConfigurationError) as wrong:
                cloud_map.service("shop/orders", where={"STAGE": f"\n{MARK}"})
            failures.append(wrong.value)
            for fault in (
                "throttle",
                "reset",
                "server_error",
                "garbage",
                "empty",
                "truncate",
                "expired_token",
                "access_denied",
            ):
                with getattr(local.faults, fault)():
                    clock.tick(120)
                    failures.append(await failure_of(orders.resolve(max_age=0)))
                    clock.tick(120)
                    assert await orders.resolve()  # the old one
                    seen += [orders.explain(), cloud_map.stats()]
                    failures.append(orders.explain().last_error)
                clock.tick(120)
                await orders.resolve(max_age=0)
            clock.freeze(5)
            clock.tick(120)
            await orders.resolve(max_age=0)
            assert_clean(*seen, *failures, *events)
    assert len(events) > 10
    assert heard.records
    assert MARK not in heard.text


@pytest.mark.parametrize(
    "reply",
    [
        refused("SignatureDoesNotMatch", f"the canonical request was x-amz-security-token:{KEYS['AWS_SESSION_TOKEN']}"),
        refused("UnrecognizedClientException", f"the token {KEYS['AWS_SESSION_TOKEN']} is invalid"),
        refused("ExpiredTokenException", f"the token {KEYS['AWS_SESSION_TOKEN']} has expired"),
        refused("InvalidInput", f"the value {ATTRIBUTES['STAGE']} is invalid"),
        refused("UnknownException", MARK),
        refused("InternalFailure", MARK, 500),
        refused("NamespaceNotFound", MARK),
        Reply(200, f'{{"Instances": [{{"InstanceId": 1, "Attributes": "{MARK}"}}]}}'.encode()),
        Reply(200, f'{{"Instances": [{{"InstanceId": "i", "Attributes": {{"A": ["{MARK}"]}}}}]}}'.encode()),
        Reply(200, MARK.encode()),
        Reply(302, MARK.encode()),
        Reply(404, f"<html>{MARK}".encode()),
    ],
    ids=lambda reply: f"{reply.status} {reply.body[:30].decode()}",
)
async def test_text_from_the_wire_is_not_repeated(keys, heard, reply):
    """AWS and proxies quote the request, and even an invalid answer may hold values."""
    events = []
    with CannedServer(reply) as server:
        async with CloudMap(endpoint_url=server.url, connections=QUICK, on_event=events.append) as cloud_map:
            orders = cloud_map.service("shop/orders", where={"STAGE": ATTRIBUTES["STAGE"]})
            assert_clean(await failure_of(orders.resolve()), orders.explain(), *events)
    assert MARK not in heard.text


async def test_text_from_sources_of_credentials_is_not_repeated(heard, monkeypatch):
    """Neither an invalid answer of a container's endpoint nor the token sent to it."""
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", f"container-{MARK}")
    monkeypatch.setattr("aiobotocore.utils.AioContainerMetadataFetcher.SLEEP_TIME", 0)
    for reply in (Reply(403, MARK.encode()), Reply(200, MARK.encode()), Reply.json({"AccessKeyId": MARK})):
        with CannedServer(reply) as source, CannedServer(found("orders-1")) as server:
            monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", source.url)
            async with CloudMap(endpoint_url=server.url, connections=QUICK) as cloud_map:
                failure = await failure_of(cloud_map.service("shop/orders").resolve())
                assert_clean(failure)
    assert MARK not in heard.text


@pytest.mark.parametrize("arguments", [[], ["--debug"]])
@pytest.mark.parametrize("fault", ["expired_token", "garbage", None])
def test_the_command_line_shows_no_secret_on_standard_error(keys, monkeypatch, arguments, fault):
    """Errors and notes, and with --debug the tracebacks of errors and their causes."""
    pytest.importorskip("typer")
    world = World()
    world.register("shop/orders", "orders-1", ATTRIBUTES)
    with serve_in_thread(LocalServer(world)) as server:
        if fault is not None:
            getattr(server.faults, fault)()
        command = [sys.executable, "-m", "aiocloudmap", *arguments, "resolve", "shop/orders", "-o", "env"]
        done = subprocess.run(
            [*command, "--endpoint-url", server.endpoint_url, "--where", f"STAGE={ATTRIBUTES['STAGE']}"],
            env=os.environ | {"AIOCLOUDMAP_MAX_ATTEMPTS": "1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == (0 if fault is None else done.returncode)
    assert MARK not in done.stderr
    assert (MARK in done.stdout) == (fault is None)
