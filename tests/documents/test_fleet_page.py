"""The table of fleets in the how-to page shows what the code calculates."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

from aiocloudmap import CachePolicy
from aiocloudmap.cli.plan.fleet import Fleet
from aiocloudmap.cli.plan.plan import Plan, plan_for

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "plan-a-fleet.md"
ROW = re.compile(r"^\| [\d,]+ \|.*$", re.MULTILINE)
FLEETS = ((50, 5), (200, 10), (500, 10), (1000, 10), (2000, 3), (2000, 10), (5000, 10))


def plans() -> Iterator[Plan]:
    """The plans of the fleets on the page, with default settings outside of Lambda."""
    for processes, services in FLEETS:
        cache = CachePolicy(refresh="background")
        yield plan_for(Fleet(processes=processes, services=services, cache=cache))


def row(made: Plan) -> str:
    """A row of the table."""
    fleet, steady, start, advice = made.fleet, made.steady, made.cold_start, made.advice
    assert start.throttled is not None
    assert start.all_after is not None
    assert advice.ttl is not None
    cells = (
        f"{fleet.processes:,}",
        str(fleet.services),
        f"{steady.calls_per_second:,.0f}" + (", throttled" if steady.throttled else ""),
        f"{made.month.usd:,.0f}",
        f"{start.throttled:,.0f}" if start.throttled else "none",
        f"{start.all_after:.0f} s" if start.throttled else "at once",
        f"{math.ceil(advice.start_over)} s" if advice.start_over else "no time",
        f"{math.ceil(advice.ttl * 10) / 10} s",
    )
    return f"| {' | '.join(cells)} |"


def test_the_table_of_fleets_shows_current_figures():
    """A changed default or quota changes the page."""
    assert ROW.findall(PAGE.read_text(encoding="utf-8")) == [row(made) for made in plans()]
