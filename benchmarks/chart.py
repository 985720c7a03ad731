"""A bar chart as SVG, which follows the reader's light or dark theme."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from msgspec import Struct

WIDTH = 600
LABELS = 262
"""Where the bars begin: the peers' names are to the left."""
VALUES = 64
"""What the numbers to the right of the bars need."""
TOP = 56
BAR = 22
ROW = 30
HEADING = 34
GAP = 14

_STYLE = """
    text { font: 14px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif }
    .title { font-size: 17px; font-weight: 600 }
    .heading { font-weight: 600 }
    .strong { font-weight: 600 }
    .back { fill: #ffffff }
    text { fill: #1f2328 }
    .label { fill: #59636e }
    .label.strong { fill: #1f2328 }
    .bar { fill: #b6c2cf }
    .bar.strong { fill: #0b6e99 }
    .axis { stroke: #d1d9e0 }
    @media (prefers-color-scheme: dark) {
      .back { fill: #0d1117 }
      text { fill: #f0f6fc }
      .label { fill: #9198a1 }
      .label.strong { fill: #f0f6fc }
      .bar { fill: #4a5561 }
      .bar.strong { fill: #4cb3dd }
      .axis { stroke: #3d444d }
    }
"""


class Bar(Struct, frozen=True):
    """One bar; a strong one stands out."""

    label: str
    value: float
    strong: bool = False


class Group(Struct, frozen=True):
    """Bars under a heading."""

    heading: str
    bars: Sequence[Bar]


def draw(title: str, groups: Sequence[Group]) -> str:
    """The chart: horizontal bars on one scale that begins at zero."""
    largest = max(bar.value for group in groups for bar in group.bars)
    scale = (WIDTH - LABELS - VALUES) / largest
    height = TOP + sum(HEADING + ROW * len(group.bars) + GAP for group in groups)
    spoken = "; ".join(
        f"{group.heading}: " + ", ".join(f"{bar.label} {_times(bar)}" for bar in group.bars)
        for group in groups
    )
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" aria-labelledby="title desc">',
        f'  <title id="title">{escape(title)}</title>',
        f'  <desc id="desc">{escape(spoken)}</desc>',
        f"  <style>{_STYLE}  </style>",
        f'  <rect class="back" width="{WIDTH}" height="{height}" rx="8"/>',
        f'  <text class="title" x="24" y="36">{escape(title)}</text>',
    ]
    y = TOP
    for group in groups:
        lines += [f"  {line}" for line in _group(group, y, scale)]
        y += HEADING + ROW * len(group.bars) + GAP
    return "\n".join([*lines, "</svg>"]) + "\n"


def _group(group: Group, y: int, scale: float) -> Iterator[str]:
    yield f'<text class="heading" x="24" y="{y + 22}">{escape(group.heading)}</text>'
    first = y + HEADING
    last = first + ROW * len(group.bars)
    for number, bar in enumerate(group.bars):
        top = first + number * ROW + (ROW - BAR) // 2
        middle = top + BAR // 2 + 5
        strong = " strong" if bar.strong else ""
        width = bar.value * scale
        yield (f'<text class="label{strong}" x="24" y="{middle}">{escape(bar.label)}</text>')
        yield (
            f'<rect class="bar{strong}" x="{LABELS}" y="{top}" width="{width:.1f}" '
            f'height="{BAR}" rx="3"/>'
        )
        x = LABELS + width + 8
        yield f'<text class="value{strong}" x="{x:.1f}" y="{middle}">{_times(bar)}</text>'
    yield f'<line class="axis" x1="{LABELS}" y1="{first}" x2="{LABELS}" y2="{last}"/>'


def _times(bar: Bar) -> str:
    return f"{bar.value:.2f}×"
