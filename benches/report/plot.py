"""Bars in groups, as an SVG that brings its own background, so that it is legible on a light page and on a dark one."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from html import escape

WIDTH, LABELS, VALUES, MARGIN, ROW = 760, 230, 120, 20, 22

STYLE = """
    .page { fill: #ffffff; stroke: #d0d7de } .text { fill: #1f2328 } .faint { fill: #59636e } .axis { stroke: #d0d7de }
    .ours { fill: #0a7f6e } .limit { fill: #8c959f } .other { fill: #b8c4d0 }
    @media (prefers-color-scheme: dark) {
      .page { fill: #0d1117; stroke: #3d444d } .text { fill: #e6edf3 } .faint { fill: #9198a1 } .axis { stroke: #3d444d }
      .ours { fill: #2dbf9f } .limit { fill: #656c76 } .other { fill: #4a5563 }
    }
    text { font: 13px system-ui, sans-serif } .title { font-size: 16px; font-weight: 600 } .group { font-weight: 600 }
"""


@dataclass
class Bar:
    label: str
    value: float
    kind: str = "other"
    """`ours`, `limit` or `other`."""


@dataclass
class Group:
    name: str
    bars: list[Bar]
    note: str = ""


def bars(title: str, subtitle: str, groups: list[Group], end=max) -> str:
    """Each group has a scale of its own, whose end `end` finds. A longer bar is cut, and its figure tells."""
    body: list[str] = []
    y = 70
    for group in groups:
        body += [text(MARGIN, y, group.name, "text group"), text(WIDTH - MARGIN, y, group.note, "faint", "end")]
        y += 8
        top, last = y, end([bar.value for bar in group.bars])
        for bar in group.bars:
            body += draw(bar, y, last)
            y += ROW
        body.append(f'<line class="axis" x1="{LABELS}" y1="{top}" x2="{LABELS}" y2="{y}"/>')
        y += 32
    height = y - 10
    frame = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {frame} role="img">',
            f"  <title>{escape(title)}</title>",
            f"  <desc>{escape('; '.join(map(described, groups)))}</desc>",
            f"  <style>{STYLE}  </style>",
            f'  <rect class="page" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="6"/>',
            "  " + text(MARGIN, 28, title, "text title"),
            "  " + text(MARGIN, 46, subtitle, "faint"),
            *("  " + line for line in body),
            "</svg>\n",
        ]
    )


def described(group: Group) -> str:
    return f"{group.name}: {', '.join(f'{bar.label} {bar.value:,.0f}' for bar in group.bars)}"


def near(values: list[float]) -> float:
    """The largest value that is not far beyond the others: for plots in which a long bar is a bad one."""
    return max(value for value in values if value <= 3 * statistics.median(values))


def draw(bar: Bar, y: int, end: float) -> list[str]:
    room = WIDTH - LABELS - VALUES
    cut = bar.value > end
    width = max(1.5, min(1.0, bar.value / max(end, 1.0)) * room)
    drawn = [
        text(LABELS - 8, y + 15, bar.label, "text", "end"),
        f'<rect class="{bar.kind}" x="{LABELS}" y="{y + 4}" width="{width:.1f}" height="{ROW - 8}"/>',
        text(LABELS + width + 8, y + 15, f"{bar.value:,.0f}", "text"),
    ]
    if cut:
        x = LABELS + width - 24
        drawn.append(f'<path class="page" d="M{x},{y + 2} l8,0 l-6,{ROW - 4} l-8,0 z" stroke="none"/>')
    return drawn


def text(x: float, y: float, words: str, kind: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(words)}</text>'
