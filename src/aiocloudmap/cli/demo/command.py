"""`aiocloudmap demo`: compare three strategies under the same load."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from aiocloudmap.cli.errors import CommandError, Exit, reporting
from aiocloudmap.cli.runner import run_async
from aiocloudmap.cli.terminal import console

__all__ = ["demo"]


def demo(
    context: typer.Context,
    seconds: Annotated[float, typer.Option("--seconds", min=1, max=120, help="About how long the demo takes.")] = 20.0,
    fast: Annotated[bool, typer.Option("--fast", help="Make the demo as short as possible.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write figures as JSON to standard output, and progress to standard error.")
    ] = False,
) -> None:
    """Show the same load three ways: a client per request, one client, aiocloudmap. It needs no AWS account.

    A local Cloud Map serves all calls, and has an outage in the middle of each run.
    Each way has its own process with a low limit of open files. The server counts its sockets and calls.
    All figures are measured. If they do not show what the demo claims, the exit code is 1.

    [bold]Examples[/bold]

    aiocloudmap demo

    aiocloudmap demo --fast --json > figures.json
    """
    with reporting(context, as_json=as_json):
        broken = _run(1.0 if fast else seconds, as_json=as_json)
        if broken:
            raise CommandError(
                Exit.FAILURE,
                "StoryBroken",
                f"this run did not show what the demo claims: {'; '.join(broken)}",
                "A busy machine can cause this. Try again with more --seconds.",
            )


def _run(seconds: float, *, as_json: bool) -> list[str]:
    from aiocloudmap.cli.demo.display import display_on, show_summary
    from aiocloudmap.cli.demo.load import can_limit_descriptors
    from aiocloudmap.cli.demo.scenario import Scenario
    from aiocloudmap.cli.demo.schedule import Schedule
    from aiocloudmap.cli.demo.score import broken_claims

    schedule = Schedule.lasting(seconds)
    if not can_limit_descriptors(schedule.descriptors):
        raise CommandError(
            Exit.FAILURE,
            "NoLimit",
            "the demo cannot lower the limit of open files on this system",
            "Run it on Linux or macOS.",
        )
    stream = sys.stderr if as_json else sys.stdout
    with display_on(stream) as display:
        scenario = Scenario(schedule, display)
        run_async(scenario.run())
    scores = scenario.scores
    broken = broken_claims(scores)
    show_summary(console(stream), scores)
    if as_json:
        ways = {name: score.summary() for name, score in scores.items()}
        print(json.dumps({"ways": ways, "broken_claims": broken}, indent=2))
    return broken
