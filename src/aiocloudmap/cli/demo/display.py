"""Shows the demo: live figures on a terminal or as plain lines, and a summary, all within 80 columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Final, TextIO

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from aiocloudmap.cli.demo.score import Counts, Score
from aiocloudmap.cli.demo.strategies import STRATEGIES
from aiocloudmap.cli.terminal import can_draw, console, printable

__all__ = ["WRITE_THIS", "LiveDisplay", "PlainDisplay", "display_on", "show_summary", "sparkline"]


@contextmanager
def display_on(stream: TextIO) -> Iterator[LiveDisplay | PlainDisplay]:
    """A drawing on a terminal that can show it, else plain lines."""
    if can_draw(stream):
        display = LiveDisplay(console(stream))
        with display.live:
            yield display
    else:
        yield PlainDisplay(stream)


class PlainDisplay:
    """Writes a line for each message, and one a second with figures: for a pipe, a log or a dumb terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last: tuple[str, int] = ("", 0)

    def message(self, text: str) -> None:
        """Write a sentence about what happened."""
        self._stream.write(printable(text) + "\n")
        self._stream.flush()

    def update(self, scores: Mapping[str, Score]) -> None:
        """Write the figures of the current run, once a second."""
        for score in scores.values():
            moment = (score.strategy, int(score.now))
            if score.state == "running" and moment[1] and moment != self._last:
                self._last = moment
                self.message(
                    f"  {score.now:4.1f} s  {len(score.answers):4d} answered  {len(score.failures):3d} failed"
                    f"  {score.counts.open:4d} sockets  {score.counts.discoveries:4d} calls to AWS"
                )


_BARS: Final = " ▁▂▃▄▅▆▇█"
_PLAIN_BARS: Final = " .:-=+*#@"
_WIDTH: Final = 40
_LABEL_WIDTH: Final = 15
_MAX_MESSAGE: Final = 75


class LiveDisplay:
    """Draws the figures again and again. The last drawing stays on the screen."""

    def __init__(self, console: Console) -> None:
        self._console = console
        knows_unicode = "utf" in console.encoding.lower()
        self._bars, self._failed = (_BARS, "✗") if knows_unicode else (_PLAIN_BARS, "x")
        self._message = ""
        # `update` refreshes it. A thread of rich could draw while figures change.
        self.live = Live(console=console, auto_refresh=False)

    def message(self, text: str) -> None:
        """Show the message below the figures, instead of the previous message."""
        self._message = text

    def update(self, scores: Mapping[str, Score]) -> None:
        """Draw the current figures."""
        self.live.update(self.drawing(scores), refresh=True)

    def drawing(self, scores: Mapping[str, Score]) -> RenderableType:
        """The figures of all strategies, and the message."""
        schedule = next(iter(scores.values())).schedule
        title = Text.assemble(
            ("The same load three ways", "bold"),
            f": {schedule.requests} requests, {schedule.rate:.0f} a second; {schedule.descriptors} descriptors each.",
        )
        runs = (self._run(number, score) for number, score in enumerate(scores.values(), 1))
        message = Text(self._message, style="italic", no_wrap=True)
        # The terminal writes ^C after the last line. A full line would wrap and move the drawing.
        message.truncate(_MAX_MESSAGE, overflow="ellipsis")
        return Group(title, *runs, Text(), message)

    def _run(self, number: int, score: Score) -> RenderableType:
        head = Text(f"{number}  {STRATEGIES[score.strategy].title}".ljust(4 + _LABEL_WIDTH + _WIDTH - 18), style="bold")
        head.append_text(_state(score))
        if score.state in ("starting", "ready"):
            return Group(Text(), head)
        span = max(score.schedule.length, score.now)
        sockets = _levels([(at, counts.open) for at, counts in score.samples], span)
        changes = pairwise([(0.0, Counts()), *score.samples])
        calls = _sums(((at, now.discoveries - before.discoveries) for (_, before), (at, now) in changes), span)
        answers = _sums(((at, 1) for at, _ in score.answers), span)
        failed = _sums(((failure.at, 1) for failure in score.failures), span)
        full = max(score.schedule.rate * span / _WIDTH, 1.0)
        count, limit = score.counts, score.schedule.descriptors
        return Group(
            Text(),
            head,
            self._line("open sockets", f"{count.open}, peak {count.peak}", sockets, limit, "cyan"),
            self._line("calls to AWS", f"{count.discoveries}", calls, full, "magenta"),
            self._line("answers", f"{len(score.answers)}", answers, full, "green", failed=failed),
        )

    def _line(
        self, label: str, figure: str, levels: list[float], full: float, style: str, *, failed: Sequence[float] = ()
    ) -> Text:
        bars = [(bar, style) for bar in sparkline(levels, full, self._bars)]
        for position, count in enumerate(failed):
            if count:
                bars[position] = (self._failed, "bold red")
        return Text.assemble(f"   {label:{_LABEL_WIDTH}}", *bars, f"  {figure}")


def sparkline(levels: Sequence[float], full: float, bars: str = _BARS) -> str:
    """One character for each level, from 0 to `full` or more. A level above 0 is always visible."""
    most = len(bars) - 1
    return "".join(bars[min(most, max(int(level > 0), round(level / full * most)))] for level in levels)


def _levels(samples: Sequence[tuple[float, float]], span: float) -> list[float]:
    """The highest level in each column. A column without samples repeats the previous level."""
    columns, last = [0.0] * _WIDTH, -1
    for at, level in samples:
        column = _column(at, span)
        for skipped in range(last + 1, column):
            columns[skipped] = columns[last] if last >= 0 else 0.0
        columns[column] = max(columns[column], level)
        last = column
    return columns


def _sums(amounts: Iterable[tuple[float, float]], span: float) -> list[float]:
    """The sum of the amounts in each column."""
    columns = [0.0] * _WIDTH
    for at, amount in amounts:
        columns[_column(at, span)] += amount
    return columns


def _column(at: float, span: float) -> int:
    return min(_WIDTH - 1, max(0, int(at / span * _WIDTH)))


def _state(score: Score) -> Text:
    if score.state == "dead":
        return Text("Too many open files", style="bold red")
    if score.outage:
        return Text("Cloud Map is down", style="bold yellow")
    words = {"starting": "starting", "ready": "waiting", "running": "under load", "done": "done"}
    return Text(words[score.state], style="green" if score.state == "done" and not score.failures else "dim")


WRITE_THIS: Final = """\
from aiocloudmap import CloudMap

async def handle(order):
    # One per request is fine: it shares one engine.
    cloud_map = CloudMap()

    # From memory. After the ttl, one call serves all callers.
    orders = cloud_map.service("shop/orders")
    queue_url = await orders.attribute("QUEUE_URL")

    # Any AWS client, on the same bounded connector.
    events = await cloud_map.client("events")
"""

_ROWS: Final[Sequence[tuple[str, Callable[[Score], str]]]] = (
    ("requests answered", lambda score: f"{len(score.answers)} of {score.schedule.requests}"),
    ("failed", lambda score: str(len(score.failures))),
    ("never tried", lambda score: str(score.never_tried)),
    ("answered late (> 250 ms)", lambda score: str(sum(took > 0.25 for _, took in score.answers))),
    ("median wait", lambda score: _duration(score.waited(0.5))),
    ("99th percentile wait", lambda score: _duration(score.waited(0.99))),
    ("most open sockets", lambda score: str(score.counts.peak)),
    ("calls to Cloud Map", lambda score: str(score.counts.discoveries)),
    ("  while it was down", lambda score: str(score.discoveries_in_outage)),
)


def show_summary(console: Console, scores: Mapping[str, Score]) -> None:
    """Write the table of results, the reason of each failure, and the recommended code."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("What happened", no_wrap=True)
    for strategy in scores:
        style = "green" if strategy == "aiocloudmap" else ""
        table.add_column(STRATEGIES[strategy].title, justify="right", max_width=15, style=style, header_style=style)
    for label, figure in _ROWS:
        table.add_row(label, *(figure(score) for score in scores.values()))
    console.print()
    console.print(table)
    for score in scores.values():
        if score.failures:
            _show_failure(console, score)
    console.print(Text("Write this instead:\n", style="bold"))
    # For a pipe, rich would pad each line to the width of a terminal.
    code = Syntax(WRITE_THIS, "python", theme="ansi_dark", background_color="default", padding=(0, 2))
    console.print(code if console.is_terminal else WRITE_THIS)


def _show_failure(console: Console, score: Score) -> None:
    failure = score.out_of_descriptors or score.failures[0]
    what, style = ("ran out of descriptors", "bold red") if failure.descriptors else ("failed first", "bold yellow")
    line = Text.assemble(
        (f"{STRATEGIES[score.strategy].title} {what} after {failure.at:.1f} s, ", style),
        f"in {failure.call}: {printable(failure.error)}",
    )
    if failure.descriptors and failure.call == "PutEvents":
        line.append("\nEventBridge is not the cause: it was only the next to need a socket.")
    line.append("\n")
    console.print(line, soft_wrap=not console.is_terminal)


def _duration(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
