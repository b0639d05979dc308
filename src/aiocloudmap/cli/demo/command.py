"""`aiocloudmap demo`: the story as a command."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from aiocloudmap.cli.errors import CommandError, Exit, reporting
from aiocloudmap.cli.runner import run_async
from aiocloudmap.cli.terminal import console, draws

__all__ = ["demo"]


def demo(
    context: typer.Context,
    seconds: Annotated[
        float, typer.Option("--seconds", min=1, max=120, help="About how long the whole may take.")
    ] = 20.0,
    fast: Annotated[bool, typer.Option("--fast", help="As short as the story can be told.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write the figures as JSON to standard output, and the story to the other.")
    ] = False,
) -> None:
    """Show the same load three ways: a client per request, one client, aiocloudmap. No AWS account is needed.

    A Cloud Map runs on this machine for the time of the story, and breaks down for a while in its middle.
    Each way is a process of its own under a lowered limit of open files; the server counts their sockets and calls.
    Every figure is measured. When a run does not show what the story says, it says so and leaves with 1.

    [bold]Examples[/bold]

    aiocloudmap demo

    aiocloudmap demo --fast --json > figures.json
    """
    with reporting(context, as_json=as_json):
        broken = _tell(1.0 if fast else seconds, as_json=as_json)
        if broken:
            raise CommandError(
                Exit.FAILURE,
                "StoryBroken",
                f"this run did not show what the story says: {'; '.join(broken)}",
                "A busy machine can do that; try again with more --seconds.",
            )


def _tell(seconds: float, *, as_json: bool) -> list[str]:
    from aiocloudmap.cli.demo.display import Lines, show_ending
    from aiocloudmap.cli.demo.load import can_limit_descriptors
    from aiocloudmap.cli.demo.plan import Plan
    from aiocloudmap.cli.demo.scenario import Story
    from aiocloudmap.cli.demo.score import broken_claims

    plan = Plan.lasting(seconds)
    if not can_limit_descriptors(plan.descriptors):
        raise CommandError(
            Exit.FAILURE,
            "NoLimit",
            "the demo lowers the limit of open files, which this system does not let it do",
            "Run it on Linux or macOS.",
        )
    stream = sys.stderr if as_json else sys.stdout
    if draws(stream):
        from aiocloudmap.cli.demo.display import Picture

        with Picture(console(stream)) as picture:
            story = Story(plan, picture)
            run_async(story.tell())
    else:
        story = Story(plan, Lines(stream))
        run_async(story.tell())
    broken = list(broken_claims(story.scores))
    show_ending(console(stream), story)
    if as_json:
        ways = {way: score.summary() for way, score in story.scores.items()}
        print(json.dumps({"ways": ways, "broken_claims": broken}, indent=2))
    return broken
