"""What a name in a URL costs, in calls of functions: those do not depend on how fast the machine is."""

from __future__ import annotations

import ssl
import sys

import pytest

httpx = pytest.importorskip("httpx")
httpx2 = pytest.importorskip("httpx2")
integration = pytest.importorskip("aiocloudmap.integrations.httpx")

REQUESTS = 5


async def calls_of(client, url) -> int:
    """How many functions the requests call, in Python and C, the server's included."""
    await client.get(url)
    count = 0

    def on_event(_frame, event, _argument):
        nonlocal count
        count += event in ("call", "c_call")

    previous = sys.getprofile()
    sys.setprofile(on_event)
    try:
        for _ in range(REQUESTS):
            await client.get(url)
    finally:
        sys.setprofile(previous)
    return count


@pytest.mark.parametrize("kept_alive", [0, 20])
@pytest.mark.parametrize("library", [httpx2, httpx], ids=["httpx2", "httpx"])
async def test_a_request_by_name_costs_little_more_than_by_address(stage, library, kept_alive):
    """At most a tenth, if the answer is in memory: also for many instances, and for a connection each."""
    port = await stage.serve("a")
    for number in range(50):
        stage.register(str(number), port)
    options = {
        "limits": library.Limits(max_keepalive_connections=kept_alive),
        "verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
    }
    named = integration.CloudMapTransport(stage.cloud_map, namespaces=("shop",), **options)
    async with (
        library.AsyncClient(transport=library.AsyncHTTPTransport(**options)) as plain,
        library.AsyncClient(transport=named) as by_name,
    ):
        by_address = await calls_of(plain, f"http://127.0.0.1:{port}/")
        assert await calls_of(by_name, "http://orders.shop/") <= 1.1 * by_address


async def test_a_new_answer_changes_the_addresses(stage):
    """They are kept for one answer only."""
    stage.register("a", 8080)
    hostnames = integration.Hostnames(stage.cloud_map, namespaces=("shop",))
    assert [each.port for each in await hostnames.addresses("orders.shop")] == [8080]
    stage.register("a", 8081)
    stage.cloud_map.invalidate()
    assert [each.port for each in await hostnames.addresses("orders.shop")] == [8081]
