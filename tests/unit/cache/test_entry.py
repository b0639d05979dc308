"""A entry: what each change does to the answer, to until when it is given, and to what is remembered."""

import math
from collections import Counter

import pytest

from aiocloudmap import CachePolicy, ConnectError, Instance, Query, ServiceName, ServiceNotFoundError, Snapshot
from aiocloudmap.cache.entry import NEVER, Entry, Failures

ORDERS = ServiceName("shop", "orders")
ANSWER = Snapshot(ORDERS, [Instance("a", ORDERS)])
LIFETIME = {"soft": 30.0, "hard": 630.0}


@pytest.fixture
def entry() -> Entry:
    """A entry without an answer."""
    return Entry(Query(ORDERS), CachePolicy())


@pytest.fixture
def written(entry) -> Entry:
    """A entry with an answer of moment 0, whose fetch began a second before."""
    entry.write(ANSWER, **LIFETIME, written=0.0, started=-1.0)
    return entry


NONE = Failures(None, 0, NEVER, NEVER)


def test_a_new_cell_gives_nothing_whatever_the_clock_says(entry):
    """Clocks may start anywhere, below 0 as well: no moment is before NEVER."""
    assert entry.serve_until == NEVER == -math.inf
    assert entry.answer is None
    assert entry.failures == NONE
    assert not entry.listed


def test_writing_gives_an_answer_until_its_soft_end(written):
    """And keeps when it was asked for."""
    assert written.answer is ANSWER
    assert (written.serve_until, written.soft, written.hard) == (30, 30, 630)
    assert (written.written, written.started) == (0, -1)


def test_writing_ends_all_troubles(written):
    """A new answer wipes errors, backoff and doubt."""
    written.write_failure(ConnectError("x"), until=31)
    written.hold(since=40, until=45)
    written.write_failure(ConnectError("x"), until=50)
    written.write(ANSWER, **LIFETIME, written=0, started=0)
    assert written.failures == NONE


def test_a_failure_gives_the_old_answer_until_the_next_attempt(written):
    """Failures count up; the answer is given unasked until then."""
    for count, until in enumerate((61.0, 63.0, 70.0), 1):
        error = ConnectError(str(count))
        written.write_failure(error, until=until)
        assert written.failures == (error, count, until, NEVER)
        assert written.serve_until == until
    assert written.answer is ANSWER


def test_a_failure_never_gives_the_old_answer_beyond_its_hard_end(written):
    """A backoff that reaches past hard does not prolong the answer."""
    written.write_failure(ConnectError("x"), until=640)
    assert written.serve_until == 630
    assert written.failures.retry_at == 640


def test_a_failure_never_shortens_what_is_fresh(written):
    """A forced call that fails at 10 s leaves the answer to its soft end."""
    written.write_failure(ConnectError("x"), until=10.5)
    assert written.serve_until == 30


def test_a_failure_without_an_answer_gives_nothing(entry):
    """There is nothing to give until the next attempt."""
    entry.write_failure(ConnectError("x"), until=5)
    assert entry.serve_until == NEVER
    assert entry.failures.retry_at == 5


def test_a_denial_ends_the_answer(written):
    """AWS is sure: the error stands for a while, the answer is over, its age is still known."""
    error = ServiceNotFoundError("gone")
    written.write_not_found(error, until=65, started=59)
    assert written.serve_until == NEVER
    assert written.hard == NEVER
    assert written.failures == (error, 0, 65, NEVER)
    assert (written.written, written.started) == (0, 59)


def test_a_hold_gives_the_old_answer_for_a_while(written):
    """Doubt ends errors: AWS has answered."""
    written.write_failure(ConnectError("x"), until=61)
    written.hold(since=62, until=67)
    assert written.failures == (None, 0, NEVER, 62)
    assert written.serve_until == 67


def test_a_hold_never_reaches_beyond_the_hard_end(written):
    """As everything else."""
    written.hold(since=628, until=633)
    assert written.serve_until == 630


def test_a_failure_leaves_a_hold_what_it_is(written):
    """When the first empty answer came is not forgotten."""
    written.hold(since=62, until=67)
    written.write_failure(ConnectError("x"), until=68)
    assert written.failures.empty_since == 62


def test_expiring_leaves_the_answer_as_fallback_and_forgets_the_rest(written):
    """Not given unasked any more, still good until its hard end."""
    written.write_failure(ConnectError("x"), until=61)
    written.expire()
    assert written.answer is ANSWER
    assert written.serve_until == NEVER
    assert (written.soft, written.hard) == (NEVER, 630)
    assert written.failures == NONE


def test_retiring_leaves_nothing_to_give(written):
    """The table dropped it: who holds it must not be answered from it."""
    written.listed = True
    written.unlist()
    assert not written.listed
    assert written.serve_until == NEVER
    assert written.hard == NEVER


def test_unseen_time_moves_every_moment_back(written):
    """So that the same clock reading finds everything that much older."""
    written.write_failure(ConnectError("x"), until=61)
    written.hold(since=62, until=67)
    written.write_failure(ConnectError("x"), until=68)
    written.add_age(45)
    assert (written.soft, written.hard) == (-15, 585)
    assert (written.serve_until, written.written) == (23, -45)
    assert (written.failures.retry_at, written.failures.empty_since) == (23, 17)


def test_unseen_time_moves_never_nowhere(entry):
    """What has not happened is not moved into time."""
    entry.add_age(45)
    assert (entry.serve_until, entry.failures.retry_at, entry.failures.empty_since, entry.written) == (NEVER,) * 4


def test_reopening_leaves_only_freshness_to_decide(written):
    """Until its soft end, and no longer."""
    written.serve_until = 100
    written.serve_while_fresh()
    assert written.serve_until == 30


def test_turns_count_on_from_a_random_start(entry):
    """Each turn is the next number; different entries begin anywhere."""
    first = entry.next_turn()
    assert [entry.next_turn() for _ in range(3)] == [first + 1, first + 2, first + 3]
    starts = Counter(Entry(entry.query, entry.policy).next_turn() for _ in range(100))
    assert len(starts) > 90


def test_the_repr_shows_the_times(written):
    """State is visible."""
    assert "shop/orders serve_until=30.000" in repr(written)
