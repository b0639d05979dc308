"""What is the same in every request of a client, worked out once; and what is nothing, not done at all.

botocore goes through its rules for the endpoint at each call, takes the host's name out of the URL four times for a
signature, and calls handlers that have work with other services: a tenth of what a call costs this process.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from botocore.handlers import BUILTIN_HANDLERS

__all__ = ["host_of", "send_quickly"]

_BEFORE_SIGNING: Final = "before-sign.servicediscovery"
_IDLE: Final = (
    "generate_idempotent_uuid",
    "_handle_request_validation_mode_member",
    "inject_api_version_header_if_needed",
)
"""Handlers that botocore calls for every operation, and that do nothing for those that ask Cloud Map something."""
_PORTS: Final = {"http": 80, "https": 443}


def send_quickly(client: Any) -> None:
    """Have a client that only asks Cloud Map send the same requests with less work.

    Names that are botocore's own may be gone in another version: then calls take their time, and nothing else happens.
    """
    events = client.meta.events
    events.register(_BEFORE_SIGNING, _Host())
    for event, handler, *_ in BUILTIN_HANDLERS:
        if getattr(handler, "__name__", "") in _IDLE:
            events.unregister(event, handler)
    agent: Any = getattr(client, "_user_agent_creator", None)
    if hasattr(agent, "rebuild_and_replace_user_agent_handler"):
        # It writes the user agent anew, which is a fixed one (see `session_settings.user_agent`).
        events.unregister("request-created.servicediscovery", agent.rebuild_and_replace_user_agent_handler)
    resolver: Any = getattr(client, "_ruleset_resolver", None)
    if hasattr(resolver, "construct_endpoint"):
        resolver.construct_endpoint = _Endpoints(resolver.construct_endpoint)


class _Host:
    """Puts the header there that aiohttp would send in any case, so that signing need not look for it."""

    def __init__(self) -> None:
        self._url = self._host = ""

    def __call__(self, request: Any, **_: Any) -> None:
        if request.url != self._url:
            self._url, self._host = request.url, host_of(request.url)
        request.headers["Host"] = self._host


class _Endpoints:
    """An operation of Cloud Map has one endpoint in a client's life: its rules look at no parameter of a call."""

    def __init__(self, construct: Any) -> None:
        self._construct = construct
        self._known: dict[str, Any] = {}

    async def __call__(self, operation_model: Any, call_args: Any, request_context: Any) -> Any:
        name = operation_model.name
        if name not in self._known:
            self._known[name] = await self._construct(operation_model, call_args, request_context)
        return self._known[name]


def host_of(url: str) -> str:
    """What a Host header says: in lower case, IPv6 in brackets, no user, and no port that goes without saying."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return host if parts.port in (None, _PORTS.get(parts.scheme)) else f"{host}:{parts.port}"
