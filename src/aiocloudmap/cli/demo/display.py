"""The live picture: for each way its open sockets, its calls to AWS and its answers over time, within 80 columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TextIO

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from aiocloudmap.cli.demo.strategies import WAYS
from aiocloudmap.cli.terminal import printable

if TYPE_CHECKING:
    from aiocloudmap.cli.demo.scenario import Story
    from aiocloudmap.cli.demo.score import Score

__all__ = ["WRITE_THIS", "Lines", "Picture", "show_ending", "sparkline"]


# MERGED cli/demo/lines: The story as plain lines, for a pipe, a log or a dumb terminal: no colours, no cursor movement.


class Lines:
    """Writes a line for what happens, and one a second for how things stand."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._told: tuple[str, int] = ("", 0)

    def happened(self, text: str) -> None:
        """Write it."""
        self._write(text)

    def moved(self, story: Story) -> None:
        """Write how the way under load stands, once a second."""
        for score in story.scores.values():
            moment = (score.way, int(score.now))
            if score.state == "running" and moment[1] and moment != self._told:
                self._told = moment
                self._write(
                    f"  {score.now:4.1f} s  {len(score.answers):4d} answered  {len(score.faults):3d} failed"
                    f"  {score.counts.open:4d} sockets  {score.counts.discoveries:4d} calls to AWS"
                )

    def _write(self, text: str) -> None:
        self._stream.write(printable(text) + "\n")
        self._stream.flush()


_BARS: Final = " ▁▂▃▄▅▆▇█"
_PLAIN_BARS: Final = " .:-=+*#@"
_WIDTH: Final = 40
_LABEL: Final = 15
_WIDEST_SENTENCE: Final = 75


class Picture:
    """Draws the story as it moves; the last picture stays on the screen."""

    def __init__(self, console: Console) -> None:
        self._console = console
        knows_unicode = "utf" in console.encoding.lower()
        self._bars, self._wrong = (_BARS, "✗") if knows_unicode else (_PLAIN_BARS, "x")
        self._sentence = ""
        # Refreshed by the story's own movement: a thread of rich's would draw half-made figures.
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def happened(self, text: str) -> None:
        """Show the sentence beneath the picture, instead of the one before."""
        self._sentence = text

    def moved(self, story: Story) -> None:
        """Draw what is so now."""
        self._live.update(self.drawn(story), refresh=True)

    def drawn(self, story: Story) -> RenderableType:
        """The whole picture."""
        plan = story.plan
        title = Text.assemble(
            ("The same load three ways", "bold"),
            f": {plan.requests} requests, {plan.rate:.0f} a second; {plan.descriptors} descriptors each.",
        )
        ways = (self._way(number, score) for number, score in enumerate(story.scores.values(), 1))
        sentence = Text(self._sentence, style="italic", no_wrap=True)
        # The terminal writes ^C behind the last line: one that reaches the edge would push the picture down.
        sentence.truncate(_WIDEST_SENTENCE, overflow="ellipsis")
        return Group(title, *ways, Text(), sentence)

    def _way(self, number: int, score: Score) -> RenderableType:
        head = Text(f"{number}  {WAYS[score.way].title}".ljust(4 + _LABEL + _WIDTH - 18), style="bold")
        head.append_text(_state(score))
        if score.state in ("starting", "ready"):
            return Group(Text(), head)
        span = max(score.plan.act, score.now)
        sockets = _levels([(at, counts.open) for at, counts in score.samples], span)
        calls = _growth([(at, counts.discoveries) for at, counts in score.samples], span)
        answers = _occurrences([at for at, _ in score.answers], span)
        failed = [count > 0 for count in _occurrences([fault.at for fault in score.faults], span)]
        full = max(score.plan.rate * span / _WIDTH, 1.0)
        count = score.counts
        return Group(
            Text(),
            head,
            self._line(
                "open sockets", self._spark(sockets, score.plan.descriptors, "cyan"), f"{count.open}, peak {count.peak}"
            ),
            self._line("calls to AWS", self._spark(calls, full, "magenta"), f"{count.discoveries}"),
            self._line("answers", self._spark(answers, full, "green", failed), f"{len(score.answers)}"),
        )

    def _line(self, label: str, spark: Text, figure: str) -> Text:
        return Text.assemble(f"   {label:{_LABEL}}", spark, f"  {figure}")

    def _spark(self, levels: Sequence[float], full: float, style: str, failed: Sequence[bool] = ()) -> Text:
        line = Text(sparkline(levels, full, self._bars), style)
        for position in (position for position, wrong in enumerate(failed) if wrong):
            line = line[:position] + Text(self._wrong, "bold red") + line[position + 1 :]
        return line


def sparkline(levels: Sequence[float], full: float, bars: str = _BARS) -> str:
    """One character for each level, from empty to `full` and above; anything above nothing is seen."""
    most = len(bars) - 1
    return "".join(bars[min(most, max(int(level > 0), round(level / full * most)))] for level in levels)


def _levels(samples: Sequence[tuple[float, float]], span: float) -> list[float]:
    """The highest level in each column; one without a sample repeats the level before it."""
    columns, last = [0.0] * _WIDTH, -1
    for at, level in samples:
        column = _column(at, span)
        for skipped in range(last + 1, column):
            columns[skipped] = columns[last] if last >= 0 else 0.0
        columns[column] = max(columns[column], level)
        last = column
    return columns


def _growth(samples: Sequence[tuple[float, float]], span: float) -> list[float]:
    """By how much a count grew in each column."""
    columns, before = [0.0] * _WIDTH, 0.0
    for at, count in samples:
        columns[_column(at, span)] += count - before
        before = count
    return columns


def _occurrences(times: Iterable[float], span: float) -> list[float]:
    """How often it happened in each column."""
    columns = [0.0] * _WIDTH
    for at in times:
        columns[_column(at, span)] += 1
    return columns


def _column(at: float, span: float) -> int:
    return min(_WIDTH - 1, max(0, int(at / span * _WIDTH)))


def _state(score: Score) -> Text:
    if score.state == "dead":
        return Text("Too many open files", style="bold red")
    if score.outage:
        return Text("Cloud Map is down", style="bold yellow")
    words = {"starting": "starting", "ready": "waits for its turn", "running": "under load", "done": "done"}
    return Text(words[score.state], style="green" if score.state == "done" and not score.faults else "dim")


# MERGED cli/demo/ending: The end of the story: what happened to each way, and what to write instead.


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
