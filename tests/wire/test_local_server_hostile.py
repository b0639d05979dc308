"""Invalid and oversized requests get an error in AWS's format or a closed connection."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from aiocloudmap.local import LocalServer, World

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: Route53AutoNaming_v20170314.DiscoverInstances\r\n"
BODY = b"Content-Length: 2\r\n\r\n{}"

INVALID_HTTP = {
    "bytes": b"\x00\x01\x02\r\n\r\n",
    "a TLS handshake": bytes.fromhex("16030100f5010000f10303") + b"a" * 60 + b"\r\n\r\n",
    "an unknown version": b"POST / HTTP/9.9.9\r\n\r\n",
    "a long path": b"POST /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
    "a long header": HEAD + b"X: " + b"a" * 20_000 + b"\r\n\r\n",
    "a negative length": HEAD + b"Content-Length: -5\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a length and chunks": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
    "an invalid chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n\r\n",
    "a bare carriage return": HEAD + b"A: b\rc\r\n" + BODY,
    "a control character": HEAD + b"A: \x1b\x00\r\n" + BODY,
    "an invalid path": b"POST http://[::1/ HTTP/1.1\r\nHost: x\r\n" + BODY,
}
ODD = {
    "another host's path": b"POST http://user:word@evil.example/ HTTP/1.1\r\nHost: x\r\n" + BODY,
    "an invalid port": b"POST http://a:999999/ HTTP/1.1\r\nHost: x\r\n" + BODY,
    "a tunnel": b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "another protocol": HEAD + b"Connection: upgrade\r\nUpgrade: websocket\r\n" + BODY,
    "an invalid compressed body": HEAD + b"Content-Encoding: gzip\r\n" + BODY,
    "an unknown compression": HEAD + b"Content-Encoding: br\r\n" + BODY,
    "no host": b"POST / HTTP/1.1\r\n" + BODY,
    "thousands of headers": HEAD + b"".join(b"X%d: a\r\n" % number for number in range(5000)) + BODY,
    "a body that is too large": HEAD + b"Content-Length: 99999999999\r\n\r\n" + b"a" * 2_000_000,
    "invalid UTF-8": HEAD + b'Content-Length: 27\r\n\r\n{"NamespaceName":"\\ud800\xff"}',
    "a huge number": HEAD + b"Content-Length: 100017\r\n\r\n" + b'{"MaxResults": ' + b"9" * 100_000 + b"}" + b" ",
    "deeply nested brackets": HEAD + b"Content-Length: 100000\r\n\r\n" + b"[" * 100_000,
}


@pytest.fixture
async def server(caplog):
    """A server whose log must have no traceback and nothing above DEBUG."""
    caplog.set_level(logging.DEBUG)
    async with LocalServer(World(), request_timeout=30) as server:
        yield server
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []
    loggers = ("aiocloudmap.local", "aiohttp.server", "asyncio", "aiohttp.web")
    assert [record for record in caplog.records if record.name in loggers and record.levelno > logging.DEBUG] == []


async def answer_to(server: LocalServer, sent: bytes) -> bytes:
    """Send bytes and return one whole answer, or what came before the connection ended."""
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


@pytest.mark.parametrize("sent", INVALID_HTTP.values(), ids=INVALID_HTTP)
async def test_invalid_http_gets_an_error_or_is_disconnected(server, sent):
    """aiohttp decides which of the two."""
    answer = await answer_to(server, sent)
    assert answer == b"" or code_of(answer) == (400, "BadRequestException")


@pytest.mark.parametrize("sent", ODD.values(), ids=ODD)
async def test_odd_requests_get_an_error_or_are_disconnected(server, sent):
    """No success, no server error, and no echo of the request."""
    answer = await answer_to(server, sent)
    if answer:
        status, _ = code_of(answer)
        assert 400 <= status < 500
        assert b"\x1b" not in answer


async def test_the_server_still_answers_afterwards(server):
    """A valid request after all invalid ones."""
    for sent in [*INVALID_HTTP.values(), *ODD.values()]:
        await answer_to(server, sent)
    assert code_of(await answer_to(server, HEAD + BODY)) == (400, "InvalidInput")


@pytest.mark.parametrize("head", [b"", b"POST / HT", HEAD, HEAD + b"X: a"])
async def test_an_incomplete_head_is_disconnected_after_the_timeout(head):
    """Also a connection without any bytes."""
    async with LocalServer(World(), request_timeout=0.05) as server:
        assert await answer_to(server, head) == b""


async def test_an_incomplete_body_gets_an_error_after_the_timeout():
    """RequestTimeoutException with status 408."""
    async with LocalServer(World(), request_timeout=0.05) as server:
        answer = await answer_to(server, HEAD + b"Content-Length: 50\r\n\r\n{")
    assert code_of(answer) == (408, "RequestTimeoutException")


async def test_the_request_timeout_ends_when_a_request_begins():
    """A slow answer is not aborted."""
    async with LocalServer(World(), request_timeout=0.05) as server:
        server.faults.hold()
        asked = asyncio.create_task(answer_to(server, HEAD + BODY))
        async with asyncio.timeout(20):
            await server.faults.until_held()
        await asyncio.sleep(0.1)
        server.faults.release()
        assert code_of(await asked) == (400, "InvalidInput")


async def test_endless_headers_are_disconnected(server):
    """aiohttp 3.12 has no limit of its own."""
    answer = await answer_to(server, HEAD + b"".join(b"X%d: a\r\n" % number for number in range(700_000)))
    assert answer == b"" or code_of(answer)[0] == 400
