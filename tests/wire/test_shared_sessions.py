"""What several callers of `http_session()` and `client()` share: nothing of one caller's reaches another."""

from __future__ import annotations

from http.cookies import SimpleCookie

import aiohttp
import pytest
from aiobotocore.config import AioConfig
from aiohttp import web
from callers import Callers
from multidict import CIMultiDict

from aiocloudmap.aws.client_config import by_value, copied


@pytest.fixture
async def server():
    """Answers with the Authorization and Cookie it was sent, and sets a cookie."""

    async def answer(request: web.Request) -> web.Response:
        response = web.json_response([request.headers.get("Authorization"), request.headers.get("Cookie")])
        response.set_cookie("visitor", request.query.get("visitor", "none"))
        return response

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield "http://{}:{}".format(*runner.addresses[0])
    await runner.cleanup()


async def sent(callers: Callers, url: str, **options) -> list[str | None]:
    """The headers that a session with these options sends."""
    session = callers.transport.client_session(callers.policy, callers.holder, **options)
    async with session.get(url) as response:
        return await response.json()


async def test_headers_changed_later_are_another_session(server):
    """The dict, and a SimpleCookie, are compared as they were given."""
    callers = Callers()
    headers, cookies = {"Authorization": "Bearer A"}, SimpleCookie({"a": "1"})
    assert await sent(callers, server, headers=headers, cookies=cookies) == ["Bearer A", "a=1"]
    headers["Authorization"] = "Bearer B"
    assert await sent(callers, server, headers=headers, cookies=cookies) == ["Bearer B", "a=1"]
    cookies["a"] = "2"
    assert await sent(callers, server, headers=headers, cookies=cookies) == ["Bearer B", "a=2"]
    doubled = CIMultiDict([("Authorization", "C"), ("Authorization", "D")])
    assert by_value({"headers": doubled}) != by_value({"headers": CIMultiDict(list(doubled.items())[::-1])})
    await callers.transport.aclose(callers.holder)


async def test_a_responses_cookie_reaches_no_other_caller(server):
    """Given cookies are sent each time; a jar of the caller's keeps what responses set."""
    callers, jar = Callers(), aiohttp.CookieJar(unsafe=True)
    for _ in range(2):
        assert await sent(callers, server + "?visitor=one") == [None, None]
        assert await sent(callers, server, cookies={"a": "1"}) == [None, "a=1"]
    assert await sent(callers, server + "?visitor=two", cookie_jar=jar) == [None, None]
    assert await sent(callers, server, cookie_jar=jar) == [None, "visitor=two"]
    assert await sent(callers, server, cookie_jar=aiohttp.CookieJar(unsafe=True)) == [None, None]
    await callers.transport.aclose(callers.holder)


async def test_a_shared_session_cannot_be_changed(server):
    """Its headers are read-only, its cookies stay, and lists of the caller's are copied."""
    callers, traces = Callers(), [aiohttp.TraceConfig()]
    session = callers.transport.client_session(callers.policy, callers.holder, trace_configs=traces)
    with pytest.raises(TypeError, match="item assignment"):
        session.headers["Authorization"] = "Bearer A"
    session.cookie_jar.update_cookies({"a": "1"})
    traces.clear()
    assert session.trace_configs
    assert await sent(callers, server) == [None, None]
    await callers.transport.aclose(callers.holder)


def test_a_config_changed_later_does_not_reach_the_client():
    """A kept client's options are copies, and an object's place in memory is not its value."""
    config = AioConfig(proxies={"http": "http://one"}, retries={"max_attempts": 2})
    kept = copied({"config": config})
    before = by_value(kept)
    config.proxies["http"] = "http://two"
    assert kept["config"].merge(AioConfig()).proxies == {"http": "http://one"}
    assert by_value({"config": config}) != before == by_value(kept)
    assert by_value(bytearray(b"x")) != by_value(bytearray(b"x"))
