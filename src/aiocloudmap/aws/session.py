"""The AWS session of one engine and its clients, each made once and used on every event loop.

Some parts of an aiobotocore client are bound to an event loop. `aws.transport` replaces its connector,
`aws.credentials` its credentials and `aws.loop_parts` the others, so loops and threads may share the rest. Making a
client is different: botocore's sessions are not safe for two threads at once, so only one client is made at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession, get_session
from cachetools import LRUCache

from aiocloudmap.aws import client_config
from aiocloudmap.aws.credentials import CredentialChain, SharedCredentials
from aiocloudmap.aws.errors import NO_REGION, from_setup
from aiocloudmap.aws.loop_parts import (
    TokensPerLoop,
    adaptive_retries,
    register_adaptive_retries,
    register_express_cache,
)
from aiocloudmap.aws.transport.file_descriptors import find_descriptor_error, too_many_open_files
from aiocloudmap.aws.transport.pool import Purpose
from aiocloudmap.aws.transport.tls import TlsSettings
from aiocloudmap.errors import CloudMapError, ConfigurationError, DeadlineError
from aiocloudmap.model.thread_calls import ThreadCalls
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

_LOAD_TIMEOUT: Final = 1.0
"""The same if nothing but the event loop's smoothness depends on it."""


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
        self._loaded: set[Any] = set()
        self.forget_after_fork()

    async def discovery_client(self) -> Any:
        """Return the client for discovery, which works on every event loop. The first call makes it.

        Costs no AWS call. Cancelling it leaves nothing half-made.

        Raises:
            ConfigurationError: No Region is set, or botocore cannot use another part of the configuration.
        """
        if self._discovery_client is None:
            await self.load_discovery()
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
            await self._load(aws_service, create_client_options.get("api_version"))
            async with self._exclusive():
                if (view := self._get(key)) is None:
                    client = await self._make(
                        aws_service, lambda session: self._client_options(session, aws_service, create_client_options)
                    )
                    view = client_config.ClientView(client)
                    with self._lock:
                        self._clients[key] = view
        return view

    async def load_discovery(self) -> None:
        """Load what discovery needs, in a thread. Making a client blocks the event loop, and has a deadline.

        Makes no AWS call. An error is raised by `discovery_client` or the call, not here.
        """
        await self._load(client_config.CLOUD_MAP)

    async def _load(self, aws_service: str, api_version: Any = None) -> None:
        """Read botocore's data for a client in a thread; for discovery, build the TLS contexts, too."""
        key = aws_service, api_version
        if key in self._loaded:
            return
        # Whatever fails here fails again when the client is made, which raises it.
        with contextlib.suppress(Exception):
            if (session := self._session) is None or self.credentials is None:
                async with self._exclusive(_LOAD_TIMEOUT):
                    session = self._open()
            steps = [partial(_read_data, session.get_component("data_loader"), aws_service, api_version)]
            if aws_service == client_config.CLOUD_MAP and client_config.needs_tls(session, self._endpoint_url):
                tls = TlsSettings.of(session.get_config_variable("ca_bundle"))
                steps.append(partial(self._transport.prepare, tls))
            # One after the other: two threads at once cost more CPU than they save time.
            _, error = await self._threads.start(key, lambda: [step() for step in steps])
            if error is None:
                self._loaded.add(key)

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
        self._threads = ThreadCalls()
        if self.credentials is not None:
            self.credentials.forget_after_fork()

    def drop_credentials(self, rejected: object | None = None) -> None:
        """Forget the credentials, or only the rejected ones; the next use loads new ones."""
        if self.credentials is not None:
            self.credentials.drop(rejected)

    @asynccontextmanager
    async def _exclusive(self, timeout: float = _LOCK_TIMEOUT) -> AsyncIterator[None]:
        """Mutual exclusion between all event loops and threads.

        It polls, since a future cannot be awaited on two loops and may be lost with the other one.
        """
        making = self._making
        deadline = time.monotonic() + timeout
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
            return await self._create(session, aws_service, settings)
        except CloudMapError:
            raise
        except Exception as error:
            if (reason := find_descriptor_error(error)) is not None:  # botocore reads a dozen files for each client
                raise too_many_open_files(reason, self._transport.open_connections) from error
            raise from_setup(error) from error

    async def _create(self, session: AioSession, aws_service: str, settings: dict[str, Any]) -> Any:
        adaptive = adaptive_retries(session, config := settings["config"])
        if adaptive is not None:
            settings["config"] = config.merge(AioConfig(retries={**adaptive, "mode": "standard"}))
            settings["config"].http_session_cls = config.http_session_cls  # aiobotocore 2 forgets it in merge()
        # Entered and never left: leaving closes what belongs to the transport.
        client = await session.create_client(aws_service, **settings).__aenter__()
        if adaptive is not None:
            register_adaptive_retries(client)
        if aws_service == "s3":
            register_express_cache(client)
        return client

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
                chain = CredentialChain(session, client_config.own_region(session, self._given_region))
                credentials = SharedCredentials(chain.load, source=lambda: chain.source)
                session.register_component("credential_provider", credentials)
                session.register_component("token_provider", TokensPerLoop(session.get_component("token_provider")))
            self.credentials = credentials
        return session

    def _discovery_options(self, session: AioSession) -> dict[str, Any]:
        region = client_config.own_region(session, self._given_region) or client_config.configured_region(session)
        if region is None:
            raise NO_REGION.error()
        if not region.isprintable():  # botocore lets a line break at the end pass
            raise ConfigurationError(f"invalid Region {safe_repr(region)}", advice="Write a Region like eu-west-1.")
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


def _read_data(loader: Any, aws_service: str, api_version: Any) -> None:
    """Read all files that `create_client` reads for this service. The loader of the session keeps what is in them."""
    # In the form of botocore's own calls, since the loader keeps results by arguments.
    loader.load_service_model(aws_service, "service-2", api_version=api_version)
    loader.load_data_with_path("endpoints")
    loader.load_service_model(aws_service, "endpoint-rule-set-1", api_version=api_version)
    for name in ("sdk-default-configuration", "partitions", "_retry"):
        loader.load_data(name)


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
