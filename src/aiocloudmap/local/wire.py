"""AWS's JSON 1.1 protocol: requests in, answers and errors out.

A request is a POST to / whose X-Amz-Target names service and operation, with a JSON object as its body. An error is an
object with `__type`, a message and the error's own members; its status is 400 unless AWS itself has failed.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from aiocloudmap.local.errors import RefusedError
from aiocloudmap.local.fault import Fault, Kind

__all__ = ["Incoming", "answer", "faulty_answer", "read_request", "refusal_answer"]

_PREFIX: Final = "Route53AutoNaming_v20170314."
_CONTENT_TYPE: Final = "application/x-amz-json-1.1"


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request that could be read.

    Args:
        target: The whole X-Amz-Target.
        members: The body.
    """

    target: str
    members: dict[str, Any]

    @property
    def operation(self) -> str:
        """The operation's name; the whole target where it is another service's."""
        return self.target.removeprefix(_PREFIX)

    @property
    def is_cloud_map(self) -> bool:
        """Whether it is for Cloud Map."""
        return self.target.startswith(_PREFIX)

    @property
    def service(self) -> str | None:
        """Whom it is about, as `namespace/service`, where it names both."""
        namespace, service = self.members.get("NamespaceName"), self.members.get("ServiceName")
        return f"{namespace}/{service}" if isinstance(namespace, str) and isinstance(service, str) else None


async def read_request(request: web.BaseRequest, timeout: float) -> Incoming:
    """The request, of a bounded size, and in a bounded time.

    Raises:
        RefusedError: It is none that AWS's protocol knows.
    """
    if request.method != "POST":
        raise RefusedError(
            "this is a Cloud Map for local use: point an AWS client's endpoint_url at it",
            code="MethodNotAllowedException",
            status=405,
        )
    target = request.headers.get("X-Amz-Target", "")
    try:
        async with asyncio.timeout(timeout):
            body = await request.read()
    except TimeoutError as error:
        raise RefusedError("the request takes too long", code="RequestTimeoutException", status=408) from error
    except web.RequestPayloadError as error:
        raise RefusedError("the body is not what its headers say", code="SerializationException") from error
    except web.HTTPRequestEntityTooLarge as error:
        raise RefusedError("the request is too large", code="RequestEntityTooLargeException", status=413) from error
    try:
        members = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise RefusedError("the body is no JSON", code="SerializationException") from error
    if not isinstance(members, dict):
        raise RefusedError("the body is no JSON object", code="SerializationException")
    if not target:
        raise RefusedError("the header X-Amz-Target is missing", code="UnknownOperationException")
    return Incoming(target, members)


def answer(members: dict[str, Any]) -> web.Response:
    """A success."""
    return _response(200, json.dumps(members).encode())


def refusal_answer(refusal: RefusedError) -> web.Response:
    """An error, in the words that the refusal carries. Cloud Map writes Message, AWS's front doors write message."""
    body = {"__type": refusal.code, "Message": refusal.what, "message": refusal.what, **refusal.members}
    return _response(refusal.status, json.dumps(body).encode())


def faulty_answer(fault: Fault, incoming: Incoming) -> web.Response | None:
    """What comes instead of an answer; None where the answer itself is needed."""
    if fault.kind is Kind.GARBAGE:
        return _response(200, b"<html>no JSON, and not for you \xff\xfe")
    if fault.kind is Kind.EMPTY:
        return _response(200, b"")
    refusal = fault.refusal(incoming.operation)
    return None if refusal is None else refusal_answer(refusal)


def _response(status: int, body: bytes) -> web.Response:
    headers = {"Content-Type": _CONTENT_TYPE, "x-amzn-RequestId": str(uuid.uuid4())}
    return web.Response(status=status, body=body, headers=headers)
