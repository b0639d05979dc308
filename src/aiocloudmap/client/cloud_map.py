"""The root: `CloudMap`, a cheap view of what equal settings share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self, cast

from aiocloudmap.cache.memory_store import MAX_ENTRIES
from aiocloudmap.client.engine import EngineKey
from aiocloudmap.client.registry import registry
from aiocloudmap.client.service import Service
from aiocloudmap.errors import CloudMapError, ConfigurationError
from aiocloudmap.model.interfaces import SYSTEM_CLOCK, Backend, Clock, running_loop
from aiocloudmap.model.policy import CachePolicy, ConnectionPolicy, policies_from_env
from aiocloudmap.model.query import HealthFilter, Query, ServiceName
from aiocloudmap.model.validation import check_backend, check_callable, check_place, check_type

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
    """Service discovery through AWS Cloud Map, from memory whenever it can be.

    Constructing one costs no I/O and needs no event loop: do it at import, in a request, anywhere. All that are made
    with equal settings in an equal `AWS_*` environment share one session, one set of credentials and one set of
    answers per process, and one bounded set of connections per event loop.

    `async with` holds this loop's connections until its end. Without it, the first call holds them until the loop
    ends. Either way the answers stay, and the object may be used again, on any event loop.

    Args:
        region: AWS Region; None follows AWS's own chain (AWS_REGION, profile, ...).
        endpoint_url: Another endpoint for Cloud Map; None follows AWS_ENDPOINT_URL_SERVICEDISCOVERY and the rest of
            AWS's chain.
        cache: How long answers are good for. Not part of what is shared: it belongs to the handles made here.
        connections: How the network is used.
        session_factory: Makes the aiobotocore session; None is aiobotocore's own `get_session`. Objects made with
            another factory share nothing, so give each tenant one factory object and keep it.
        backend: Another source of truth than AWS; implies `shared=False`.
        clock: Another source of time; implies `shared=False`.
        shared: False gives an engine of its own, with its own session and answers.
        on_event: Called with every `Event` of the engine for as long as this object or a handle of it lives. It is
            called on the thread that the event happened on and must not block.

    Raises:
        ConfigurationError: An argument cannot be what it is.
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
    ) -> None:
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
        # Handles refer to the listener, not to this object: it may go while they are in use, and takes no cycle along.
        self._listener = None if on_event is None else self._engine.listen(on_event)

    @classmethod
    def from_env(cls, **overrides: Any) -> Self:
        """A CloudMap whose policies come from the environment, one variable a field.

        `AIOCLOUDMAP_TTL`, `AIOCLOUDMAP_STALE_IF_ERROR`, `AIOCLOUDMAP_MAX_CONNECTIONS`, ...: the fields of `CachePolicy`
        and `ConnectionPolicy`. Region, endpoint and credentials have AWS's own variables. A variable that names no
        field is warned of in the log.

        Args:
            overrides: Fields of the policies, or arguments of `CloudMap`; they win over the environment.

        Raises:
            ConfigurationError: A variable holds something that its field cannot be.
        """
        arguments = dict(overrides)
        cache, connections = policies_from_env(arguments)
        for argument, policy in (("cache", cache), ("connections", connections)):
            # A field beside the whole policy would be lost without a word.
            if argument in arguments and (lost := overrides.keys() & {field.name for field in fields(policy)}):
                raise ConfigurationError(
                    f"{argument}= and {', '.join(sorted(lost))}= say the same thing twice",
                    advice="Say it in one of them.",
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
            prefer: Attributes asked for where anything matches them (AWS's OptionalParameters).
            owner_account: The account that shares the namespace with this one; AWS finds shared ones only with it.
            cache: Another policy than this object's.

        Raises:
            ConfigurationError: AWS would refuse one of them.
        """
        # A name alone is the common case, and must cost next to nothing: no key is built, no enum is looked up.
        plain = False
        if health is _DEFAULT_HEALTH and where is None and prefer is None and owner_account is None and cache is None:
            try:
                return self._handles[name]
            except (KeyError, TypeError):
                plain = True
        service = name if isinstance(name, ServiceName) else ServiceName.parse(name)
        if cache is not None:
            check_type("cache", cache, CachePolicy, example="cache=CachePolicy(ttl=30)")
        # Query checks and orders what it is given, whatever its type.
        query = Query(
            service, cast("HealthFilter", health), cast("Any", where or ()), cast("Any", prefer or ()), owner_account
        )
        handle = Service(self._engine, query, cache or self._cache, listener=self._listener)
        if plain:
            self._keep(name, handle)
        return handle

    def _keep(self, name: str | ServiceName, handle: Service) -> None:
        """For the next call; the oldest handle goes where there are as many as the table has cells."""
        handles = self._handles
        if len(handles) >= MAX_ENTRIES:
            # Another thread may be at the same, and have taken the oldest one, or changed the dict in between.
            with contextlib.suppress(KeyError, RuntimeError, StopIteration):
                del handles[next(iter(handles))]
        handles[name] = handle

    async def client(self, aws_service: str, **create_client_options: Any) -> Any:
        """An aiobotocore client for any AWS service, on the shared session and connections.

        Made once per service and options, then handed out again: get one per use, keep none across event loops. Its
        `close` and `async with` do nothing. It has botocore's own time-outs and retries, or those of your `config`.
        Where all connections but the two that are kept for discovery are in use, a call queues for as long as it may
        wait to connect, and then raises ConnectionLimitError. For type checkers, annotate it with a type of
        types-aiobotocore.

        Args:
            aws_service: botocore's name, such as `sqs`.
            create_client_options: As for `AioSession.create_client`.

        Raises:
            ConfigurationError: No such service, no region, options that botocore refuses or that would bypass the
                shared connections, or no running asyncio event loop.
            UnavailableError: No file descriptor is left to make it with, or another thread's event loop has stopped in
                the middle of making one.
        """
        running_loop()
        self._engine.resolver.check_clock()
        return await self._engine.aws().client(aws_service, **create_client_options)

    async def http_session(self, **options: Any) -> aiohttp.ClientSession:
        """An aiohttp session for your own HTTP calls, on the shared bounded connections of this loop.

        Kept per event loop and options; its `close` and `async with` do nothing. It has aiohttp's own time-outs. Where
        all connections but the two that are kept for discovery are in use, a call queues for as long as it may wait to
        connect, and then raises ConnectionLimitError: read or release every response.

        Args:
            options: As for `aiohttp.ClientSession`, but for the connector.

        Raises:
            ConfigurationError: An option that aiohttp refuses, or a connector among them; AWS settings that cannot be
                read; or no running asyncio event loop.
        """
        running_loop()
        self._engine.resolver.check_clock()
        return await self._engine.aws().http_session(**options)

    async def prefetch(self, *services: str | ServiceName | Service, required: bool = False) -> None:
        """Ask for several services at once, so that their first callers need not wait.

        Fresh ones cost nothing; the others one AWS call each, a bounded number of them at a time.

        Args:
            services: Names, or handles made with other filters.
            required: Whether it is an error if one of them cannot be had.

        Raises:
            ExceptionGroup: `required`, and some could not be had; raised after all were tried.
            ConfigurationError: A name, or the configuration, is wrong; raised whether `required` or not.
        """
        handles = [item if isinstance(item, Service) else self.service(item) for item in services]
        permits = asyncio.Semaphore(self._engine.key.connections.max_connections_per_host)

        async def fetch(handle: Service) -> CloudMapError | None:
            async with permits:
                try:
                    await handle.resolve()
                except CloudMapError as error:
                    return error
                return None

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(fetch(handle)) for handle in handles]
        errors = [error for task in tasks if (error := task.result()) is not None]
        for error in errors:
            if isinstance(error, ConfigurationError):
                raise error
        if required and errors:
            raise ExceptionGroup(f"{len(errors)} of {len(handles)} services could not be prefetched", errors)

    def invalidate(self, name: str | ServiceName | Service | None = None) -> int:
        """Answers count as expired: the next caller asks AWS, and gets the old one only where AWS does not answer.

        Args:
            name: Whose answers, for every filter and policy, and its own attributes; None for all of this engine. For
                the answers to one question only there is `Service.invalidate`.

        Returns:
            How many answers could have been given until now.

        Raises:
            ConfigurationError: AWS would refuse the name.
        """
        if name is None:
            return self._engine.resolver.invalidate(lambda _: True)
        if isinstance(name, Service):
            name = name.name
        service = name if isinstance(name, ServiceName) else ServiceName.parse(name)
        return self._engine.resolver.invalidate(lambda query: query.service == service)

    def clear(self) -> int:
        """Answers are forgotten, for everybody who shares this engine. Returns how many could have been given."""
        return self._engine.resolver.clear()

    def before_snapshot(self) -> None:
        """Make ready for a snapshot of the process, as AWS Lambda's SnapStart takes one. Answers stay.

        Idle connections are closed, on every event loop of the process, and the engine's credentials are forgotten, so
        that neither is part of the snapshot; those that you set on a session of your own stay there. Costs no AWS
        call. May be called with or without a running event loop: without one, the connections of loops that rest on
        this thread are gone when it returns; with one, they go with the loop's next turn.

        Calls under way are left to themselves, so let them end first. Whoever has several engines calls it for each.
        """
        self._engine.before_snapshot()

    def after_restore(self) -> None:
        """Go on from a restored snapshot: answers stay, and count as older by the time that passed unseen.

        Connections from before the snapshot are closed before they could be used, and credentials are loaded anew by
        the next call. Costs no AWS call, and may be called with or without a running event loop.

        Without it, time that passed is noticed all the same at the first call that goes to AWS, and expired credentials
        when AWS refuses them. Whoever has several engines calls it for each.
        """
        self._engine.after_restore()

    def stats(self) -> Stats:
        """Counts of the engine since it was made."""
        return self._engine.stats()

    async def aclose(self) -> None:
        """Give back this event loop's connections; waits for calls in flight. Answers stay, and it may be used again.

        Whoever holds the same connections with `async with` keeps them. A call of your own without a time-out may keep
        it waiting: bound it with `asyncio.timeout`. Cancelling it loses nothing: the connections are then closed
        together with the loop.
        """
        await self._engine.aclose()

    async def __aenter__(self) -> Self:
        self._engine.enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._engine.leave()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a CloudMap is not copied or pickled; make a CloudMap() where it is needed, which costs no I/O")

    def __repr__(self) -> str:
        return f"<CloudMap on {self._engine!r}>"
