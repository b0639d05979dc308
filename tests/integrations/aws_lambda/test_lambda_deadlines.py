"""A handler that takes too long ends in an error that says so, and harms no other invocation."""

from __future__ import annotations

import pytest

from aiocloudmap.testing.runtime_api import FunctionError


def test_a_handler_that_takes_too_long_is_told_by_name_and_the_next_one_is_healthy(function, shop):
    """The error leads to where it waited; the process, its loop and its connection go on."""
    with function("orders.slow") as running:
        first = running.invoke({})
        with pytest.raises(FunctionError) as caught:
            running.invoke({"waits": True}, timeout=0.5)
        assert running.invoke({})["pid"] == first["pid"]
        assert running.cold_starts == 1
    assert caught.value.type == "InvocationTimeoutError"
    assert "cancelled 0.2 s before Lambda's limit" in caught.value.message
    assert any("in wait_for_ever" in frame for frame in caught.value.trace)
    assert shop.stats.connections_accepted == 1


def test_a_time_out_of_the_handlers_own_stays_what_it_is(function):
    """Not every TimeoutError is the invocation's."""
    with function("orders.slow") as running:
        with pytest.raises(FunctionError) as caught:
            running.invoke({"times_out": True})
        assert caught.value.type == "TimeoutError"
        assert running.invoke({})["retries"] == 0


def test_a_hanging_cloud_map_is_told_by_its_own_error_before_the_deadline(function, shop):
    """discovery_timeout is shorter than what the function has: it names the service."""
    with function("orders.decorated", env={"AIOCLOUDMAP_DISCOVERY_TIMEOUT": "0.2"}) as running:
        with shop.faults.hang(), pytest.raises(FunctionError) as caught:
            running.invoke({})
        assert running.cold_starts == 1
    assert caught.value.type == "DeadlineError"
    assert "shop/orders" in caught.value.message
