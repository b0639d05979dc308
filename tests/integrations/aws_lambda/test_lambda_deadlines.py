"""A handler that takes too long fails with an error that says so, and later invocations work."""

from __future__ import annotations

import pytest

from aiocloudmap.testing.runtime_api import FunctionError


def test_a_handler_that_takes_too_long_fails_and_the_next_works(function, shop):
    """The traceback shows where it waited; the process, its loop and its connection stay."""
    with function("orders.slow") as running:
        first = running.invoke({})
        with pytest.raises(FunctionError) as caught:
            running.invoke({"waits": True}, timeout=4)
        assert running.invoke({})["pid"] == first["pid"]
        assert running.cold_starts == 1
    assert caught.value.type == "InvocationTimeoutError"
    assert "cancelled 2 s before Lambda's limit" in caught.value.message
    assert any("in wait_for_ever" in frame for frame in caught.value.trace)
    assert shop.stats.connections_accepted == 1


def test_a_timeout_in_the_handler_is_not_converted(function):
    """Only the deadline raises InvocationTimeoutError."""
    with function("orders.slow") as running:
        with pytest.raises(FunctionError) as caught:
            running.invoke({"times_out": True})
        assert caught.value.type == "TimeoutError"
        assert running.invoke({})["retries"] == 0


def test_a_hanging_cloud_map_raises_its_own_error_first(function, shop):
    """discovery_timeout is shorter than the function's timeout, and the error names the service."""
    with function("orders.decorated", env={"AIOCLOUDMAP_DISCOVERY_TIMEOUT": "0.2"}) as running:
        with shop.faults.hang(), pytest.raises(FunctionError) as caught:
            running.invoke({})
        assert running.cold_starts == 1
    assert caught.value.type == "DeadlineError"
    assert "shop/orders" in caught.value.message
