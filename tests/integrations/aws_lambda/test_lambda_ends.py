"""SIGTERM closes the loop and its connections, in runtimes whose main thread handles signals."""

from __future__ import annotations

import asyncio
import os
import signal
import threading

# Tells the runtime to wait for events in another thread, on any version of Python.
HANDLES_SIGNALS = {"AWS_EXECUTION_ENV": "AWS_Lambda_python3.12"}
WITHOUT_HANDLERS = {"AWS_EXECUTION_ENV": "AWS_Lambda_python3.11"}


def test_between_invocations_it_closes_the_loop_and_ends_the_process(function):
    """Tasks are cancelled; the exit status is the signal's, as without a handler."""
    with function("signals.handler", env=HANDLES_SIGNALS) as running:
        assert running.invoke() == 1
        assert running.terminate(grace=30) == -signal.SIGTERM
        assert "the task has ended" in running.log
        assert "Error" not in running.log
        assert running.invoke() == 1
        assert running.cold_starts == 2


def test_the_previous_handler_runs_after_closing_connections(function):
    """A handler of the module, for an extension, decides how the process ends."""
    with function("signals.handler", env=HANDLES_SIGNALS | {"LISTENS": "1"}) as running:
        assert running.invoke() == 1
        assert running.terminate(grace=30) == 7
        assert f"the task has ended\nreceived signal {signal.SIGTERM:d} with 0 connection(s)" in running.log


def test_a_running_invocation_finishes(function, shop, all_closed):
    """Its response is delivered, and then the connections are closed."""
    answers = []
    with function("signals.handler", env=HANDLES_SIGNALS) as running:
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


def test_a_process_forked_by_the_handler_ends_on_sigterm(function):
    """Only the process of the invocation waits for it."""
    with function("signals.ends_what_it_forked", env=HANDLES_SIGNALS) as running:
        assert running.invoke(timeout=30) == -signal.SIGTERM


def test_older_runtimes_end_at_once(function):
    """Their main thread runs no handlers, so one would keep the process from ending."""
    with function("signals.handler", env=WITHOUT_HANDLERS) as running:
        assert running.invoke() == 1
        assert running.terminate(grace=30) == -signal.SIGTERM
        assert "the task has ended" not in running.log
