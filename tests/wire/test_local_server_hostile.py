"""Whoever reaches the local server's port gets AWS's shape of an error or a closed connection, within bounds."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from aiocloudmap.local import LocalServer, World

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: Route53AutoNaming_v20170314.DiscoverInstances\r\n"
BODY = b"Content-Length: 2\r\n\r\n{}"

NO_HTTP = {
    "bytes": b"\x00\x01\x02\r\n\r\n",
    "a TLS handshake": bytes.fromhex("16030100f5010000f10303") + b"a" * 60 + b"\r\n\r\n",
    "an unknown version": b"POST / HTTP/9.9.9\r\n\r\n",
    "a long path": b"POST /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
    "a long header": HEAD + b"X: " + b"a" * 20_000 + b"\r\n\r\n",
    "a negative length": HEAD + b"Content-Length: -5\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a length and chunks": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
    "no chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n\r\n",
    "a bare carriage return": HEAD + b"A: b\rc\r\n" + BODY,
    "a control character": HEAD + b"A: \x1b\x00\r\n" + BODY,
    "a path that is none": b"POST http://[::1/ HTTP/1.1\r\nHost: x\r\n" + BODY,
}
ODD = {
    "another host's path": b"POST http://user:word@evil.example/ HTTP/1.1\r\nHost: x\r\n" + BODY,
    "a port that is none": b"POST http://a:999999/ HTTP/1.1\r\nHost: x\r\n" + BODY,
    "a tunnel": b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "another protocol": HEAD + b"Connection: upgrade\r\nUpgrade: websocket\r\n" + BODY,
    "a packed body that is none": HEAD + b"Content-Encoding: gzip\r\n" + BODY,
    "a body of unknown packing": HEAD + b"Content-Encoding: br\r\n" + BODY,
    "no host": b"POST / HTTP/1.1\r\n" + BODY,
    "thousands of headers": HEAD + b"".join(b"X%d: a\r\n" % number for number in range(5000)) + BODY,
    "a body that is too large": HEAD + b"Content-Length: 99999999999\r\n\r\n" + b"a" * 2_000_000,
    "a broken text": HEAD + b'Content-Length: 27\r\n\r\n{"NamespaceName":"\\ud800\xff"}',
    "numbers without end": HEAD + b"Content-Length: 100017\r\n\r\n" + b'{"MaxResults": ' + b"9" * 100_000 + b"}" + b" ",
    "brackets without end": HEAD + b"Content-Length: 100000\r\n\r\n" + b"[" * 100_000,
}


@pytest.fixture
async def server(caplog):
    """Whatever comes, its log shows no traceback, and nothing above DEBUG."""
    caplog.set_level(logging.DEBUG)
    async with LocalServer(World(), request_timeout=30) as server:
        yield server
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []
    loggers = ("aiocloudmap.local", "aiohttp.server", "asyncio", "aiohttp.web")
    assert [record for record in caplog.records if record.name in loggers and record.levelno > logging.DEBUG] == []


async def said(server: LocalServer, sent: bytes) -> bytes:
    """What comes back, until the whole of one answer or the end of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        async with asyncio.timeout(20):
            writer.write(sent)
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
            return head + await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError) as ended:
        return getattr(ended, "partial", b"")
    finally:
        writer.transport.abort()


def code_of(answer: bytes) -> tuple[int, str]:
    """Status and AWS's error code."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/x-amz-json-1.1" in head
    return int(head.split(b" ")[1]), json.loads(body)["__type"]


@pytest.mark.parametrize("sent", NO_HTTP.values(), ids=NO_HTTP)
async def test_what_is_no_http_is_refused_in_aws_shape_or_cut_off(server, sent):
    """Which of them is aiohttp's business; the log stays clean."""
    answer = await said(server, sent)
    assert answer == b"" or code_of(answer) == (400, "BadRequestException")


@pytest.mark.parametrize("sent", ODD.values(), ids=ODD)
async def test_odd_requests_are_refused_in_aws_shape_or_cut_off(server, sent):
    """Never a success, never a failure of the server, and what was sent is not sent back."""
    answer = await said(server, sent)
    if answer:
        status, _ = code_of(answer)
        assert 400 <= status < 500
        assert b"\x1b" not in answer


async def test_it_still_answers_after_all_of_that(server):
    """One after the other, on connections of their own, and a good request at the end."""
    for sent in [*NO_HTTP.values(), *ODD.values()]:
        await said(server, sent)
    assert code_of(await said(server, HEAD + BODY)) == (400, "InvalidInput")


@pytest.mark.parametrize("begun", [b"", b"POST / HT", HEAD, HEAD + b"X: a"])
async def test_a_head_that_does_not_come_is_not_waited_for(begun):
    """A connection without a request is closed, however much of one has come."""
    async with LocalServer(World(), request_timeout=0.05) as server:
        assert await said(server, begun) == b""


async def test_a_body_that_does_not_come_is_not_waited_for():
    """It is told so."""
    async with LocalServer(World(), request_timeout=0.05) as server:
        answer = await said(server, HEAD + b"Content-Length: 50\r\n\r\n{")
    assert code_of(answer) == (408, "RequestTimeoutException")


async def test_a_connection_in_use_is_not_cut_by_the_time_for_a_first_request():
    """The clock stops with the request, however long its answer takes."""
    async with LocalServer(World(), request_timeout=0.05) as server:
        server.faults.hold()
        asked = asyncio.create_task(said(server, HEAD + BODY))
        async with asyncio.timeout(20):
            await server.faults.until_held()
        await asyncio.sleep(0.1)
        server.faults.release()
        assert code_of(await asked) == (400, "InvalidInput")


async def test_headers_without_end_are_cut_off(server):
    """Some megabytes are enough to see it: aiohttp 3.12 would take them for ever."""
    answer = await said(server, HEAD + b"".join(b"X%d: a\r\n" % number for number in range(700_000)))
    assert answer == b"" or code_of(answer)[0] == 400
