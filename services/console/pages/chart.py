"""The difference-from-control chart, as geometry: an SVG is drawn from it, without scripts or inline styles."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from penstock.events import Authority, GateVerdict, Word
from penstock.events.verdicts import Direction
from services.console.read_models.json_views import worst_first
from services.console.read_models.rollout import Book, GatePoint, Point
from services.console.wording.differences import Difference
from services.console.wording.words import gate_word, shown_word

WIDTH, HEIGHT = 760, 220
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 14, 26
_LEAST_SPAN_S = 10.0
_LEAST_RELATIVE, _LEAST_POINTS = 0.01, 0.0002
_LABEL_WIDTH = 80
_STEPS = (
    0.0001,
    0.0002,
    0.0005,
    0.001,
    0.002,
    0.005,
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.25,
    0.5,
    1.0,
    2.0,
    5.0,
    10.0,
    20.0,
    50.0,
)


@dataclass(frozen=True)
class Dot:
    """One window: where it is drawn, its verdict, and its numbers as words."""

    x: float
    y: float
    word: str
    title: str


@dataclass(frozen=True)
class Row:
    """One line of the table beside the chart."""

    at: datetime
    stage: str
    judged: int
    estimate: str
    band: str
    word: Word


@dataclass(frozen=True)
class Chart:
    """Geometry in SVG user units.

    Attributes:
        measure: in what differences are drawn.
        band, line: point lists (between the bounds, and the estimate); marks: (x, label, anchor) of vertical lines.
        limit, pass_line: where a breach and a pass have their lines.
    """

    gate: str
    kind: str
    measure: str
    word: str
    band: str
    line: str
    dots: Sequence[Dot]
    zero: float
    limit: float | None
    limit_label: str
    ticks: Sequence[tuple[float, str]]
    times: Sequence[tuple[float, str]]
    marks: Sequence[tuple[float, str, str]]
    rows: Sequence[Row]
    pass_line: float | None = None
    pass_label: str = ""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    top: int = TOP
    right: int = WIDTH - RIGHT
    bottom: int = HEIGHT - BOTTOM


class _Scale:
    """Maps time and difference to the plot, clamped to it."""

    def __init__(self, points: Sequence[tuple[Point, GatePoint]]) -> None:
        self._first = points[0][0].at
        self._span = max((points[-1][0].at - self._first).total_seconds(), _LEAST_SPAN_S)
        self.low, self.high = _domain([gate.difference for _, gate in points])

    def x(self, at: datetime) -> float:
        share = (at - self._first).total_seconds() / self._span
        return round(LEFT + min(max(share, 0.0), 1.0) * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


def charts_of(book: Book) -> list[Chart]:
    """Return a chart of every gate that has been measured, worst first."""
    charts = []
    for gate in worst_first(book.gates):
        points = _drawn(book.points_of(gate.gate))
        if len(points) > 1:
            charts.append(_chart(book, gate, points))
    return charts


def _drawn(points: Sequence[tuple[Point, GatePoint]]) -> Sequence[tuple[Point, GatePoint]]:
    """Return the measured windows, those of the newest one's measure: two measures have no common axis."""
    measured = [pair for pair in points if pair[1].difference.estimate is not None]
    return [pair for pair in measured if pair[1].difference.in_points is measured[-1][1].difference.in_points]


def _chart(book: Book, gate: GateVerdict, points: Sequence[tuple[Point, GatePoint]]) -> Chart:
    scale = _Scale(points)
    seen = [(scale.x(point.at), found.difference) for point, found in points]
    lows = [(x, scale.y(each.low if each.low is not None else scale.low)) for x, each in seen]
    highs = [(x, scale.y(each.high if each.high is not None else scale.high)) for x, each in seen]
    middle = [(x, scale.y(each.estimate or 0.0)) for x, each in seen]
    last = points[-1][1].difference
    return Chart(
        gate=gate.gate,
        kind=gate.kind,
        measure="in percentage points" if last.in_points else "relative",
        word=gate_word(gate),
        band=_joined([*highs, *reversed(lows)]),
        line=_joined(middle),
        dots=[
            Dot(x, y, shown_word(g.word, gate.authority), _title(gate.gate, p, g))
            for (x, y), (p, g) in _thinned(list(zip(middle, points, strict=True)))
        ],
        zero=scale.y(0.0),
        limit=scale.y(last.limit) if last.limit is not None else None,
        limit_label=_limit_label(gate, last),
        pass_line=scale.y(last.pass_line) if last.pass_line is not None else None,
        pass_label="" if last.pass_line is None else f"passes {_side(last, 'below')} {last.words(last.pass_line)}",
        ticks=_ticks(scale, last),
        times=_times(scale, points),
        marks=_marks(book, scale, points),
        rows=[_row(p, g) for p, g in points[-60:]],
    )


def _limit_label(gate: GateVerdict, last: Difference) -> str:
    if last.limit is None:
        return ""
    if last.pass_line is None:
        return f"limit {last.limit_words}"
    verb = {Authority.HOLD: "holds", Authority.ADVISE: "advises"}.get(gate.authority, "rolls back")
    return f"{verb} {_side(last, 'above')} {last.words(last.limit)}"


def _side(last: Difference, up: str) -> str:
    """Return `up`, or its opposite where the lines lie below control."""
    below = (last.limit or last.pass_line or 0.0) < 0
    return up if not below else {"above": "below", "below": "above"}[up]


def _domain(differences: Sequence[Difference]) -> tuple[float, float]:
    """Show all estimates, the limit and the last band; early bands are as wide as the world and may be cut."""
    estimates = [each.estimate or 0.0 for each in differences]
    last = differences[-1]
    limit = max(abs(last.limit or 0.0), 0.75 * abs(last.pass_line or 0.0))
    least = _LEAST_POINTS if last.in_points else _LEAST_RELATIVE
    reach = max(limit * 2.5, 1.3 * max(abs(value) for value in estimates), 2.0 * least)
    above, below = (0.5, 1.5) if last.direction is Direction.DOWN else (1.5, 0.5)
    high = max(*estimates, limit * above, min(last.high if last.high is not None else 0.0, reach), least)
    low = min(*estimates, -limit * below, max(last.low if last.low is not None else 0.0, -reach), -least)
    room = (high - low) * 0.06
    return low - room, high + room


def _ticks(scale: _Scale, shown: Difference) -> list[tuple[float, str]]:
    step = next((s for s in _STEPS if (scale.high - scale.low) / s <= 6), _STEPS[-1])
    first = int(scale.low / step)
    values = [step * number for number in range(first, int(scale.high / step) + 1)]
    return [(scale.y(value), shown.words(value) if value else "0") for value in values if value >= scale.low]


def _times(scale: _Scale, points: Sequence[tuple[Point, GatePoint]]) -> list[tuple[float, str]]:
    first, last = scale.x(points[0][0].at), scale.x(points[-1][0].at)
    count = max(2, min(6, len(points), int((last - first) / _LABEL_WIDTH) + 1))
    chosen = [points[round(place * (len(points) - 1) / (count - 1))][0].at for place in range(count)]
    return (
        [(scale.x(at), at.strftime("%H:%M:%S")) for at in chosen]
        if last - first > _LABEL_WIDTH
        else [(first, points[0][0].at.strftime("%H:%M:%S"))]
    )


def _marks(book: Book, scale: _Scale, points: Sequence[tuple[Point, GatePoint]]) -> list[tuple[float, str, str]]:
    first, last = points[0][0].at, points[-1][0].at
    marks = [
        (scale.x(entry.time), entry.stage, "start" if scale.x(entry.time) < WIDTH - 120 else "end")
        for entry in book.entered
        if entry.time <= last
    ]
    if book.started is not None and first <= book.started.time:
        marks.append((scale.x(book.started.time), "rollback", "end"))
    return marks


def _thinned(
    pairs: list[tuple[tuple[float, float], tuple[Point, GatePoint]]],
) -> list[tuple[tuple[float, float], tuple[Point, GatePoint]]]:
    step = max(1, len(pairs) // 90)
    return [pair for place, pair in enumerate(pairs) if place % step == 0 or place == len(pairs) - 1]


def _title(name: str, point: Point, gate: GatePoint) -> str:
    row = _row(point, gate)
    return f"{point.at:%H:%M:%S} {point.stage}: {name} {row.estimate}, bounds {row.band}, {gate.word.replace('_', ' ')}"


def _row(point: Point, gate: GatePoint) -> Row:
    shown = gate.difference
    return Row(point.at, point.stage, point.judged, shown.words(shown.estimate), shown.band, gate.word)


def _joined(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)
