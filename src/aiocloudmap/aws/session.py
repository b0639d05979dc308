"""The AWS session of one engine and its clients, each made once and used on every event loop.

Two parts of an aiobotocore client are bound to an event loop: its connector and its credentials. `aws.transport` and
`aws.credentials` replace both, so loops and threads may share the rest. Making a client is different: botocore's
sessions are not safe for two threads at once, so only one client is made at a time.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession, get_session
from cachetools import LRUCache

from aiocloudmap.aws import client_config
from aiocloudmap.aws.credentials import CredentialChain, SharedCredentials
from aiocloudmap.aws.errors import NO_REGION, from_setup
from aiocloudmap.aws.transport.file_descriptors import find_descriptor_error, too_many_open_files
from aiocloudmap.aws.transport.pool import Purpose
from aiocloudmap.aws.transport.tls import TlsSettings
from aiocloudmap.errors import CloudMapError, ConfigurationError, DeadlineError
from aiocloudmap.model.validation import safe_repr

if TYPE_CHECKING:
    import aiohttp

    from aiocloudmap.aws.transport.transport import Transport
    from aiocloudmap.model.policy import ConnectionPolicy

__all__ = ["AwsSession"]

MAX_CLIENTS: Final = 64
"""Clients kept for `CloudMap.client()`. A client is megabytes, and options may differ with every request."""

_POLL_INTERVAL: Final = 0.005
"""Seconds between two checks whether another thread has finished making a client."""

_LOCK_TIMEOUT: Final = 30.0
"""Seconds to wait for another thread. Its event loop may have stopped in the middle of making a client."""


class AwsSession:
    """Session, credentials and clients of one engine. Constructing it does no I/O and needs no event loop.

    Args:
        transport: Provides the connections of all clients.
        connections: How discovery uses the network.
        region: The Region of every client, None for AWS's own chain.
        endpoint_url: The endpoint of Cloud Map alone, None for AWS's own chain.
        session_factory: Makes the session, None for aiobotocore's `get_session`. Called once, on first use.
        holder: The object that the transport keeps the connections for.
    """

    def __init__(
        self,
        *,
        transport: Transport,
        connections: ConnectionPolicy,
        region: str | None,
        endpoint_url: str | None,
        session_factory: Callable[[], AioSession] | None,
        holder: object,
    ) -> None:
        self._transport, self._connections, self._holder = transport, connections, holder
        self._given_region, self._endpoint_url = region, endpoint_url
        self._session_factory = session_factory
        self._session: AioSession | None = None
        self.credentials: SharedCredentials | None = None
        """Set when the session is first used."""
        self._discovery_client: Any = None
        self._clients: LRUCache[Any, client_config.ClientView] = LRUCache(MAX_CLIENTS)
        self.forget_after_fork()

    async def discovery_client(self) -> Any:
        """Return the client for discovery, which works on every event loop. The first call makes it.

        Costs no AWS call. Cancelling it leaves nothing half-made.

        Raises:
            ConfigurationError: No Region is set, or botocore cannot use another part of the configuration.
        """
        if self._discovery_client is None:
            async with self._exclusive():
                if self._discovery_client is None:
                    self._discovery_client = await self._make(client_config.CLOUD_MAP, self._discovery_options)
        return self._discovery_client

    async def client(self, aws_service: str, **create_client_options: Any) -> Any:
        """Return a view of the client for this service and these options.

        Args:
            aws_service: botocore's name of the service, such as "sqs".
            create_client_options: As for `AioSession.create_client`; equal options share a client.

        Raises:
            ConfigurationError: An unknown service, an option botocore refuses, a `config` with a transport of its own.
        """
        if not isinstance(aws_service, str):
            raise ConfigurationError(
                f"invalid AWS service {safe_repr(aws_service)}: expected botocore's name of one, like 'sqs'"
            )
        # The caller may change its options while the client is made, or later.
        create_client_options = client_config.copied(create_client_options)
        key = (aws_service, client_config.by_value(create_client_options))
        if (view := self._get(key)) is None:
            async with self._exclusive():
                if (view := self._get(key)) is None:
                    client = await self._make(
                        aws_service, lambda session: self._client_options(session, aws_service, create_client_options)
                    )
                    view = client_config.ClientView(client)
                    with self._lock:
                        self._clients[key] = view
        return view

    async def http_session(self, **options: Any) -> aiohttp.ClientSession:
        """Return an aiohttp session on the same connections, with aiohttp's own time-outs unless `options` set them."""
        async with self._exclusive():
            try:
                # A profile may name a CA file: calls with the same trust as the AWS clients share their connector.
                bundle = self._open().get_config_variable("ca_bundle")
            except CloudMapError:
                raise
            except Exception as error:
                raise from_setup(error) from error
        tls = TlsSettings.of(bundle) if bundle else None
        return self._transport.client_session(self._connections, self._holder, tls=tls, **options)

    def forget_after_fork(self) -> None:
        """New locks for the child: the parent's may have been held. What is loaded and made stays."""
        self._lock = threading.Lock()
        self._making = threading.Lock()
        if self.credentials is not None:
            self.credentials.forget_after_fork()

    def drop_credentials(self, rejected: object | None = None) -> None:
        """Forget the credentials, or only the rejected ones; the next use loads new ones."""
        if self.credentials is not None:
            self.credentials.drop(rejected)

    @asynccontextmanager
    async def _exclusive(self) -> AsyncIterator[None]:
        """Mutual exclusion between all event loops and threads.

        It polls, since a future cannot be awaited on two loops and may be lost with the other one.
        """
        making = self._making
        deadline = time.monotonic() + _LOCK_TIMEOUT
        while not making.acquire(blocking=False):
            if time.monotonic() > deadline:
                raise DeadlineError(
                    "another event loop began to make an AWS client and did not finish",
                    advice="Look for an event loop that was stopped, not closed, in another thread.",
                )
            await asyncio.sleep(_POLL_INTERVAL)
        try:
            yield
        finally:
            making.release()

    def _get(self, key: Any) -> Any:
        with self._lock:
            return self._clients.get(key)

    async def _make(self, aws_service: str, options: Callable[[AioSession], dict[str, Any]]) -> Any:
        try:
            session = self._open()
            settings = options(session)
            # Entered and never left: leaving closes what belongs to the transport.
            return await session.create_client(aws_service, **settings).__aenter__()
        except CloudMapError:
            raise
        except Exception as error:
            if (reason := find_descriptor_error(error)) is not None:  # botocore reads a dozen files for each client
                raise too_many_open_files(reason, self._transport.open_connections) from error
            raise from_setup(error) from error

    def _open(self) -> AioSession:
        """The session, with our own parts in it unless the application set its own. Called under `_exclusive`."""
        if self._session is None:
            self._session = _session_of(self._session_factory or get_session)
        session = self._session
        if self.credentials is None:
            default = session.get_default_client_config()
            if default is not None:
                session.set_default_client_config(client_config.lasting_default(default))
            credentials = session.get_component("credential_provider")
            if not isinstance(credentials, SharedCredentials):  # another engine with the same session set it
                credentials = SharedCredentials(
                    CredentialChain(session, client_config.own_region(session, self._given_region)).load
                )
                session.register_component("credential_provider", credentials)
            self.credentials = credentials
        return session

    def _discovery_options(self, session: AioSession) -> dict[str, Any]:
        region = client_config.own_region(session, self._given_region) or client_config.configured_region(session)
        if region is None:
            raise NO_REGION.error()
        if client_config.needs_tls(session, self._endpoint_url):
            self._transport.prepare(TlsSettings.of(session.get_config_variable("ca_bundle")))
        policy = self._connections
        settings: dict[str, Any] = {
            "connect_timeout": policy.connect_timeout,
            "read_timeout": policy.read_timeout,
            "retries": {"mode": "standard", "total_max_attempts": policy.max_attempts},
            "parameter_validation": False,  # Query has checked everything by AWS's own patterns
            "http_session_cls": self._transport.http_session_class(policy, Purpose.DISCOVERY, self._holder),
            "user_agent": client_config.user_agent(session),
        }
        settings |= client_config.without_prefix(session, self._endpoint_url)
        return {"region_name": region, "endpoint_url": self._endpoint_url, "config": AioConfig(**settings)}

    def _client_options(self, session: AioSession, aws_service: str, given: dict[str, Any]) -> dict[str, Any]:
        options = dict(given)
        config = options.get("config")
        settings: dict[str, Any] = {}
        if aws_service == client_config.CLOUD_MAP:
            if options.get("endpoint_url") is None:
                options["endpoint_url"] = self._endpoint_url
            settings = client_config.without_prefix(session, options["endpoint_url"])
        http_session_class = self._transport.http_session_class(self._connections, Purpose.CLIENT, self._holder)
        options["config"] = client_config.with_http_session(config, http_session_class, **settings)
        if options.get("region_name") is None and (config is None or config.region_name is None):
            options["region_name"] = client_config.own_region(session, self._given_region)
        return options


def _session_of(factory: Callable[[], AioSession]) -> AioSession:
    try:
        session = factory()
    except Exception as error:
        raise ConfigurationError(
            f"session_factory failed ({type(error).__name__})", advice="See the error's __cause__."
        ) from error
    if not isinstance(session, AioSession):
        if inspect.iscoroutine(session):
            session.close()
        raise ConfigurationError(
            f"session_factory returned a {type(session).__name__}: expected an aiobotocore AioSession",
            advice="Return one as aiobotocore.session.get_session does.",
        )
    return session
