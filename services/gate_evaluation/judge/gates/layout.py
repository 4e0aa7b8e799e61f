"""Lays out the rows of all gates in one `EProcesses`, ordered by form, and records which rows make which gate."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.gate_evaluation.judge.arrays import Floats
from services.gate_evaluation.judge.evidence.e_processes import EProcesses, Form, Row
from services.gate_evaluation.judge.evidence.gate_rows import Context, GateRow, Role
from services.gate_evaluation.judge.gates.history import History
from services.gate_evaluation.judge.gates.kinds import WITH_EVENTS
from services.gate_evaluation.judge.spec import JudgeSpec

_REQUESTS_UNKNOWN = 1000.0


@dataclass(frozen=True, slots=True)
class GateLayout:
    """Rows of one gate among the e-processes.

    Attributes:
        fail: (row, weight) of F.
        passing: groups of (row, weight); P is the least group.
        low, high: rows of the displayed interval; low by rising null, high by falling null.
        low_nulls, high_nulls: their ln T0 (quantile gates know theirs only in the window).
    """

    fail: tuple[tuple[int, float], ...]
    passing: tuple[tuple[tuple[int, float], ...], ...]
    low: slice
    high: slice
    low_nulls: Floats
    high_nulls: Floats


@dataclass(frozen=True, slots=True)
class Layout:
    """The e-processes and the rows of each gate, in the plan's order."""

    processes: EProcesses
    gates: tuple[GateLayout, ...]
    rows_of: tuple[NDArray[np.intp], ...]
    pass_rows: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Placing:
    """What the grids were placed by, before the first window; kept, so that a restart lays out the same rows."""

    requests: float
    anchors: list[list[float]]


def place(spec: JudgeSpec, history: History) -> Placing:
    """Return where the history puts the grids of a new rollout."""
    requests = spec.window_requests or (history.requests if history.windows else _REQUESTS_UNKNOWN)
    anchors = {each.gate.name: each.anchor() for each in history.comparisons}
    return Placing(requests, [anchors.get(gate.name, []) for gate in spec.gates])


def lay(spec: JudgeSpec, history: History, weights: dict[str, float], placing: Placing, *, interval: bool) -> Layout:
    """Return the e-processes of a rollout and their layout."""
    shrunk = [split * (1.0 - split) for split in spec.splits]
    flat: list[tuple[int, GateRow]] = []
    order = {gate.name: index for index, gate in enumerate(spec.gates)}
    for comparison in history.comparisons:
        index = order[comparison.gate.name]
        context = Context(
            share=spec.alpha * weights[comparison.gate.name],
            alpha=spec.alpha,
            horizon=spec.onset_horizon,
            requests=placing.requests,
            least=min(shrunk),
            most=max(shrunk),
            interval=interval,
            parameters=history.parameters,
        )
        flat += [(index, part) for part in comparison.rows(context, placing.anchors[index])]
    flat.sort(key=lambda pair: pair[1].row.form)
    rows: list[Row] = [part.row for _, part in flat]
    processes = EProcesses(rows, history.dispersion.prior.size, history.parameters)
    by_gate: list[list[tuple[int, GateRow]]] = [[] for _ in spec.gates]
    for row, (index, part) in enumerate(flat):
        by_gate[index].append((row, part))
    for comparison in history.comparisons:
        comparison.bind(processes, by_gate[order[comparison.gate.name]])
    passing = [row for row, (_, part) in enumerate(flat) if part.role in (Role.P,)]
    return Layout(
        processes,
        tuple(_gate(found) for found in by_gate),
        tuple(np.array([row for row, _ in found], dtype=np.intp) for found in by_gate),
        np.array(passing, dtype=np.intp),
    )


def set_burst_divisors(layout: Layout, history: History, split: float) -> None:
    """Set the divisors that keep evidence fair under bursts of one cohort, for the traffic of a split."""
    processes, shrunk = layout.processes, split * (1.0 - split)
    for comparison, found in zip(history.evaluators, layout.gates, strict=True):
        if not isinstance(comparison, WITH_EVENTS):
            continue
        volumes = comparison.volumes()
        for index, _ in found.fail:
            row = processes.rows[index]
            if row.form is Form.BINOMIAL and row.effects[0] > 0:
                events = shrunk * volumes[row.channel - comparison.index]
                divisors = history.bursts.divisors(row.channel, events, np.array(row.effects), row.cap)
                processes.divisor[processes.elements_of(index)] = np.where(divisors > 1.0, divisors, 0.0)


def _gate(rows: list[tuple[int, GateRow]]) -> GateLayout:
    fail = tuple((row, part.weight) for row, part in rows if part.role is Role.F)
    groups: dict[int, list[tuple[int, float]]] = {}
    for row, part in rows:
        if part.role is Role.P:
            groups.setdefault(part.group, []).append((row, part.weight))
    low = [(row, part.row.log_t0) for row, part in rows if part.role is Role.LOW]
    high = [(row, part.row.log_t0) for row, part in rows if part.role is Role.HIGH][::-1]
    assert not fail or math.isclose(sum(weight for _, weight in fail), 1.0)
    return GateLayout(
        fail,
        tuple(tuple(group) for group in groups.values()),
        _spaced([row for row, _ in low]),
        _spaced([row for row, _ in high]),
        np.array([null for _, null in low]),
        np.array([null for _, null in high]),
    )


def _spaced(rows: list[int]) -> slice:
    """Return evenly spaced rows as a slice; LOW and HIGH rows alternate."""
    if not rows:
        return slice(0, 0)
    step = rows[1] - rows[0]
    stop = rows[-1] + step
    assert rows == list(range(rows[0], stop, step))
    return slice(rows[0], stop if stop >= 0 else None, step)
