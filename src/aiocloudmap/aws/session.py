"""The AWS session of one engine: made once, its clients made once, all of them used on every event loop.

What a client of aiobotocore holds that is bound to a loop is its connector and its credentials; both are replaced, by
`aws.transport` and `aws.credentials`. What is left may be shared by loops and threads, but not made by two at once:
botocore's sessions are not safe for that, so making a client is the one thing that waits its turn here.
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

from aiocloudmap.aws.client_config import (
    CLOUD_MAP,
    ClientView,
    by_value,
    configured_region,
    lasting_default,
    needs_tls,
    own_region,
    user_agent,
    with_http_session,
    without_prefix,
)
from aiocloudmap.aws.credentials import CredentialChain, SharedCredentials
from aiocloudmap.aws.errors import NO_REGION, from_setup
from aiocloudmap.aws.reading import read_quickly
from aiocloudmap.aws.transport.file_descriptors import find_descriptor_error, too_many_open_files
from aiocloudmap.aws.transport.tls import TlsSettings
from aiocloudmap.aws.transport.transport import Purpose
from aiocloudmap.errors import CloudMapError, ConfigurationError, DeadlineError
from aiocloudmap.model.validation import safe_repr

if TYPE_CHECKING:
    import aiohttp

    from aiocloudmap.aws.transport.transport import Transport
    from aiocloudmap.model.policy import ConnectionPolicy

__all__ = ["AwsSession"]

MAX_CLIENTS: Final = 64
"""Clients kept for `CloudMap.client()`. A client is megabytes, and options may differ with every request."""

_TURN: Final = 0.005
"""Seconds between two looks at whether another thread has finished making a client."""

_TURN_TIMEOUT: Final = 30.0
"""Seconds after which an event loop that stopped in the middle of making a client is given up on."""


class AwsSession:
    """Session, credentials and clients of one engine. Making it does no I/O and needs no event loop.

    Args:
        transport: Where all clients get their connections.
        connections: How discovery uses the network.
        region: The Region of every client, None for AWS's own chain.
        endpoint_url: Where Cloud Map is, None for AWS's own chain. Other services are not touched by it.
        session_factory: Makes the session, None for aiobotocore's `get_session`. Called once, on first use.
        holder: Whom the transport counts the connections for.
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
        self._transport = transport
        self._connections = connections
        self._given_region = region
        self._endpoint_url = endpoint_url
        self._session_factory = session_factory
        self._holder = holder
        self._session: AioSession | None = None
        self._credentials: SharedCredentials | None = None
        self._discovery_client: Any = None
        self._clients: LRUCache[Any, ClientView] = LRUCache(MAX_CLIENTS)
        self.forget_after_fork()

    async def discovery_client(self) -> Any:
        """The client that asks Cloud Map, made by the first call and used by all later ones on every event loop.

        Costs no AWS call. Cancelling it leaves nothing half-made.

        Raises:
            ConfigurationError: No Region, or something else in the configuration that botocore cannot use.
        """
        if self._discovery_client is None:
            async with self._turn():
                if self._discovery_client is None:
                    client = await self._made(CLOUD_MAP, self._discovery_options)
                    read_quickly(client)
                    self._discovery_client = client
        return self._discovery_client

    async def client(self, aws_service: str, **create_client_options: Any) -> Any:
        """A view of the one client for this service and these options.

        Args:
            aws_service: botocore's name of the service, such as "sqs".
            create_client_options: As for `AioSession.create_client`; equal options share a client.

        Raises:
            ConfigurationError: An unknown service, an option botocore refuses, a `config` with a transport of its own.
        """
        if not isinstance(aws_service, str):
            raise ConfigurationError(
                f"{safe_repr(aws_service)} is no AWS service", advice="Give botocore's name of one, like 'sqs'."
            )
        key = (aws_service, by_value(create_client_options))
        view = self._kept(key)
        if view is None:
            async with self._turn():
                view = self._kept(key)
                if view is None:
                    made = await self._made(
                        aws_service, lambda session: self._client_options(session, aws_service, create_client_options)
                    )
                    view = ClientView(made)
                    with self._lock:
                        self._clients[key] = view
        return view

    async def http_session(self, **options: Any) -> aiohttp.ClientSession:
        """An aiohttp session on the same connections, with aiohttp's own time-outs unless `options` say otherwise."""
        async with self._turn():
            try:
                # A profile may name a CA file: calls that trust what the AWS clients trust share their connector.
                bundle = self._opened().get_config_variable("ca_bundle")
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
        if self._credentials is not None:
            self._credentials.forget_after_fork()

    @property
    def credentials(self) -> object | None:
        """The values held at the moment, without loading any; good for nothing but `drop_credentials`."""
        return None if self._credentials is None else self._credentials.held

    def drop_credentials(self, rejected: object | None = None) -> None:
        """Forget the credentials, or only the rejected ones; the next use loads them anew."""
        if self._credentials is not None:
            self._credentials.drop(rejected)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """One at a time over all event loops and threads.

        Making a client hardly ever suspends, so on one loop nobody ever waits here; a thread that meets another one
        looks again a moment later, which needs no future that crosses loops and cannot be lost with one.
        """
        making = self._making
        give_up = time.monotonic() + _TURN_TIMEOUT
        while not making.acquire(blocking=False):
            if time.monotonic() > give_up:
                raise DeadlineError(
                    "another event loop began to make an AWS client and never ended",
                    advice="Look for an event loop that was stopped, not closed, in another thread.",
                )
            await asyncio.sleep(_TURN)
        try:
            yield
        finally:
            making.release()

    def _kept(self, key: Any) -> ClientView | None:
        with self._lock:
            view: ClientView | None = self._clients.get(key)
            return view

    async def _made(self, aws_service: str, options: Callable[[AioSession], dict[str, Any]]) -> Any:
        try:
            session = self._opened()
            settings = options(session)
            # Entered and never left: leaving closes what belongs to the transport.
            return await session.create_client(aws_service, **settings).__aenter__()
        except CloudMapError:
            raise
        except Exception as error:
            if (reason := find_descriptor_error(error)) is not None:  # botocore reads a dozen files for each client
                raise too_many_open_files(reason, self._transport.open_connections) from error
            raise from_setup(error) from error

    def _opened(self) -> AioSession:
        """The session. Called in turn, and so made once."""
        if self._session is None:
            self._session = _session_of(self._session_factory or get_session)
        if self._credentials is None:
            self._credentials = self._prepared(self._session)
        return self._session

    def _prepared(self, session: AioSession) -> SharedCredentials:
        """Put our own parts in, where the application has not put its own. Credentials set on the session stay."""
        default = session.get_default_client_config()
        if default is not None:
            session.set_default_client_config(lasting_default(default))
        credentials = session.get_component("credential_provider")
        if not isinstance(credentials, SharedCredentials):  # it is where two engines were given one session
            credentials = SharedCredentials(CredentialChain(session, own_region(session, self._given_region)).load)
            session.register_component("credential_provider", credentials)
        return credentials

    def _discovery_options(self, session: AioSession) -> dict[str, Any]:
        region = own_region(session, self._given_region) or configured_region(session)
        if region is None:
            raise NO_REGION.error()
        if needs_tls(session, self._endpoint_url):
            self._transport.prepare(TlsSettings.of(session.get_config_variable("ca_bundle")))
        policy = self._connections
        settings: dict[str, Any] = {
            "connect_timeout": policy.connect_timeout,
            "read_timeout": policy.read_timeout,
            "retries": {"mode": "standard", "total_max_attempts": policy.max_attempts},
            "parameter_validation": False,  # Query has checked everything, by AWS's own patterns
            "http_session_cls": self._transport.http_session_class(policy, Purpose.DISCOVERY, self._holder),
            "user_agent": user_agent(session),
        }
        settings |= without_prefix(session, self._endpoint_url)
        return {"region_name": region, "endpoint_url": self._endpoint_url, "config": AioConfig(**settings)}

    def _client_options(self, session: AioSession, aws_service: str, given: dict[str, Any]) -> dict[str, Any]:
        options = dict(given)
        config = options.get("config")
        settings: dict[str, Any] = {}
        if aws_service == CLOUD_MAP:
            if options.get("endpoint_url") is None:
                options["endpoint_url"] = self._endpoint_url
            settings = without_prefix(session, options["endpoint_url"])
        http_session_class = self._transport.http_session_class(self._connections, Purpose.CLIENT, self._holder)
        options["config"] = with_http_session(config, http_session_class, **settings)
        if options.get("region_name") is None and (config is None or config.region_name is None):
            options["region_name"] = own_region(session, self._given_region)
        return options


def _session_of(factory: Callable[[], AioSession]) -> AioSession:
    try:
        session = factory()
    except Exception as error:
        raise ConfigurationError(
            f"session_factory failed ({type(error).__name__})", advice="The cause says where."
        ) from error
    if not isinstance(session, AioSession):
        if inspect.iscoroutine(session):
            session.close()
        raise ConfigurationError(
            f"session_factory returned a {type(session).__name__}",
            advice="It must return an aiobotocore AioSession, as aiobotocore.session.get_session does.",
        )
    return session
