"""The connection pool decides without any socket."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from aiocloudmap.aws.transport.pool import RESERVED, ConnectionPool, Permit, Purpose

DISCOVERY, CLIENT = Purpose.DISCOVERY, Purpose.CLIENT


class FakeConnection:
    """A connection whose peer may go away, and that takes a while to close."""

    def __init__(self, closing: list[FakeConnection]) -> None:
        self._closing = closing
        self.usable = True

    def is_usable(self) -> bool:
        return self.usable

    def close(self) -> None:
        self._closing.append(self)


class Sockets:
    """Does what the connector does, without any socket."""

    def __init__(self, limit: int = 4, per_host: int = 4) -> None:
        self._closing: list[FakeConnection] = []
        self._permits: dict[FakeConnection, Permit[FakeConnection]] = {}
        self.pool = ConnectionPool(limit, per_host)
        self.now = 0.0

    @property
    def closing(self) -> list[Permit[FakeConnection]]:
        return [self._permits[connection] for connection in self._closing]

    def request(self, purpose=CLIENT, key="a", **options):
        return self.pool.request(purpose, key, key[0], **options)

    def connect(self, permit) -> None:
        permit.connection = FakeConnection(self._closing)
        self._permits[permit.connection] = permit

    def use(self, purpose=CLIENT, key="a"):
        permit = self.request(purpose, key).permit
        self.connect(permit)
        return permit

    def release(self, permit) -> None:
        self.now += 1
        self.pool.release(permit, self.now)

    def finish_closing(self) -> None:
        while self._closing:
            self.pool.drop_hold(self._permits[self._closing.pop(0)])


def test_clients_leave_two_connections_for_discovery():
    """However many requests they make."""
    sockets = Sockets(limit=5, per_host=5)
    requests = [sockets.request() for _ in range(9)]
    assert [request.permit is not None for request in requests] == [True] * 3 + [False] * 6
    assert sockets.request(DISCOVERY).permit is not None
    assert sockets.request(DISCOVERY).permit is not None
    assert sockets.request(DISCOVERY).permit is None
    assert repr(sockets.pool) == "<5 of 5 open: 5 in use, 0 idle, 0 closing; 7 waiting>"


def test_discovery_may_use_all_connections():
    """Clients have no reserve."""
    sockets = Sockets()
    assert all(sockets.request(DISCOVERY).permit is not None for _ in range(4))
    assert sockets.request(CLIENT).permit is None


def test_discovery_may_exceed_the_limit_per_host():
    """By its reserve, so that a host used by clients stays reachable."""
    sockets = Sockets(limit=10, per_host=3)
    assert [sockets.request(CLIENT).permit is not None for _ in range(4)] == [True] * 3 + [False]
    assert [sockets.request(DISCOVERY).permit is not None for _ in range(3)] == [True] * 2 + [False]


def test_the_youngest_idle_connection_is_reused():
    """The peer is least likely to have closed it."""
    sockets = Sockets()
    first, second = sockets.use(DISCOVERY), sockets.use(DISCOVERY)
    sockets.release(first)
    sockets.release(second)
    assert sockets.request().permit is second


def test_an_unusable_idle_connection_is_skipped():
    """It is closed, and the next one used."""
    sockets = Sockets()
    first, second = sockets.use(DISCOVERY), sockets.use(DISCOVERY)
    sockets.release(first)
    sockets.release(second)
    second.connection.usable = False
    assert sockets.request().permit is first
    assert sockets.closing == [second]


def test_the_oldest_idle_connection_makes_room_once_closed():
    """Not before, because its descriptor is still open."""
    sockets = Sockets(limit=3)
    for key in "abc":
        sockets.release(sockets.use(DISCOVERY, key))
    request = sockets.request(DISCOVERY, "d")
    assert request.permit is None
    assert [permit.key for permit in sockets.closing] == ["a"]
    sockets.finish_closing()
    assert request.permit is not None


def test_only_as_many_connections_are_closed_as_needed():
    """Two requests close two, even if the queue is served again."""
    sockets = Sockets(limit=5)
    for key in "abcde":
        sockets.release(sockets.use(DISCOVERY, key))
    sockets.request(DISCOVERY, "f")
    sockets.request(DISCOVERY, "g")
    sockets.pool.serve_queue()
    assert [permit.key for permit in sockets.closing] == ["a", "b"]


def test_another_keys_idle_connection_to_a_full_host_is_closed():
    """It counts towards the host's limit."""
    sockets = Sockets(limit=9, per_host=1)
    sockets.release(sockets.use(CLIENT, "a1"))
    request = sockets.request(CLIENT, "a2")
    assert request.permit is None
    sockets.finish_closing()
    assert request.permit is not None


def test_requests_are_served_in_order_and_let_others_pass():
    """A request for a full host does not block requests for other hosts."""
    sockets = Sockets(limit=9, per_host=1)
    busy = sockets.use(CLIENT, "a")
    first, second, other = sockets.request(CLIENT, "a"), sockets.request(CLIENT, "a"), sockets.request(CLIENT, "b")
    assert other.permit is not None
    sockets.release(busy)
    assert first.permit is busy
    assert second.permit is None


def test_a_withdrawn_request_returns_what_it_was_assigned():
    """A new permit is freed, an idle connection is idle again, a place in the queue is gone."""
    sockets = Sockets(limit=3)
    new = sockets.request(CLIENT)
    sockets.pool.withdraw(new)
    assert sockets.pool.permits == set()
    idle = sockets.use(CLIENT)
    sockets.release(idle)
    again = sockets.request(CLIENT)
    sockets.pool.withdraw(again)
    assert list(sockets.pool.idle) == [idle]
    busy = sockets.use(CLIENT)
    waiting = sockets.request(CLIENT)
    sockets.pool.withdraw(waiting)
    sockets.release(busy)
    assert waiting.permit is None
    assert sockets.pool.waiting == 0


def test_a_request_without_reuse_gets_a_new_connection():
    """As a plain request to a proxy does."""
    sockets = Sockets()
    sockets.release(sockets.use(CLIENT))
    assert sockets.request(CLIENT, reuse=False).permit.connection is None


def test_a_permit_counts_until_its_last_descriptor_is_closed():
    """A failed attempt may leave one that is still being closed."""
    sockets = Sockets(limit=3)
    permits = [sockets.use(DISCOVERY) for _ in range(3)]
    permits[0].holds += 1  # its socket, beside the attempt
    sockets.pool.close(permits[0])
    sockets.pool.drop_hold(permits[0])
    waiting = sockets.request(DISCOVERY)
    assert waiting.permit is None
    sockets.pool.drop_hold(permits[0])
    assert waiting.permit is not None


@pytest.mark.parametrize("state", ["busy", "idle", "closing"])
def test_a_lost_connection_frees_its_permit_in_any_state(state):
    """It stays in no count."""
    sockets = Sockets()
    permit = sockets.use(CLIENT)
    if state == "idle":
        sockets.release(permit)
    if state == "closing":
        sockets.pool.close(permit)
    sockets.pool.drop_hold(permit)
    assert repr(sockets.pool) == "<0 of 4 open: 0 in use, 0 idle, 0 closing; 0 waiting>"
    sockets.pool.release(permit, 1)  # the call that used it ends later
    sockets.pool.close(permit)
    assert repr(sockets.pool) == "<0 of 4 open: 0 in use, 0 idle, 0 closing; 0 waiting>"
    assert not any((sockets.pool._open, sockets.pool._used, sockets.pool._closing, sockets.pool._idle_by_key))


class AnyOrder(RuleBasedStateMachine):
    """In any order of events, the limits hold and no request waits that could be served."""

    def __init__(self) -> None:
        super().__init__()
        self.sockets = Sockets(limit=5, per_host=2)
        self.waiting: list = []
        self.busy: list[Permit[FakeConnection]] = []

    def collect(self) -> None:
        for request in [request for request in self.waiting if request.permit is not None]:
            self.waiting.remove(request)
            if request.permit.connection is None:
                self.sockets.connect(request.permit)
            self.busy.append(request.permit)

    @rule(purpose=st.sampled_from(Purpose), key=st.sampled_from(["a1", "a2", "b1", "c1"]), reuse=st.booleans())
    def request(self, purpose, key, reuse):
        self.waiting.append(self.sockets.request(purpose, key, reuse=reuse))
        self.collect()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def leave_the_queue(self, data):
        request = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(request)
        self.sockets.pool.withdraw(request)
        self.collect()

    @precondition(lambda self: self.busy)
    @rule(data=st.data(), how=st.sampled_from(["release", "close", "lost"]))
    def end_a_call(self, data, how):
        permit = data.draw(st.sampled_from(self.busy))
        self.busy.remove(permit)
        if how == "release":
            self.sockets.release(permit)
        elif how == "close":
            self.sockets.pool.close(permit)
        else:
            self.sockets.pool.drop_hold(permit)
        self.collect()

    @precondition(lambda self: self.sockets.pool.idle)
    @rule(data=st.data())
    def the_peer_closes(self, data):
        data.draw(st.sampled_from(list(self.sockets.pool.idle))).connection.usable = False

    @rule()
    def descriptors_are_closed(self):
        self.sockets.finish_closing()
        self.collect()

    @invariant()
    def the_limits_hold(self):
        permits = self.sockets.pool.permits
        assert len(permits) <= 5
        for host in "abc":
            assert sum(permit.host == host for permit in permits) <= 2 + RESERVED
        clients = [permit for permit in self.busy if permit.purpose is CLIENT]
        assert len(clients) <= 3
        assert all(sum(permit.host == host for permit in clients) <= 2 for host in "abc")

    @invariant()
    def no_request_waits_without_reason(self):
        assert self.sockets.pool.waiting == len(self.waiting)
        discovering = sum(permit.purpose is DISCOVERY for permit in self.busy)
        if any(request.purpose is DISCOVERY for request in self.waiting) and not self.sockets.closing:
            assert discovering >= RESERVED

    def teardown(self):
        for permit in self.busy:
            self.sockets.pool.close(permit)
        self.busy.clear()
        for _ in range(20):
            self.sockets.finish_closing()
            self.collect()
            for permit in self.busy:
                self.sockets.pool.close(permit)
            self.busy.clear()
        assert self.waiting == []
        assert not any((self.sockets.pool._used, self.sockets.pool._closing, self.sockets.pool._queues))


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
