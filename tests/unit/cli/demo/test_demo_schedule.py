from __future__ import annotations

import pytest

from aiocloudmap.cli.demo.schedule import MIN_SECONDS, Schedule
from aiocloudmap.model.policy import ConnectionPolicy

LENGTHS = [0, MIN_SECONDS, 12, 20, 30, 60, 120]


@pytest.mark.parametrize("seconds", LENGTHS)
def test_the_outage_outlasts_a_retry_and_ends_within_the_run(seconds):
    """Callers of the shared client notice it, and the demo shows its end."""
    schedule = Schedule.lasting(seconds)
    assert schedule.outage_to - schedule.outage_from > 1.2
    assert 0 < schedule.outage_from < schedule.outage_to < schedule.length


@pytest.mark.parametrize("seconds", LENGTHS)
def test_answers_expire_during_the_outage(seconds):
    """aiocloudmap has to serve stale answers then."""
    schedule = Schedule.lasting(seconds)
    assert schedule.ttl < schedule.outage_to - schedule.outage_from


@pytest.mark.parametrize("seconds", LENGTHS)
def test_descriptors_suffice_only_for_bounded_clients(seconds):
    """aiocloudmap needs fewer, and a client per request needs more."""
    schedule = Schedule.lasting(seconds)
    assert ConnectionPolicy().max_connections + 16 < schedule.descriptors < schedule.requests


def test_a_demo_of_twenty_seconds_takes_twenty_seconds():
    """It has three runs and the time to start."""
    assert 3 * Schedule.lasting(20).length == pytest.approx(18)


def test_a_schedule_survives_the_command_line():
    """The process under load gets it as JSON."""
    schedule = Schedule.lasting(20)
    assert Schedule.from_json(schedule.to_json()) == schedule
