"""`LocalCloudMap`: a world, its server, and `CloudMap` objects that use it. Needs no AWS account or environment."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from aiocloudmap.client import CloudMap
from aiocloudmap.local.backend import LocalBackend
from aiocloudmap.local.faults import Faults
from aiocloudmap.local.server import LocalServer, Target, serve_in_thread
from aiocloudmap.local.stats import ServerStats
from aiocloudmap.local.world import World
from aiocloudmap.model.interfaces import SYSTEM_CLOCK, Clock

if TYPE_CHECKING:
    from aiobotocore.session import AioSession

__all__ = ["LocalCloudMap", "local_session"]


class LocalCloudMap:
    """A local Cloud Map with a server.

    ```python
    async with LocalCloudMap() as local:            # served by this event loop
        local.world.register("shop/orders", "orders-1", {"QUEUE_URL": "https://..."})
        async with local.cloud_map() as cloud_map:
            snapshot = await cloud_map.service("shop/orders").resolve()

    with LocalCloudMap() as local:                  # served by its own thread, for boto3 and synchronous tests
        ...
    ```

    Leaving the block stops the server at once, and aborts open connections.

    Args:
        world: What it serves; None for a new, empty one.
        faults: Its faults; None for a new, empty set.
        host: The address to listen on; by default the loopback only.
        port: The port; 0 takes a free one.
        ssl_context: Serves TLS with it; None serves plain HTTP.
        clock: Measures the server's delays; by default the world's.
        targets: Handlers for other AWS services on the same endpoint, by X-Amz-Target: see `LocalServer.add_target`.
    """

    def __init__(
        self,
        world: World | None = None,
        *,
        faults: Faults | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
        clock: Clock | None = None,
        targets: Mapping[str, Target] | None = None,
    ) -> None:
        self.world = World() if world is None else world
        self.faults = Faults() if faults is None else faults
        self.server = LocalServer(self.world, self.faults, host=host, port=port, ssl_context=ssl_context, clock=clock)
        for target, handler in (targets or {}).items():
            self.server.add_target(target, handler)
        self._exits = ExitStack()

    @classmethod
    def from_toml(cls, path_or_text: str | os.PathLike[str], **settings: Any) -> Self:
        """Serve the world of a TOML file. `aiocloudmap.local.toml` describes the format.

        Raises:
            ConfigurationError: The file does not describe a world.
        """
        return cls(World.from_toml(path_or_text), **settings)

    @property
    def endpoint_url(self) -> str:
        """The endpoint_url for an AWS client. Only while it runs."""
        return self.server.endpoint_url

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that make any AWS client of a program use this server. Only while it runs.

        They contain the Region and placeholder credentials.
        """
        return {
            "AWS_ENDPOINT_URL_SERVICEDISCOVERY": self.endpoint_url,
            "AWS_REGION": self.world.region,
            "AWS_DEFAULT_REGION": self.world.region,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            # Other clients than this library's would otherwise look up the host data-127.0.0.1.
            "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
        }

    @property
    def stats(self) -> ServerStats:
        """Counts of the server's calls and connections."""
        return self.server.stats

    def backend(self) -> LocalBackend:
        """A backend with the same world and faults in this process. It counts its own calls."""
        return LocalBackend(self.world, self.faults)

    def cloud_map(self, *, in_process: bool = False, **settings: Any) -> CloudMap:
        """A CloudMap that asks this world, and shares nothing with any other.

        Args:
            in_process: Ask the world directly, without sockets. The server does not have to run.
            settings: Override the settings of `CloudMap`.
        """
        defaults: dict[str, Any] = {} if self.world.clock is SYSTEM_CLOCK else {"clock": self.world.clock}
        if in_process:
            defaults["backend"] = self.backend()
        else:
            defaults |= {
                "endpoint_url": self.endpoint_url,
                "region": self.world.region,
                "session_factory": local_session,
                "shared": False,
            }
        return CloudMap(**(defaults | settings))

    async def __aenter__(self) -> Self:
        await self.server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.stop()

    def __enter__(self) -> Self:
        self._exits.enter_context(serve_in_thread(self.server))
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def __repr__(self) -> str:
        return f"<LocalCloudMap {self.server!r}, {self.world!r}>"


def local_session() -> AioSession:
    """An aiobotocore session with placeholder credentials. It reads no configuration of the user."""
    from aiobotocore.session import AioSession  # noqa: PLC0415 - slow to import

    session = AioSession(
        session_vars={
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
            "profile": (None, None, None, None),
            "region": (None, None, "eu-west-1", None),
        }
    )
    session.set_credentials("local", "local")
    return session
