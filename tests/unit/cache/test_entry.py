"""An entry: what each change does to the answer, its times, and the remembered failures."""

import math
from collections import Counter

import pytest

from aiocloudmap import CachePolicy, ConnectError, Instance, Query, ServiceName, ServiceNotFoundError, Snapshot
from aiocloudmap.cache.entry import LONG_AGO, Entry, Failures

ORDERS = ServiceName("shop", "orders")
ANSWER = Snapshot(ORDERS, [Instance("a", ORDERS)])
LIFETIME = {"soft": 30.0, "hard": 630.0}


@pytest.fixture
def entry() -> Entry:
    """An entry without an answer."""
    return Entry(Query(ORDERS), CachePolicy())


@pytest.fixture
def written(entry) -> Entry:
    """An entry with an answer written at 0, from a call that began one second before."""
    entry.write(ANSWER, **LIFETIME, written=0.0, started=-1.0)
    return entry


NO_FAILURES = Failures(None, 0, LONG_AGO, LONG_AGO)


def test_a_new_entry_serves_nothing_at_any_time(entry):
    """Clocks may start anywhere, even below 0, and no time is before LONG_AGO."""
    assert entry.serve_until == LONG_AGO == -math.inf
    assert entry.answer is None
    assert entry.failures == NO_FAILURES
    assert not entry.listed


def test_a_written_answer_is_served_until_its_soft_end(written):
    """The start of its call is kept."""
    assert written.answer is ANSWER
    assert (written.serve_until, written.soft, written.hard) == (30, 30, 630)
    assert (written.written, written.started) == (0, -1)


def test_writing_forgets_past_failures(written):
    """Errors, backoff and a hold."""
    written.write_failure(ConnectError("x"), until=31)
    written.hold(since=40, until=45)
    written.write_failure(ConnectError("x"), until=50)
    written.write(ANSWER, **LIFETIME, written=0, started=0)
    assert written.failures == NO_FAILURES


def test_after_a_failure_the_old_answer_is_served_until_the_retry(written):
    """Failures are counted."""
    for count, until in enumerate((61.0, 63.0, 70.0), 1):
        error = ConnectError(str(count))
        written.write_failure(error, until=until)
        assert written.failures == (error, count, until, LONG_AGO)
        assert written.serve_until == until
    assert written.answer is ANSWER


def test_a_failure_never_serves_an_answer_past_its_hard_end(written):
    """Even if the backoff ends later."""
    written.write_failure(ConnectError("x"), until=640)
    assert written.serve_until == 630
    assert written.failures.retry_at == 640


def test_a_failure_leaves_a_fresh_answer_fresh(written):
    """A forced call that fails at 10 s does not change the soft end."""
    written.write_failure(ConnectError("x"), until=10.5)
    assert written.serve_until == 30


def test_a_failure_without_an_answer_serves_nothing(entry):
    """The error is repeated until the retry."""
    entry.write_failure(ConnectError("x"), until=5)
    assert entry.serve_until == LONG_AGO
    assert entry.failures.retry_at == 5


def test_a_not_found_ends_the_answer(written):
    """The error is repeated for a while. The age of the old answer stays known."""
    error = ServiceNotFoundError("gone")
    written.write_not_found(error, until=65, started=59)
    assert written.serve_until == LONG_AGO
    assert written.hard == LONG_AGO
    assert written.failures == (error, 0, 65, LONG_AGO)
    assert (written.written, written.started) == (0, 59)


def test_a_hold_serves_the_old_answer_for_a_while(written):
    """It forgets earlier errors, since AWS has answered."""
    written.write_failure(ConnectError("x"), until=61)
    written.hold(since=62, until=67)
    assert written.failures == (None, 0, LONG_AGO, 62)
    assert written.serve_until == 67


def test_a_hold_never_serves_an_answer_past_its_hard_end(written):
    """Whatever its length."""
    written.hold(since=628, until=633)
    assert written.serve_until == 630


def test_a_failure_does_not_restart_a_hold(written):
    """The time of the first empty answer is kept."""
    written.hold(since=62, until=67)
    written.write_failure(ConnectError("x"), until=68)
    assert written.failures.empty_since == 62


def test_an_expired_answer_remains_as_a_fallback(written):
    """Until its hard end. Hits do not serve it, and failures are forgotten."""
    written.write_failure(ConnectError("x"), until=61)
    written.expire()
    assert written.answer is ANSWER
    assert written.serve_until == LONG_AGO
    assert (written.soft, written.hard) == (LONG_AGO, 630)
    assert written.failures == NO_FAILURES


def test_an_unlisted_entry_serves_nothing(written):
    """The store has dropped it, and handles may still hold it."""
    written.listed = True
    written.unlist()
    assert not written.listed
    assert written.serve_until == LONG_AGO
    assert written.hard == LONG_AGO


def test_unseen_time_moves_every_moment_earlier(written):
    """At the same clock reading, everything is that much older."""
    written.write_failure(ConnectError("x"), until=61)
    written.hold(since=62, until=67)
    written.write_failure(ConnectError("x"), until=68)
    written.add_age(45)
    assert (written.soft, written.hard) == (-15, 585)
    assert (written.serve_until, written.written) == (23, -45)
    assert (written.failures.retry_at, written.failures.empty_since) == (23, 17)


def test_unseen_time_does_not_move_never(entry):
    """It stays before any time."""
    entry.add_age(45)
    assert (entry.serve_until, entry.failures.retry_at, entry.failures.empty_since, entry.written) == (LONG_AGO,) * 4


def test_an_entry_may_be_limited_to_its_soft_end(written):
    """Hits serve the answer until then, and no longer."""
    written.serve_until = 100
    written.serve_while_fresh()
    assert written.serve_until == 30


def test_a_rotation_counts_up_from_a_random_start(entry):
    """Entries start at different numbers."""
    first = entry.next_turn()
    assert [entry.next_turn() for _ in range(3)] == [first + 1, first + 2, first + 3]
    starts = Counter(Entry(entry.query, entry.policy).next_turn() for _ in range(100))
    assert len(starts) > 90


def test_the_repr_shows_the_times(written):
    """And the service."""
    assert "shop/orders serve_until=30.000" in repr(written)
