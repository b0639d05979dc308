"""Draws docs/architecture.svg: the rooms of the package by floor, with the imports between them, read from the code.

    python docs/draw_architecture.py

The floors are those of import-linter's first contract in pyproject.toml.
"""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "src" / "aiocloudmap"
PICTURE = ROOT / "docs" / "architecture.svg"
WIDTH, FLOOR_HEIGHT, GAP, MARGIN = 900, 58, 26, 10
# Every room imports these two floors, so arrows to them would say nothing.
GROUND = ("model", "errors", "version")
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #222 } .room { font-weight: 600 } .files { font-size: 10px }
  rect { fill: #eef3f8; stroke: #7a8ea3 } path { stroke: #7a8ea3; fill: none } marker path { fill: #7a8ea3 }
  @media (prefers-color-scheme: dark) {
    text { fill: #ddd } rect { fill: #223040; stroke: #7a8ea3 }
  }
"""


def floors() -> list[list[str]]:
    """The rooms, from the top floor down."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers: list[str] = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    return [layer.split(" | ") for layer in layers]


def files_of(room: str) -> list[Path]:
    """The modules of a room, which is a file or a folder."""
    folder = SOURCES / room
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def imports_of(room: str) -> set[str]:
    """The rooms that a room imports."""
    found: set[str] = set()
    for path in files_of(room):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("aiocloudmap."):
                found.add((node.module or "").split(".")[1])
    return found - {room}


def _labels(room: str) -> str:
    """The names of a room's files and folders, in as many words as fit."""
    folder = SOURCES / room
    if not folder.is_dir():
        return f"{room}.py"
    entries = sorted(path for path in folder.iterdir() if path.name not in ("__init__.py", "__pycache__"))
    return " ".join(f"{path.name}/" if path.is_dir() else path.stem for path in entries)


def _lines(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] += f"{word} "
    return lines


def draw() -> str:
    """The picture, as SVG."""
    boxes: dict[str, tuple[float, float, float]] = {}
    shapes: list[str] = []
    arrows: list[str] = []
    for number, rooms in enumerate(floors()):
        top = MARGIN + number * (FLOOR_HEIGHT + GAP)
        width = (WIDTH - 2 * MARGIN - (len(rooms) - 1) * GAP) / len(rooms)
        for place, room in enumerate(rooms):
            left = MARGIN + place * (width + GAP)
            boxes[room] = (left, top, width)
            shapes.append(f'<rect x="{left:g}" y="{top}" width="{width:g}" height="{FLOOR_HEIGHT}" rx="6"/>')
            shapes.append(f'<text class="room" x="{left + 10:g}" y="{top + 18}">{escape(room)}</text>')
            for line, text in enumerate(_lines(_labels(room), int(width / 5.6))):
                y = top + 34 + line * 13
                shapes.append(f'<text class="files" x="{left + 10:g}" y="{y}">{escape(text.strip())}</text>')
    for room, (left, top, width) in boxes.items():
        targets = sorted(imports_of(room) & boxes.keys() - set(GROUND))
        for number, target in enumerate(targets, 1):
            x, (to_left, to_top, to_width) = left + width * number / (len(targets) + 1), boxes[target]
            y, to_x = top + FLOOR_HEIGHT, to_left + to_width / 2
            curve = f"M{x:.0f} {y} C{x:.0f} {y + 20} {to_x:.0f} {to_top - 24} {to_x:.0f} {to_top - 4}"
            arrows.append(f'<path d="{curve}" marker-end="url(#arrow)"/>')
    height = 2 * MARGIN + len(floors()) * (FLOOR_HEIGHT + GAP) - GAP
    arrow = (
        '<marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z"/></marker>'
    )
    body = "\n".join(arrows + shapes)  # boxes hide what passes behind them
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'aria-label="The rooms of the package, by floor">\n'
        f"<style>{STYLE}</style>\n<defs>{arrow}</defs>\n{body}\n</svg>\n"
    )


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
