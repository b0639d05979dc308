from __future__ import annotations

import pytest

from aiocloudmap.cli.demo.plan import LEAST_SECONDS, Plan
from aiocloudmap.model.policy import ConnectionPolicy

LENGTHS = [0, LEAST_SECONDS, 12, 20, 30, 60, 120]


@pytest.mark.parametrize("seconds", LENGTHS)
def test_the_outage_outlasts_a_plain_client_s_retry_and_ends_within_the_act(seconds):
    """Otherwise the shared client's callers might not notice it, or nobody would see it end."""
    plan = Plan.lasting(seconds)
    assert plan.outage_to - plan.outage_from > 1.2
    assert 0 < plan.outage_from < plan.outage_to < plan.act


@pytest.mark.parametrize("seconds", LENGTHS)
def test_answers_expire_during_the_outage(seconds):
    """Or aiocloudmap would have nothing to survive."""
    plan = Plan.lasting(seconds)
    assert plan.ttl < plan.outage_to - plan.outage_from


@pytest.mark.parametrize("seconds", LENGTHS)
def test_there_are_descriptors_for_a_bounded_client_and_not_for_one_per_request(seconds):
    """The limit lies between what aiocloudmap may use and what the requests would use."""
    plan = Plan.lasting(seconds)
    assert ConnectionPolicy().max_connections + 16 < plan.descriptors < plan.requests


def test_a_plan_of_twenty_seconds_takes_twenty_seconds():
    """Three acts and the time to start."""
    assert 3 * Plan.lasting(20).act == pytest.approx(18)


def test_a_plan_reaches_the_process_under_load_as_it_is():
    """Through its command line."""
    plan = Plan.lasting(20)
    assert Plan.from_json(plan.to_json()) == plan
