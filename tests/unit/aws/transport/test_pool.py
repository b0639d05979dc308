"""Who may have a socket: decisions, without any."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from aiocloudmap.aws.transport.pool import RESERVED, Bound, Permit, Purpose

DISCOVERY, CLIENT = Purpose.DISCOVERY, Purpose.CLIENT


class Sockets:
    """What the connector would do: a permit's connection is its number here, and closing takes a while."""

    def __init__(self, limit: int = 4, per_host: int = 4) -> None:
        self.closing: list[Permit[int]] = []
        self.dead: set[Permit[int]] = set()
        self.bound: Bound[int] = Bound(
            limit, per_host, usable=lambda permit: permit not in self.dead, shut=self.closing.append
        )
        self.now = 0.0

    def ask(self, purpose=CLIENT, key="a", **options):
        return self.bound.ask(purpose, key, key[0], **options)

    def use(self, purpose=CLIENT, key="a"):
        turn = self.ask(purpose, key)
        turn.granted.connection = id(turn)
        return turn.granted

    def rest(self, permit) -> None:
        self.now += 1
        self.bound.rest(permit, self.now)

    def finish_closing(self) -> None:
        while self.closing:
            self.bound.drop(self.closing.pop(0))


def test_clients_leave_two_for_discovery():
    """However many ask."""
    sockets = Sockets(limit=5, per_host=5)
    turns = [sockets.ask() for _ in range(9)]
    assert [turn.permit is not None for turn in turns] == [True] * 3 + [False] * 6
    assert sockets.ask(DISCOVERY).permit is not None
    assert sockets.ask(DISCOVERY).permit is not None
    assert sockets.ask(DISCOVERY).permit is None
    assert repr(sockets.bound) == "<5 of 5 open: 5 in use, 0 idle, 0 closing; 7 waiting>"


def test_discovery_may_have_them_all():
    """The clients have no reserve."""
    sockets = Sockets()
    assert all(sockets.ask(DISCOVERY).permit is not None for _ in range(4))
    assert sockets.ask(CLIENT).permit is None


def test_discovery_passes_the_limit_per_host_by_its_reserve():
    """A host that clients fill stays open to it."""
    sockets = Sockets(limit=10, per_host=3)
    assert [sockets.ask(CLIENT).permit is not None for _ in range(4)] == [True] * 3 + [False]
    assert [sockets.ask(DISCOVERY).permit is not None for _ in range(3)] == [True] * 2 + [False]


def test_the_youngest_idle_connection_is_used_again():
    """The peer is least likely to have closed it."""
    sockets = Sockets()
    first, second = sockets.use(DISCOVERY), sockets.use(DISCOVERY)
    sockets.rest(first)
    sockets.rest(second)
    assert sockets.ask().permit is second


def test_an_idle_connection_that_is_not_good_any_more_is_passed_over():
    """It is closed, and the next one taken."""
    sockets = Sockets()
    first, second = sockets.use(DISCOVERY), sockets.use(DISCOVERY)
    sockets.rest(first)
    sockets.rest(second)
    sockets.dead.add(second)
    assert sockets.ask().permit is first
    assert sockets.closing == [second]


def test_the_oldest_idle_connection_makes_room_once_it_is_gone():
    """Not before: until then its descriptor is open."""
    sockets = Sockets(limit=3)
    for key in "abc":
        sockets.rest(sockets.use(DISCOVERY, key))
    turn = sockets.ask(DISCOVERY, "d")
    assert turn.permit is None
    assert [permit.key for permit in sockets.closing] == ["a"]
    sockets.finish_closing()
    assert turn.permit is not None


def test_no_more_is_closed_than_is_needed():
    """Two callers, two closed, however often the queue is looked at."""
    sockets = Sockets(limit=5)
    for key in "abcde":
        sockets.rest(sockets.use(DISCOVERY, key))
    sockets.ask(DISCOVERY, "f")
    sockets.ask(DISCOVERY, "g")
    sockets.bound.serve()
    assert [permit.key for permit in sockets.closing] == ["a", "b"]


def test_another_keys_idle_connection_to_a_full_host_is_closed():
    """The host's limit counts it too."""
    sockets = Sockets(limit=9, per_host=1)
    sockets.rest(sockets.use(CLIENT, "a1"))
    turn = sockets.ask(CLIENT, "a2")
    assert turn.permit is None
    sockets.finish_closing()
    assert turn.permit is not None


def test_callers_are_served_in_order_and_let_others_pass():
    """One who waits for a full host holds up nobody who wants another."""
    sockets = Sockets(limit=9, per_host=1)
    busy = sockets.use(CLIENT, "a")
    first, second, other = sockets.ask(CLIENT, "a"), sockets.ask(CLIENT, "a"), sockets.ask(CLIENT, "b")
    assert other.permit is not None
    sockets.rest(busy)
    assert first.permit is busy
    assert second.permit is None


def test_a_caller_who_leaves_gives_back_what_he_was_given():
    """A new permit is free again, an idle connection idle again, a place in the queue gone."""
    sockets = Sockets(limit=3)
    new = sockets.ask(CLIENT)
    sockets.bound.withdraw(new)
    assert sockets.bound.permits == set()
    idle = sockets.use(CLIENT)
    sockets.rest(idle)
    again = sockets.ask(CLIENT)
    sockets.bound.withdraw(again)
    assert list(sockets.bound.idle) == [idle]
    busy = sockets.use(CLIENT)
    waiting = sockets.ask(CLIENT)
    sockets.bound.withdraw(waiting)
    sockets.rest(busy)
    assert waiting.permit is None
    assert sockets.bound.waiting == 0


def test_one_who_must_not_reuse_gets_a_connection_of_its_own():
    """A plain request to a proxy."""
    sockets = Sockets()
    sockets.rest(sockets.use(CLIENT))
    assert sockets.ask(CLIENT, reuse=False).granted.connection is None


def test_a_permit_counts_until_its_last_descriptor_is_gone():
    """An attempt that has failed may have left one that is still being closed."""
    sockets = Sockets(limit=3)
    permits = [sockets.use(DISCOVERY) for _ in range(3)]
    permits[0].holds += 1  # its socket, beside the attempt
    sockets.bound.close(permits[0])
    sockets.bound.drop(permits[0])
    waiting = sockets.ask(DISCOVERY)
    assert waiting.permit is None
    sockets.bound.drop(permits[0])
    assert waiting.permit is not None


@pytest.mark.parametrize("state", ["busy", "idle", "leaving"])
def test_a_connection_that_is_gone_frees_its_permit_whatever_it_was_doing(state):
    """Nothing of it stays in any count."""
    sockets = Sockets()
    permit = sockets.use(CLIENT)
    if state == "idle":
        sockets.rest(permit)
    if state == "leaving":
        sockets.bound.close(permit)
    sockets.bound.drop(permit)
    assert repr(sockets.bound) == "<0 of 4 open: 0 in use, 0 idle, 0 closing; 0 waiting>"
    sockets.bound.rest(permit, 1)  # the call that used it ends after it
    sockets.bound.close(permit)
    assert repr(sockets.bound) == "<0 of 4 open: 0 in use, 0 idle, 0 closing; 0 waiting>"
    assert not any((sockets.bound._open, sockets.bound._using, sockets.bound._leaving, sockets.bound._idle_by_key))


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens in whatever order, the limits hold and nobody waits who could be served."""

    def __init__(self) -> None:
        super().__init__()
        self.sockets = Sockets(limit=5, per_host=2)
        self.waiting: list = []
        self.busy: list[Permit[int]] = []

    def collect(self) -> None:
        for turn in [turn for turn in self.waiting if turn.permit is not None]:
            self.waiting.remove(turn)
            if turn.granted.connection is None:
                turn.granted.connection = 1
            self.busy.append(turn.granted)

    @rule(purpose=st.sampled_from(Purpose), key=st.sampled_from(["a1", "a2", "b1", "c1"]), reuse=st.booleans())
    def ask(self, purpose, key, reuse):
        self.waiting.append(self.sockets.ask(purpose, key, reuse=reuse))
        self.collect()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def leave_the_queue(self, data):
        turn = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(turn)
        self.sockets.bound.withdraw(turn)
        self.collect()

    @precondition(lambda self: self.busy)
    @rule(data=st.data(), how=st.sampled_from(["rest", "close", "lost"]))
    def end_a_call(self, data, how):
        permit = data.draw(st.sampled_from(self.busy))
        self.busy.remove(permit)
        if how == "rest":
            self.sockets.rest(permit)
        elif how == "close":
            self.sockets.bound.close(permit)
        else:
            self.sockets.bound.drop(permit)
        self.collect()

    @precondition(lambda self: self.sockets.bound.idle)
    @rule(data=st.data())
    def the_peer_closes(self, data):
        self.sockets.dead.add(data.draw(st.sampled_from(list(self.sockets.bound.idle))))

    @rule()
    def descriptors_go(self):
        self.sockets.finish_closing()
        self.collect()

    @invariant()
    def the_limits_hold(self):
        permits = self.sockets.bound.permits
        assert len(permits) <= 5
        for host in "abc":
            assert sum(permit.host == host for permit in permits) <= 2 + RESERVED
        clients = [permit for permit in self.busy if permit.purpose is CLIENT]
        assert len(clients) <= 3
        assert all(sum(permit.host == host for permit in clients) <= 2 for host in "abc")

    @invariant()
    def nobody_waits_for_nothing(self):
        bound = self.sockets.bound
        assert bound.waiting == len(self.waiting)
        discovering = sum(permit.purpose is DISCOVERY for permit in self.busy)
        if any(turn.purpose is DISCOVERY for turn in self.waiting) and not self.sockets.closing:
            assert discovering >= RESERVED

    def teardown(self):
        for permit in self.busy:
            self.sockets.bound.close(permit)
        self.busy.clear()
        for _ in range(20):
            self.sockets.finish_closing()
            self.collect()
            for permit in self.busy:
                self.sockets.bound.close(permit)
            self.busy.clear()
        assert self.waiting == []
        assert not any((self.sockets.bound._using, self.sockets.bound._leaving, self.sockets.bound._queues))


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
