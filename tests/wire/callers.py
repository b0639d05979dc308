"""Calls through a transport, as discovery and as an application's own client make them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop
from botocore.awsrequest import AWSRequest

from aiocloudmap.aws.transport.transport import Purpose, Transport
from aiocloudmap.model.policy import ConnectionPolicy

uvloop.run(asyncio.sleep(0))  # the first loop of the process opens a pipe for good
RUNNERS: dict[str, Callable[[Coroutine[Any, Any, Any]], Any]] = {"asyncio": asyncio.run, "uvloop": uvloop.run}


class Holder:
    """Holds connections, as an engine does."""


class Callers:
    """botocore's HTTP sessions for discovery and for clients, on one transport."""

    def __init__(
        self, policy: ConnectionPolicy | None = None, transport: Transport | None = None, **options: Any
    ) -> None:
        self.policy = policy or ConnectionPolicy(connect_timeout=60)
        self.transport = transport or Transport()
        self.holder = Holder()
        options.setdefault("verify", os.environ.get("REQUESTS_CA_BUNDLE") or True)  # as botocore does
        options.setdefault("timeout", (60, 30))  # a busy machine may be slow to connect
        self._sessions = {
            purpose: self.transport.http_session_class(self.policy, purpose, self.holder)(**options)
            for purpose in Purpose
        }

    async def discover(self, url: str) -> bytes:
        """Call as discovery does."""
        return await self._send(Purpose.DISCOVERY, url)

    async def call(self, url: str) -> bytes:
        """Call as a client does."""
        return await self._send(Purpose.CLIENT, url)

    async def _send(self, purpose: Purpose, url: str) -> bytes:
        request = AWSRequest(method="POST", url=url, data=b"{}").prepare()
        response = await self._sessions[purpose].send(request)
        return await response.content
