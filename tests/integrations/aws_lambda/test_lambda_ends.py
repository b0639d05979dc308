"""SIGTERM closes the loop and its connections, where the runtime lets the main thread hear it."""

from __future__ import annotations

import asyncio
import os
import signal
import threading

# In this one the runtime waits for events in a thread, whatever the Python.
HEARS = {"AWS_EXECUTION_ENV": "AWS_Lambda_python3.12"}
DEAF = {"AWS_EXECUTION_ENV": "AWS_Lambda_python3.11"}


def test_between_invocations_it_closes_the_loop_and_ends_the_process(function):
    """Tasks end and say so; the exit code is the signal's, as if nobody had listened."""
    with function("signals.handler", env=HEARS) as running:
        assert running.invoke() == 1
        assert running.terminate(grace=30) == -signal.SIGTERM
        assert "the task has ended" in running.log
        assert "Error" not in running.log
        assert running.invoke() == 1
        assert running.cold_starts == 2


def test_who_listened_first_is_told_after_the_connections_have_been_closed(function):
    """A handler of the module's own, for an extension, does its work and decides how the process ends."""
    with function("signals.handler", env=HEARS | {"LISTENS": "1"}) as running:
        assert running.invoke() == 1
        assert running.terminate(grace=30) == 7
        assert f"the task has ended\ntold of signal {signal.SIGTERM:d} with 0 connection(s)" in running.log


def test_an_invocation_that_runs_may_end(function, shop, all_closed):
    """Its answer is delivered, and the connections are closed behind it."""
    answers = []
    with function("signals.handler", env=HEARS) as running:
        running.start()
        shop.faults.hold()
        thread = threading.Thread(target=lambda: answers.append(running.invoke()))
        thread.start()
        asyncio.run(asyncio.wait_for(shop.faults.until_held(), 30))
        os.kill(running.pid, signal.SIGTERM)
        shop.faults.release()
        thread.join()
        assert answers == [1]
        assert all_closed()
        assert "the task has ended" in running.log
        assert running.terminate(grace=30) == -signal.SIGTERM


def test_what_a_handler_has_forked_ends_when_it_is_told_to(function):
    """Only the process of the invocation finishes it first."""
    with function("signals.ends_what_it_forked", env=HEARS) as running:
        assert running.invoke(timeout=30) == -signal.SIGTERM


def test_older_runtimes_are_ended_at_once(function):
    """Their main thread would not hear it: a handler in Python would only keep the process from ending."""
    with function("signals.handler", env=DEAF) as running:
        assert running.invoke() == 1
        assert running.terminate(grace=30) == -signal.SIGTERM
        assert "the task has ended" not in running.log
