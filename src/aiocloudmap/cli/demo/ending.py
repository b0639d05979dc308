"""The end of the story: what happened to each way, and what to write instead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from rich import box
from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from aiocloudmap.cli.demo.ways import WAYS
from aiocloudmap.cli.terminal import printable

if TYPE_CHECKING:
    from aiocloudmap.cli.demo.score import Score
    from aiocloudmap.cli.demo.story import Story

__all__ = ["WRITE_THIS", "show_ending"]

WRITE_THIS: Final = """\
from aiocloudmap import CloudMap

async def handle(order):
    # Made per request, if you like: it is a view of one engine.
    cloud_map = CloudMap()

    # From memory; when the answer expires, one call for all who ask.
    orders = cloud_map.service("shop/orders")
    queue_url = await orders.attribute("QUEUE_URL")

    # Any AWS client, on the same bounded connector.
    events = await cloud_map.client("events")
"""

_LATE: Final = 0.25

_ROWS: Final[Sequence[tuple[str, Callable[[Score], str]]]] = (
    ("requests answered", lambda score: f"{len(score.answers)} of {score.plan.requests}"),
    ("failed", lambda score: str(len(score.faults))),
    ("never tried", lambda score: str(score.never_tried)),
    ("answered late (> 250 ms)", lambda score: str(sum(took > _LATE for _, took in score.answers))),
    ("half waited at most", lambda score: _duration(score.waited(0.5))),
    ("99 of 100 waited at most", lambda score: _duration(score.waited(0.99))),
    ("open sockets, at most", lambda score: str(score.counts.peak)),
    ("calls to Cloud Map", lambda score: str(score.counts.discoveries)),
    ("  while it was down", lambda score: str(score.discoveries_in_outage)),
)


def show_ending(console: Console, story: Story) -> None:
    """Write the table, the reason of each failure, and what to write instead."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("What happened", no_wrap=True)
    for way in story.scores:
        style = "green" if way == "aiocloudmap" else ""
        table.add_column(WAYS[way].title, justify="right", max_width=15, style=style, header_style=style)
    for label, figure in _ROWS:
        table.add_row(label, *(figure(score) for score in story.scores.values()))
    console.print()
    console.print(table)
    for score in story.scores.values():
        if score.faults:
            _show_fault(console, score)
    console.print(Text("Write this instead:\n", style="bold"))
    # A pipe gets the text itself: rich would pad each line to the width of a terminal.
    code = Syntax(WRITE_THIS, "python", theme="ansi_dark", background_color="default", padding=(0, 2))
    console.print(code if console.is_terminal else WRITE_THIS)


def _show_fault(console: Console, score: Score) -> None:
    fault = score.out_of_descriptors or score.faults[0]
    what, style = ("ran out of descriptors", "bold red") if fault.descriptors else ("failed first", "bold yellow")
    told = Text.assemble(
        (f"{WAYS[score.way].title} {what} after {fault.at:.1f} s, ", style),
        f"in {fault.call}: {printable(fault.error)}",
    )
    if fault.descriptors and fault.call == "PutEvents":
        told.append("\nEventBridge had done nothing wrong: it was the next to need a socket.")
    told.append("\n")
    console.print(told, soft_wrap=not console.is_terminal)


def _duration(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
