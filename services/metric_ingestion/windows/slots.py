"""The sums of one interval of time so far, by cohort and gate, in the most exact form available."""

from collections.abc import Iterable

import msgspec

from penstock.events import Doubt
from services.metric_ingestion.windows.frames import Part, Role, Series
from services.metric_ingestion.windows.values import Explicit, Exponential, Number, Value, add_explicit, add_exponential

MOST_VALUES = 8
"""Variants kept of what belongs to no cohort."""


class Cell(msgspec.Struct, omit_defaults=True):
    """One gate of one cohort; absent parts were not reported.

    Attributes:
        levels: newest time and value of each series of a gauge.
    """

    total: Number | None = None
    bad: Number | None = None
    amount: Number | None = None
    explicit: Explicit | None = None
    exponential: Exponential | None = None
    levels: dict[str, tuple[int, Number]] = {}

    def add(self, role: Role, value: Value, series: str, time: int) -> None:
        """Add what one point of a series added."""
        match role:
            case Role.TOTAL:
                self.total = (self.total or 0) + _amount(value)
            case Role.BAD:
                self.bad = (self.bad or 0) + _amount(value)
            case Role.AMOUNT:
                self.amount = (self.amount or 0) + _amount(value)
            case Role.DISTRIBUTION:
                self._add_distribution(value)
            case Role.LEVEL:
                self._add_level(value, series, time)

    def merge(self, other: "Cell") -> None:
        """Add another stretch of the same gate and cohort."""
        for role, value in ((Role.TOTAL, other.total), (Role.BAD, other.bad), (Role.AMOUNT, other.amount)):
            if value is not None:
                self.add(role, value, "", 0)
        for distribution in (other.explicit, other.exponential):
            if distribution is not None:
                self._add_distribution(distribution)
        for series, (time, level) in other.levels.items():
            self._add_level(level, series, time)

    def _add_distribution(self, value: Value) -> None:
        match value:
            case Explicit():
                self.explicit = value if self.explicit is None else add_explicit(self.explicit, value)
            case Exponential():
                self.exponential = value if self.exponential is None else add_exponential(self.exponential, value)

    def _add_level(self, value: Value, series: str, time: int) -> None:
        held = self.levels.get(series)
        if isinstance(value, (int, float)) and (held is None or held[0] <= time):
            self.levels = {**self.levels, series: (time, value)}


class Slot(msgspec.Struct, omit_defaults=True):
    """One interval of time of a target.

    Attributes:
        received: arrival of its first sample, Unix nanoseconds; trace: traceparent that came with it, or empty.
        cells: cohort -> gate -> what was added; doubts: gate -> what is wrong with its telemetry.
        halves: the ways in which samples were assigned to A/A halves.
        resets: counters that went backwards; reset_gates: gate -> those that it reads.
        outside: reason -> gate -> what belongs to no cohort; values: gate -> variants that it named.
        units: gate -> the unit of its values, where the gate states none; points: how many were counted.
    """

    received: int
    trace: str = ""
    cells: dict[str, dict[str, Cell]] = {}
    doubts: dict[str, str] = {}
    halves: list[str] = []
    resets: int = 0
    reset_gates: dict[str, int] = {}
    outside: dict[str, dict[str, Cell]] = {}
    values: dict[str, list[str]] = {}
    units: dict[str, str] = {}
    points: int = 0

    def cell(self, cohort: str, gate: str) -> Cell:
        """Return the cell of a cohort and gate, made where there is none."""
        return _cell(self.cells, cohort, gate)

    def add_outside(self, series: Series, part: Part, value: Value, time: int) -> None:
        """Add what belongs to no cohort; of a distribution only how many there are."""
        role = Role.TOTAL if part.role is Role.DISTRIBUTION else part.role
        _cell(self.outside, series.outside, part.gate).add(role, value, series.key, time)
        known = self.values.setdefault(part.gate, []) if series.value else []
        if series.value and series.value not in known and len(known) < MOST_VALUES:
            known.append(series.value)

    def note_unit(self, gate: str, unit: str) -> None:
        """Record a doubt about a gate whose values come in several units."""
        if self.units.setdefault(gate, unit) != unit:
            self.doubts[gate] = Doubt.OTHER_UNIT

    def note_reset(self, gates: Iterable[str]) -> None:
        """Count a series that went backwards, for each gate that reads it."""
        self.resets += 1
        for gate in set(gates):
            self.reset_gates[gate] = self.reset_gates.get(gate, 0) + 1

    def note_halves(self, how: str) -> None:
        """Record a way in which samples were assigned to halves."""
        if how not in self.halves:
            self.halves = [*self.halves, how]

    def merge(self, other: "Slot") -> None:
        """Add the sums of another interval."""
        if other.received and (not self.received or other.received < self.received):
            self.received, self.trace = other.received, other.trace
        for cohort, gates in other.cells.items():
            for gate, cell in gates.items():
                self.cell(cohort, gate).merge(cell)
        self.doubts.update(other.doubts)
        for how in other.halves:
            self.note_halves(how)
        self.resets += other.resets
        for gate, count in other.reset_gates.items():
            self.reset_gates[gate] = self.reset_gates.get(gate, 0) + count
        for reason, gates in other.outside.items():
            for gate, cell in gates.items():
                _cell(self.outside, reason, gate).merge(cell)
        for gate, variants in other.values.items():
            self.values[gate] = list(dict.fromkeys((*self.values.get(gate, ()), *variants)))[:MOST_VALUES]
        self.points += other.points
        for gate, unit in other.units.items():
            self.note_unit(gate, unit)


def _cell(cells: dict[str, dict[str, Cell]], name: str, gate: str) -> Cell:
    gates = cells.setdefault(name, {})
    found = gates.get(gate)
    if found is None:
        found = gates[gate] = Cell()
    return found


def _amount(value: Value) -> Number:
    return value.count if isinstance(value, (Explicit, Exponential)) else value
