"""AWS's JSON 1.1 protocol: reads requests, builds answers and errors.

A request is a POST to / whose X-Amz-Target names service and operation, with a JSON object as its body. An error is an
object with `__type`, a message and the error's own members. Its status is 400 unless AWS itself has failed.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from aiocloudmap.local.fault import Fault, Kind
from aiocloudmap.local.request import RefusedError

__all__ = ["WireRequest", "error_response", "fault_response", "read_request", "success_response"]

_PREFIX: Final = "Route53AutoNaming_v20170314."
_CONTENT_TYPE: Final = "application/x-amz-json-1.1"


@dataclass(frozen=True, slots=True)
class WireRequest:
    """A request: its whole X-Amz-Target, and the members in its body."""

    target: str
    members: dict[str, Any]

    @property
    def operation(self) -> str:
        """The operation's name; for another AWS service the whole target."""
        return self.target.removeprefix(_PREFIX)

    @property
    def is_cloud_map(self) -> bool:
        """Whether it is for Cloud Map."""
        return self.target.startswith(_PREFIX)

    @property
    def service(self) -> str | None:
        """The service it names, as `namespace/service`, if it names both."""
        namespace, service = self.members.get("NamespaceName"), self.members.get("ServiceName")
        return f"{namespace}/{service}" if isinstance(namespace, str) and isinstance(service, str) else None


async def read_request(request: web.BaseRequest, timeout: float) -> WireRequest:
    """Read the request, with a limit on its size and its time."""
    if request.method != "POST":
        raise RefusedError(
            "this is a local Cloud Map: use it as the endpoint_url of an AWS client",
            code="MethodNotAllowedException",
            status=405,
        )
    try:
        async with asyncio.timeout(timeout):
            body = await request.read()
    except TimeoutError as error:
        raise RefusedError("the request took too long", code="RequestTimeoutException", status=408) from error
    except web.RequestPayloadError as error:
        raise RefusedError("the body does not match its headers", code="SerializationException") from error
    except web.HTTPRequestEntityTooLarge as error:
        raise RefusedError("the request is too large", code="RequestEntityTooLargeException", status=413) from error
    try:
        members = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise RefusedError("invalid body: expected JSON", code="SerializationException") from error
    if not isinstance(members, dict):
        raise RefusedError("invalid body: expected a JSON object", code="SerializationException")
    target = request.headers.get("X-Amz-Target", "")
    if not target:
        raise RefusedError("missing header X-Amz-Target", code="UnknownOperationException")
    return WireRequest(target, members)


def success_response(members: dict[str, Any]) -> web.Response:
    """An answer."""
    return _response(200, json.dumps(members).encode())


def error_response(refusal: RefusedError) -> web.Response:
    """An error. Cloud Map sends `Message`; AWS's load balancers send `message`."""
    body = {"__type": refusal.code, "Message": refusal.what, "message": refusal.what, **refusal.members}
    return _response(refusal.status, json.dumps(body).encode())


def fault_response(fault: Fault, request: WireRequest) -> web.Response | None:
    """What a fault sends instead of the answer; None if it needs the answer itself."""
    if fault.kind is Kind.GARBAGE:
        return _response(200, b"<html>not JSON \xff\xfe")
    if fault.kind is Kind.EMPTY:
        return _response(200, b"")
    refusal = fault.refusal(request.operation)
    return None if refusal is None else error_response(refusal)


def _response(status: int, body: bytes) -> web.Response:
    headers = {"Content-Type": _CONTENT_TYPE, "x-amzn-RequestId": str(uuid.uuid4())}
    return web.Response(status=status, body=body, headers=headers)
