"""`aiocloudmap plan`: estimate the AWS calls of a fleet."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from aiocloudmap.cli.errors import reporting
from aiocloudmap.cli.plan.fleet import AWS_QUOTA, Fleet
from aiocloudmap.cli.terminal import console, counted
from aiocloudmap.errors import ConfigurationError
from aiocloudmap.local.quotas import Rate
from aiocloudmap.model.policy import CachePolicy, ConnectionPolicy

if TYPE_CHECKING:
    from aiocloudmap.cli.plan.plan import Plan

__all__ = ["plan"]

_CACHE, _CONNECTIONS = CachePolicy(), ConnectionPolicy()


def _option(metavar: str | None, text: str, *, default: str | bool = True) -> Any:
    return typer.Option(metavar=metavar, help=text, show_default=default)


def plan(
    context: typer.Context,
    *,
    processes: Annotated[int, _option("N", "Workers, containers or sandboxes, with a cache each.")],
    services: Annotated[int, _option("N", "Services that each process asks for.")],
    empty: Annotated[int, _option("N", "How many of these services have no instance or do not exist.")] = 0,
    loops: Annotated[int, _option("N", "Event loops in each process that ask.")] = 1,
    requests_per_second: Annotated[
        float | None,
        _option(
            "RATE",
            "How often each process's own code asks, over all services.",
            default="every service is asked for all the time",
        ),
    ] = None,
    start_over: Annotated[float, _option("SECONDS", "Start the processes evenly over this time.")] = 0.0,
    call_duration: Annotated[float, _option("SECONDS", "How long AWS takes to answer.")] = 0.01,
    instances: Annotated[int, _option("N", "Registered instances, for the costs.")] = 0,
    ttl: Annotated[float, _option("SECONDS", "CachePolicy.ttl")] = _CACHE.ttl,
    jitter: Annotated[float, _option("PART", "CachePolicy.jitter")] = _CACHE.jitter,
    negative_ttl: Annotated[float, _option("SECONDS", "CachePolicy.negative_ttl")] = _CACHE.negative_ttl,
    stale_while_revalidate: Annotated[
        float, _option("SECONDS", "CachePolicy.stale_while_revalidate")
    ] = _CACHE.stale_while_revalidate,
    refresh: Annotated[
        Literal["background", "inline"], _option(None, "CachePolicy.refresh; inline in Lambda.")
    ] = "background",
    max_calls_per_second: Annotated[
        float, _option("RATE", "ConnectionPolicy.max_calls_per_second")
    ] = _CONNECTIONS.max_calls_per_second,
    max_attempts: Annotated[int, _option("N", "ConnectionPolicy.max_attempts")] = _CONNECTIONS.max_attempts,
    quota_per_second: Annotated[
        float, _option("RATE", "Calls a second that AWS allows this fleet.")
    ] = AWS_QUOTA.per_second,
    quota_burst: Annotated[float, _option("N", "Calls that AWS allows this fleet at once.")] = AWS_QUOTA.burst,
    output: Annotated[
        Literal["table", "json"] | None,
        typer.Option("--output", "-o", help="Output format.", show_default="table on a terminal, else json"),
    ] = None,
) -> None:
    """Estimate how often a fleet of processes calls AWS, what that costs, and how the fleet starts.

    Makes no AWS call. It calculates with AWS's quotas and prices, and rehearses the start of the fleet in memory.

    [bold]Examples[/bold]

    aiocloudmap plan --processes 200 --services 10

    aiocloudmap plan --processes 2000 --services 10 --ttl 60 --jitter 0.2 --start-over 30

    aiocloudmap plan --processes 500 --services 3 --refresh inline --requests-per-second 0.5 -o json

    [dim]The quota belongs to the account and Region.
    Set --quota-per-second and --quota-burst if others use it too, or if AWS raised it.
    The exit code is 0 even if the fleet would be throttled.[/dim]
    """
    with _usage():
        fleet = Fleet(
            processes=processes,
            services=services,
            empty=empty,
            loops=loops,
            requests_per_second=requests_per_second,
            start_over=start_over,
            call_duration=call_duration,
            instances=instances,
            cache=CachePolicy(
                ttl=ttl,
                jitter=jitter,
                negative_ttl=negative_ttl,
                stale_while_revalidate=stale_while_revalidate,
                refresh=refresh,
            ),
            connections=ConnectionPolicy(max_calls_per_second=max_calls_per_second, max_attempts=max_attempts),
            quota=Rate(quota_burst, quota_per_second),
        )
    with reporting(context, as_json=output == "json"):
        from aiocloudmap.cli.plan.plan import plan_for

        made = plan_for(fleet)
        if output == "table" or (output is None and sys.stdout.isatty()):
            _write_table(made)
        else:
            print(json.dumps(_as_json(made), indent=2))


@contextmanager
def _usage() -> Iterator[None]:
    """Report an invalid field of a fleet or policy as the option with the same name."""
    try:
        yield
    except ConfigurationError as error:
        _, field, *_ = error.what.split()  # "invalid quota.burst 0: ..."
        option = field.replace(".", "-").replace("_", "-")
        raise typer.BadParameter(str(error), param_hint=f"'--{option}'") from None


def _write_table(made: Plan) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=False)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for subject, lines in _subjects(made):
        table.add_row(Text(subject, style="bold"), Text("\n".join(lines)))
        table.add_section()
    console(sys.stdout).print(table)


def _subjects(made: Plan) -> Iterator[tuple[str, list[str]]]:
    fleet = made.fleet
    asked = "all the time" if fleet.gap == 0 else f"every {_figure(fleet.gap)} s on average"
    who, what = counted(fleet.processes, "process", "processes"), counted(fleet.services, "service")
    yield "fleet", [f"{who} x {what}, each asked for {asked}"]
    yield "steady state", list(_steady(made))
    yield "a month", list(_month(made))
    yield "cold start", list(_cold_start(made))
    yield "within the quota with", list(_advice(made))


def _steady(made: Plan) -> Iterator[str]:
    steady, allowed = made.steady, made.fleet.quota.per_second
    used = f"{steady.quota_used:,.1%} of the {_figure(allowed)} that AWS allows"
    yield f"{_figure(steady.calls_per_second)} calls a second, {used}"
    if steady.throttled:
        yield f"throttled: an answer is renewed every {_figure(made.fleet.answers / allowed)} s at best"
    if steady.held_back:
        limit = made.fleet.connections.max_calls_per_second
        yield f"each process would exceed its own limit of {limit:g} calls a second"
    yield f"each process asks about a service every {_figure(steady.interval)} s"
    if steady.waits:
        yield f"a caller waits for {steady.waits:.0%} of the renewals"


def _month(made: Plan) -> Iterator[str]:
    month = made.month
    yield f"USD {month.usd:,.2f} for {_figure(month.calls / 1e6)} million calls"
    if month.usd_for_instances:
        yield f"of it USD {month.usd_for_instances:,.2f} for {made.fleet.instances:,} registered instances"


def _cold_start(made: Plan) -> Iterator[str]:
    start, over = made.cold_start, made.fleet.start_over
    yield f"{counted(start.questions, 'question')} {f'over {over:g} s' if over else 'at once'}"
    if start.calls is None or start.throttled is None or start.most_after is None or start.all_after is None:
        yield f"the last answer comes after {_figure(start.at_least)} s at the earliest"
        return
    if start.throttled_from is None:
        yield "AWS throttles nothing"
    else:
        yield (
            f"AWS throttles from {_figure(start.throttled_from)} s on: "
            f"about {start.throttled:,.0f} of {start.calls:,.0f} calls"
        )
        yield f"19 of 20 answers are there after about {_figure(start.most_after)} s"
    yield f"the last answer comes after about {_figure(start.all_after)} s; {_figure(start.at_least)} s at the earliest"


class _Advised(NamedTuple):
    """An advised setting: the least value that is enough (the most for "or less"), and the given one."""

    value: float | None
    given: float
    sense: str = "or more"

    def text(self, name: str) -> str:
        """The option to set."""
        if self.value is None:
            return f"no --{name} is enough"
        advised = f"--{name} {_figure(self.rounded(self.value))} {self.sense}"
        return f"{advised}, so {_figure(self.given)} is enough" if self.is_followed(self.value) else advised

    def figure(self) -> float | None:
        """The value to set: the given one if it is enough."""
        if self.value is None:
            return None
        return self.given if self.is_followed(self.value) else self.rounded(self.value)

    def is_followed(self, value: float) -> bool:
        """Whether the given value is enough."""
        return self.given >= value if self.sense == "or more" else self.given <= value

    def rounded(self, value: float) -> float:
        """Round so that the figure is still enough: up for "or more", down for "or less"."""
        digits = max(0, min(3, 4 - len(str(int(value)))))
        unit: float = 10.0**-digits
        steps = math.ceil(value / unit - 1e-6) if self.sense == "or more" else math.floor(value / unit + 1e-6)
        return round(steps * unit, digits)


def _advised(made: Plan) -> dict[str, _Advised]:
    advice, cache, connections = made.advice, made.fleet.cache, made.fleet.connections
    return {
        "ttl": _Advised(advice.ttl, cache.ttl),
        "ttl_after_start": _Advised(advice.ttl_after_start, cache.ttl),
        "jitter": _Advised(advice.jitter, cache.jitter),
        "start_over": _Advised(advice.start_over, made.fleet.start_over),
        "max_calls_per_second": _Advised(advice.max_calls_per_second, connections.max_calls_per_second, "or less"),
    }


def _advice(made: Plan) -> Iterator[str]:
    advice, advised = made.advice, _advised(made)
    yield f"steady: {advised['ttl'].text('ttl')}"
    if advice.ttl_after_start != 0:
        yield f"first renewals: {advised['ttl_after_start'].text('ttl')}"
    if advice.jitter is not None:
        yield f"first renewals, without the burst: {advised['jitter'].text('jitter')}"
    if advice.start_over:
        yield f"cold start: {advised['start_over'].text('start-over')}"
        if advice.max_calls_per_second is not None:
            yield f"cold start: {advised['max_calls_per_second'].text('max-calls-per-second')}"


def _as_json(made: Plan) -> dict[str, dict[str, Any]]:
    parts = {part: asdict(getattr(made, part)) for part in ("steady", "month", "cold_start")}
    parts["advice"] = {name: each.figure() for name, each in _advised(made).items()}
    return {part: {name: _seven_digits(value) for name, value in each.items()} for part, each in parts.items()}


def _seven_digits(value: Any) -> Any:
    if not isinstance(value, float) or not math.isfinite(value):
        return value
    value = float(f"{value:.7g}")
    return int(value) if value.is_integer() else value


def _figure(value: float) -> str:
    """The value with four significant digits, all digits before the point, and at most three after it."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}" if value >= 1 else f"{round(value, 3):g}"
