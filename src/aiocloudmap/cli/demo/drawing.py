"""The live picture: for each way its open sockets, its calls to AWS and its answers over time, within 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from aiocloudmap.cli.demo.ways import WAYS

if TYPE_CHECKING:
    from aiocloudmap.cli.demo.score import Score
    from aiocloudmap.cli.demo.story import Story

__all__ = ["Picture", "sparkline"]

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
