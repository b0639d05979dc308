"""The handle of one question. A hit is answered here.

A hit reads two slots of an entry, reads the clock once and compares once. Each hot method reads the entry itself rather
than awaiting another method, because an await costs as much as the whole hit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar, overload

from aiocloudmap.cache.entry import Entry
from aiocloudmap.cache.resolver import Resolver
from aiocloudmap.client.engine import Engine
from aiocloudmap.errors import CloudMapError, ConfigurationError, InvalidAttributeError, NotFoundError
from aiocloudmap.model.answer import ServiceAttributes, Snapshot, no_attribute_error, no_instances_error
from aiocloudmap.model.instance import Instance
from aiocloudmap.model.query import AttributesQuery, Query, ServiceName
from aiocloudmap.model.validation import check_attribute, safe_repr

if TYPE_CHECKING:
    from aiocloudmap.model.policy import CachePolicy
    from aiocloudmap.model.stats import Explanation

__all__ = ["Service", "resolve_all"]

_T = TypeVar("_T")
_D = TypeVar("_D")
_MISSING: Final = object()


class Service:
    """The instances of one service that match one question. Made by `CloudMap.service`; cheap; keep it or not.

    Every method but `peek`, `invalidate` and `explain` is a coroutine. With a fresh answer in memory it makes no AWS
    call and does not suspend. Otherwise it makes at most one `DiscoverInstances` call (with retries), shared with all
    callers who ask the same question at the same time. Cancelling one caller disturbs no other.
    """

    __slots__ = ("_attributes_entry", "_engine", "_entry", "_listener", "_now", "_resolver", "name", "query")

    def __init__(self, engine: Engine, query: Query, policy: CachePolicy, *, listener: object = None) -> None:
        self.name: Final[ServiceName] = query.service
        self.query: Final = query
        self._engine = engine
        self._resolver = resolver = engine.resolver
        self._now = resolver.clock.monotonic
        self._entry = resolver.find(query, policy)
        self._attributes_entry: Entry | None = None
        # The handle keeps the listener of its CloudMap alive.
        self._listener = listener

    async def resolve(self, max_age: float | None = None) -> Snapshot:
        """Every matching instance, sorted by id; possibly none.

        Args:
            max_age: Seconds. Nothing older is returned, not even if the call fails. 0 forces a call, and believes an
                empty answer. While AWS throttles, no call is made: ThrottledError at once.

        Returns:
            The complete set, unless its `maybe_truncated` is true.

        Raises:
            NamespaceNotFoundError: Cloud Map does not know the namespace.
            ServiceNotFoundError: Cloud Map does not know the service.
            RequestError: AWS refused the request.
            UnavailableError: No answer is available. Raised within `ConnectionPolicy.discovery_timeout`.
            ConfigurationError: No Region, no credentials, an invalid `max_age`, or no running asyncio event loop.
        """
        if max_age is None:
            entry = self._entry
            if self._now() < entry.serve_until:
                return entry.answer  # type: ignore[return-value]
        return await self._miss(max_age)

    async def pick(self) -> Instance:
        """One matching instance: the next one with each call.

        All handles of the question share the rotation, which starts at a random instance. So handles made per request,
        and processes that live for one request, spread their load, too.

        Raises:
            NoInstancesError: No instance matches.
            CloudMapError: As `resolve`.
        """
        entry = self._entry
        snapshot: Snapshot = entry.answer if self._now() < entry.serve_until else await self._miss()  # type: ignore[assignment]
        if not snapshot:
            raise no_instances_error(self.query)
        instances = snapshot.instances
        return instances[self._entry.next_turn() % len(instances)]

    @overload
    async def attribute(self, key: str) -> str: ...
    @overload
    async def attribute(self, key: str, cast: Callable[[str], _T]) -> _T: ...
    @overload
    async def attribute(self, key: str, *, default: _D) -> str | _D: ...
    @overload
    async def attribute(self, key: str, cast: Callable[[str], _T], default: _D) -> _T | _D: ...
    async def attribute(self, key: str, cast: Callable[[str], Any] = str, default: Any = _MISSING) -> Any:
        """One attribute of one instance: of the next one in the rotation that has it.

        Args:
            key: The attribute's name, such as `QUEUE_URL`.
            cast: Converts the text, such as `int`.
            default: Returned if the attribute, the instances, the service or AWS are not available, as at a cold start
                during an outage. It does not hide a wrong setting.

        Raises:
            AttributeNotFoundError: No instance has it. The message lists the existing keys.
            NoInstancesError: No instance matches.
            InvalidAttributeError: `cast` raised an exception. Raised with a default, too.
            ConfigurationError: `key` is not a string, or `cast` is not callable; or as `resolve`.
            CloudMapError: As `resolve`.
        """
        # A hit checks no argument. Invalid ones fail below, and are checked there.
        entry = self._entry
        if self._now() < entry.serve_until:
            snapshot: Snapshot = entry.answer  # type: ignore[assignment]
        else:
            check_attribute(key, cast)
            try:
                snapshot = await self._miss()
            except ConfigurationError:
                raise
            except CloudMapError:
                if default is _MISSING:
                    raise
                return default
        try:
            text = snapshot._only[key]
        except (KeyError, TypeError):  # several instances or none, or an instance without this key
            check_attribute(key, cast)
            instances = snapshot.instances
            found = self._rotate(instances, key)
            if found is None:
                if default is _MISSING:
                    raise self._not_found(instances, key) from None
                return default
            text = found
        return text if cast is str else self._cast(text, key, cast)

    async def attributes(self) -> ServiceAttributes:
        """The service's own attributes, as opposed to those of its instances; possibly none.

        Cached by the same `CachePolicy` as instances, and invalidated with them. If they are not fresh, this makes one
        `GetServiceAttributes` call. The first call for a service also looks up its id, with `ListNamespaces` and
        `ListServices` (one call per 100 entries). These are control-plane calls: their rate limits are low, the
        policy must allow `servicediscovery:GetServiceAttributes`, `ListNamespaces` and `ListServices`, and a VPC
        endpoint for the data plane does not serve them. Throttling there does not delay `resolve`.

        Returns:
            A read-only mapping with `fetched_at` and `age`. The filters of this handle do not apply.

        Raises:
            NamespaceNotFoundError: Cloud Map does not know the namespace.
            ServiceNotFoundError: The namespace has no such service.
            ConfigurationError: As `resolve`; or the backend is one of your own and not an `AttributesBackend`.
            CloudMapError: As `resolve`.

        Source: https://docs.aws.amazon.com/cloud-map/latest/api/API_GetServiceAttributes.html
        """
        entry = self._attributes_entry
        if entry is not None and self._now() < entry.serve_until:
            return entry.answer  # type: ignore[return-value]
        return await self._miss_attributes()

    async def grpc_target(self) -> str:
        """All matching instances as one target of a gRPC channel: `ipv4:10.0.0.1:50051,10.0.0.2:50051`.

        A target holds addresses of one family: the more frequent one, IPv4 if both are equal. The same instances make
        the same text, so a program can tell when to replace its channel, which keeps the addresses it was made with.
        Spread calls with the load-balancing policy `round_robin`.

        Instances without a port, with only a host name, or with an invalid address are skipped if there are others.

        Raises:
            NoInstancesError: No instance matches.
            AttributeNotFoundError: No instance has both an IP address and a port.
            InvalidAttributeError: None has a valid address, and one has an invalid address or port.
            CloudMapError: As `resolve`.

        Source: https://github.com/grpc/grpc/blob/master/doc/naming.md
        """
        from aiocloudmap.balancing.addresses import grpc_target, reachable  # noqa: PLC0415 - few programs need it

        snapshot = await self.resolve()
        if not snapshot:
            raise no_instances_error(self.query)
        return grpc_target(reachable(snapshot))

    def peek(self) -> Snapshot | None:
        """The answer in memory until its hard end, else None. No I/O, and no event loop needed.

        For a service that is known to have no instances it is an empty snapshot, which is falsy.
        """
        entry = self._entry
        if self._now() < entry.serve_until:
            return entry.answer  # type: ignore[return-value]
        entry = self._listed_entry()
        return entry.usable(self._now())  # type: ignore[return-value]

    def invalidate(self) -> None:
        """Expire the answer: the next caller asks AWS, and gets the old answer only if AWS does not answer.

        For every handle of this question, whatever its cache policy, and for the service's own attributes. No I/O.
        """
        questions = (self.query, self._attributes_query)
        self._engine.resolver.invalidate(questions.__contains__)

    def explain(self) -> Explanation:
        """The state and age of the answer, the next refresh, the last error, and any call in flight. No I/O."""
        return self._current_resolver().explain(self._listed_entry())

    def _miss(self, max_age: float | None = None) -> Awaitable[Snapshot]:
        # Not a coroutine: thousands of callers may wait here.
        resolver = self._current_resolver()
        entry = self._entry = resolver.list_entry(self._entry)
        return resolver.resolve(entry, max_age)  # type: ignore[return-value]

    async def _miss_attributes(self) -> ServiceAttributes:
        resolver = self._current_resolver()
        entry = self._attributes_entry or Entry(self._attributes_query, self._entry.policy)
        entry = self._attributes_entry = resolver.list_entry(entry)
        return await resolver.resolve(entry)  # type: ignore[return-value]

    def _current_resolver(self) -> Resolver:
        """The engine's resolver, which a test that starts or ends replaces, with its clock and entries.

        Hits need not look: the entries of the previous one were emptied.
        """
        resolver = self._engine.resolver
        if resolver is not self._resolver:
            # The clock first: another thread that finds the new entry must not read it by the old clock.
            self._now = resolver.clock.monotonic
            self._attributes_entry = None
            self._entry = resolver.find(self.query, self._entry.policy)
            self._resolver = resolver
        return resolver

    @property
    def _attributes_query(self) -> AttributesQuery:
        return AttributesQuery(self.name, self.query.owner_account)

    def _listed_entry(self) -> Entry:
        """The entry that other handles of the question write, if there is one."""
        resolver, entry = self._current_resolver(), self._entry
        if not entry.listed:
            entry = self._entry = resolver.find(entry.query, entry.policy)
        return entry

    def _rotate(self, instances: tuple[Instance, ...], key: str) -> str | None:
        count = len(instances)
        first = self._entry.next_turn() if count > 1 else 0
        for step in range(count):
            text = instances[(first + step) % count].attributes.get(key)
            if text is not None:
                return text
        return None

    def _not_found(self, instances: tuple[Instance, ...], key: str) -> NotFoundError:
        if not instances:
            return no_instances_error(self.query)
        return no_attribute_error(f"no instance has the attribute {safe_repr(key)}", key, instances)

    def _cast(self, text: str, key: str, cast: Callable[[str], _T]) -> _T:
        try:
            return cast(text)
        except Exception as error:
            check_attribute(key, cast)
            # The value stays out of the message: it may be a secret, or hostile.
            name = getattr(cast, "__name__", type(cast).__name__)
            raise InvalidAttributeError(
                f"attribute {safe_repr(key)} cannot be read as {name} ({type(error).__name__})",
                service=self.name,
                advice="Correct the attribute where the instance is registered.",
            ) from error

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"a Service cannot be copied or pickled: write CloudMap().service('{self.name}') where it is needed"
        )

    def __repr__(self) -> str:
        snapshot = self.peek()
        known = "nothing known" if snapshot is None else f"{len(snapshot)} instance(s)"
        return f"<Service {self.name} {known}>"


async def resolve_all(handles: Collection[Service], *, limit: int, required: bool) -> None:
    """Resolve the handles, `limit` at a time. Errors as in `CloudMap.prefetch`."""
    permits = asyncio.Semaphore(limit)

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
