"""`CloudMap`, a cheap view of the engine that equal settings share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final, Never, NoReturn, Self, cast

from aiocloudmap.cache.memory_store import MAX_ENTRIES
from aiocloudmap.client.engine import EngineKey
from aiocloudmap.client.registry import registry
from aiocloudmap.client.service import Service, resolve_all
from aiocloudmap.errors import ConfigurationError
from aiocloudmap.model.interfaces import SYSTEM_CLOCK, Backend, Clock, running_loop
from aiocloudmap.model.policy import CachePolicy, ConnectionPolicy, policies_from_env
from aiocloudmap.model.query import HealthFilter, Query, ServiceName
from aiocloudmap.model.validation import check_backend, check_callable, check_place, check_type, safe_repr

if TYPE_CHECKING:
    from types import TracebackType

    import aiohttp
    from aiobotocore.session import AioSession

    from aiocloudmap.model.events import Event
    from aiocloudmap.model.stats import Stats

__all__ = ["CloudMap"]

_DEFAULT_CACHE: Final = CachePolicy()
_DEFAULT_CONNECTIONS: Final = ConnectionPolicy()
_DEFAULT_HEALTH: Final = HealthFilter.HEALTHY_OR_ELSE_ALL


class CloudMap:
    """Service discovery through AWS Cloud Map, from memory whenever possible.

    Constructing one does no I/O and needs no event loop: do it at import, in a request, anywhere. Objects with equal
    settings, in an equal `AWS_*` environment, share one session, one set of credentials and one set of answers per
    process, and one bounded set of connections per event loop.

    `async with` holds this loop's connections until the block ends. Without it, the first call holds them until the
    loop ends. Either way the answers stay, and the object may be used again, on any event loop.

    Args:
        region: AWS Region; None follows AWS's own chain (AWS_REGION, profile, ...).
        endpoint_url: Another endpoint for Cloud Map; None follows AWS_ENDPOINT_URL_SERVICEDISCOVERY and the rest of
            AWS's chain.
        cache: How long answers are served. It belongs to the handles made here, and does not affect sharing.
        connections: How the network is used.
        session_factory: Makes the aiobotocore session; None is aiobotocore's own `get_session`. Objects with different
            factories share nothing, so keep one factory object per tenant.
        backend: Answers the questions in place of AWS; implies `shared=False`.
        clock: A clock in place of the system's; implies `shared=False`.
        shared: False for an engine of its own, with its own session and answers.
        on_event: Called with every `Event` of the engine while this object or one of its handles lives. Called on the
            thread of the event. It must not block.

    Raises:
        ConfigurationError: An argument is invalid.
    """

    __slots__ = ("__weakref__", "_cache", "_engine", "_handles", "_listener")

    def __init__(
        self,
        *,
        region: str | None = None,
        endpoint_url: str | None = None,
        cache: CachePolicy = _DEFAULT_CACHE,
        connections: ConnectionPolicy = _DEFAULT_CONNECTIONS,
        session_factory: Callable[[], AioSession] | None = None,
        backend: Backend | None = None,
        clock: Clock = SYSTEM_CLOCK,
        shared: bool = True,
        on_event: Callable[[Event], None] | None = None,
        **unknown: Never,
    ) -> None:
        if unknown:
            raise _unknown_argument(next(iter(unknown)))
        check_place(region, endpoint_url)
        check_type("cache", cache, CachePolicy, example="cache=CachePolicy(ttl=30)")
        check_type("connections", connections, ConnectionPolicy, example="connections=ConnectionPolicy()")
        check_backend(backend, clock)
        check_callable("session_factory", session_factory)
        check_callable("on_event", on_event)
        key = EngineKey.of(region, endpoint_url, session_factory, connections)
        if shared and backend is None and clock is SYSTEM_CLOCK:
            self._engine = registry.shared(key)
        else:
            self._engine = registry.unshared(key, clock=clock, backend=backend)
        self._cache = cache
        self._handles: dict[str | ServiceName, Service] = {}
        # Handles refer to the listener, not to this object, which may be collected while they are in use.
        self._listener = None if on_event is None else self._engine.listen(on_event)

    @classmethod
    def from_env(cls, **overrides: Any) -> Self:
        """A CloudMap whose policies come from the environment, one variable a field.

        `AIOCLOUDMAP_TTL`, `AIOCLOUDMAP_STALE_IF_ERROR`, `AIOCLOUDMAP_MAX_CONNECTIONS`, ...: the fields of `CachePolicy`
        and `ConnectionPolicy`. Region, endpoint and credentials have AWS's own variables. An unknown variable is
        logged as a warning.

        Args:
            overrides: Fields of the policies, or arguments of `CloudMap`. They take precedence over the environment.

        Raises:
            ConfigurationError: A variable or an override is invalid.
        """
        arguments = dict(overrides)
        cache, connections = policies_from_env(arguments)
        for argument, policy in (("cache", cache), ("connections", connections)):
            # A field beside the whole policy would be ignored silently.
            if argument in arguments and (lost := overrides.keys() & {field.name for field in fields(policy)}):
                raise ConfigurationError(
                    f"{argument}= and {', '.join(sorted(lost))}= are both given",
                    advice=f"Set the fields in {argument}=, or leave {argument}= out.",
                )
            arguments.setdefault(argument, policy)
        return cls(**arguments)

    def service(
        self,
        name: str | ServiceName,
        *,
        health: HealthFilter | str = _DEFAULT_HEALTH,
        where: Mapping[str, str] | None = None,
        prefer: Mapping[str, str] | None = None,
        owner_account: str | None = None,
        cache: CachePolicy | None = None,
    ) -> Service:
        """A handle for the instances of one service. No I/O, no AWS call.

        Args:
            name: `namespace/service`, the namespace by its HttpName.
            health: Which instances count. Cloud Map ignores it for a service without a health check.
            where: Attributes that every instance must have (AWS's QueryParameters).
            prefer: Attributes that matching instances should have. Ignored if none has them (AWS's OptionalParameters).
            owner_account: The account that shares the namespace. AWS finds shared namespaces only with it.
            cache: A policy in place of this object's.

        Raises:
            ConfigurationError: An argument is invalid by AWS's own patterns.
        """
        # A name alone is the usual case, and has to be cheap: no key is built, no enum is looked up.
        plain = False
        if health is _DEFAULT_HEALTH and where is None and prefer is None and owner_account is None and cache is None:
            try:
                return self._handles[name]
            except (KeyError, TypeError):
                plain = True
        service = ServiceName.parse(name)
        if cache is not None:
            check_type("cache", cache, CachePolicy, example="cache=CachePolicy(ttl=30)")
        # Query checks and sorts its arguments.
        query = Query(
            service, cast("HealthFilter", health), cast("Any", where or ()), cast("Any", prefer or ()), owner_account
        )
        handle = Service(self._engine, query, cache or self._cache, listener=self._listener)
        if plain:
            self._keep(name, handle)
        return handle

    def _keep(self, name: str | ServiceName, handle: Service) -> None:
        """Keep the handle for the next call. The oldest one makes room for it."""
        handles = self._handles
        if len(handles) >= MAX_ENTRIES:
            # Another thread may remove the oldest one, or change the dict.
            with contextlib.suppress(KeyError, RuntimeError, StopIteration):
                del handles[next(iter(handles))]
        handles[name] = handle

    async def client(self, aws_service: str, **create_client_options: Any) -> Any:
        """An aiobotocore client for any AWS service, on the shared session and connections.

        There is one per service and options. Get it at each use, and do not keep it across event loops. Its `close` and
        `async with` do nothing. It has botocore's own time-outs and retries, or those of your `config`. While all
        connections are in use, except for two that are reserved for discovery, a call queues for its own connect
        time-out, then raises ConnectionLimitError. For type checkers, annotate it with a type of types-aiobotocore.

        Args:
            aws_service: botocore's name, such as `sqs`.
            create_client_options: As for `AioSession.create_client`.

        Raises:
            ConfigurationError: Unknown service, no Region, options that botocore refuses or that would bypass the
                shared connections, or no running asyncio event loop.
            UnavailableError: No file descriptor is left, or another thread's event loop stopped while making a client.
        """
        running_loop()
        self._engine.resolver.check_clock()
        return await (await self._engine.aws()).client(aws_service, **create_client_options)

    async def http_session(self, **options: Any) -> aiohttp.ClientSession:
        """An aiohttp session for your own HTTP calls, on the shared bounded connections of this loop.

        There is one per event loop and options. Its `close` and `async with` do nothing. It has aiohttp's own
        time-outs. While all connections are in use, except for two that are reserved for discovery, a call queues for
        its own connect time-out, then raises ConnectionLimitError. So read or release every response.

        Args:
            options: As for `aiohttp.ClientSession`, without a connector.

        Raises:
            ConfigurationError: An option that aiohttp refuses, a connector, unreadable AWS settings, or no running
                asyncio event loop.
        """
        running_loop()
        self._engine.resolver.check_clock()
        return await (await self._engine.aws()).http_session(**options)

    async def prefetch(self, *services: str | ServiceName | Service, required: bool = False) -> None:
        """Resolve several services at once, so that their first callers need not wait.

        Makes no AWS call for fresh ones, and one for each of the others, a bounded number at a time.

        Args:
            services: Names, or handles with filters.
            required: Whether a service that cannot be resolved is an error.

        Raises:
            ExceptionGroup: With `required`, the errors of all services, after all were tried.
            ConfigurationError: A name or the configuration is invalid, with `required` or without.
        """
        handles = [item if isinstance(item, Service) else self.service(item) for item in services]
        limit = self._engine.key.connections.max_connections_per_host
        await resolve_all(handles, limit=limit, required=required)

    async def preload(self, *aws_services: str) -> None:
        """Load what the first question and the first calls need, so that they need not wait for it.

        Loads the AWS libraries, botocore's data about Cloud Map and these services, and the certificate authorities, in
        a thread: the event loop goes on, with pauses of some hundredths of a second. Makes the clients without options.
        Costs no AWS call, and loads no credentials. Takes from tenths of a second to several seconds in a small
        sandbox, and next to nothing the second time. Without it, the first question does the same.

        If it is cancelled, what has begun is loaded to its end in the thread, and the next caller uses it.

        Args:
            aws_services: As for `client`, such as `sqs`.

        Raises:
            ConfigurationError: As `client`.
            UnavailableError: As `client`.
        """
        running_loop()
        self._engine.resolver.check_clock()
        await self._engine.preload(aws_services)

    def invalidate(self, name: str | ServiceName | Service | None = None) -> int:
        """Expire answers: the next caller asks AWS, and gets the old answer only if AWS does not answer.

        Args:
            name: Expire the answers about this service, for every filter and policy, and its own attributes; None for
                all answers of this engine. `Service.invalidate` expires the answers to one question.

        Returns:
            How many answers could have been served until now.

        Raises:
            ConfigurationError: The name is invalid.
        """
        if name is None:
            return self._engine.resolver.invalidate(lambda _: True)
        if isinstance(name, Service):
            name = name.name
        service = ServiceName.parse(name)
        return self._engine.resolver.invalidate(lambda query: query.service == service)

    def clear(self) -> int:
        """Forget all answers of this engine, for all who share it. Returns how many could have been served."""
        return self._engine.resolver.clear()

    def before_snapshot(self) -> None:
        """Prepare for a snapshot of the process, such as AWS Lambda's SnapStart takes. Answers stay.

        Closes the idle connections of every event loop of the process, and drops the engine's credentials, so that
        neither is in the snapshot. Credentials that you set on a session of your own stay there. Makes no AWS call.
        Works with or without a running event loop. Without one, the connections of stopped loops of this thread are
        closed on return. With one, they are closed in the loop's next iteration.

        Calls in flight are not touched, so let them end first. With several engines, call it for each.
        """
        self._engine.before_snapshot()

    def after_restore(self) -> None:
        """Continue from a restored snapshot. Answers stay, and are older by the time that passed.

        Connections from before the snapshot are closed before any is used, and the next call loads new credentials.
        Makes no AWS call. Works with or without a running event loop.

        Without it, the time that passed is noticed at the first call to AWS, and expired credentials when AWS refuses
        them. With several engines, call it for each.
        """
        self._engine.after_restore()

    def stats(self) -> Stats:
        """Counts of the engine since it was made."""
        return self._engine.stats()

    async def aclose(self) -> None:
        """Release this event loop's connections, after calls in flight. Answers stay, and it may be used again.

        Connections held by another `async with` stay open. A call of your own without a time-out can delay it: bound it
        with `asyncio.timeout`. If it is cancelled, the connections are closed together with the loop.
        """
        await self._engine.aclose()

    async def __aenter__(self) -> Self:
        await self._engine.enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._engine.leave()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a CloudMap cannot be copied or pickled: make a CloudMap() where it is needed, which does no I/O"
        )

    def __repr__(self) -> str:
        return f"<CloudMap on {self._engine!r}>"


def _unknown_argument(name: str) -> ConfigurationError:
    """The error for an argument that CloudMap does not have, with where it belongs or the nearest one."""
    import difflib  # noqa: PLC0415 - importing the library must stay cheap

    places = {field.name: f"cache=CachePolicy({field.name}=...)" for field in fields(CachePolicy)}
    places |= {field.name: f"connections=ConnectionPolicy({field.name}=...)" for field in fields(ConnectionPolicy)}
    places |= {each: f"{each}=..." for each in CloudMap.__init__.__kwdefaults__ or ()}
    near = name if name in places else next(iter(difflib.get_close_matches(name, places, n=1)), None)
    return ConfigurationError(
        f"unknown argument {safe_repr(name)} of CloudMap",
        advice="See help(aiocloudmap.CloudMap)." if near is None else f"Write CloudMap({places[near]}).",
    )
