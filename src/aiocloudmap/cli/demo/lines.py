"""The story as plain lines, for a pipe, a log or a dumb terminal: no colours, no cursor movement."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from aiocloudmap.cli.terminal import printable

if TYPE_CHECKING:
    from aiocloudmap.cli.demo.story import Story

__all__ = ["Lines"]


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
