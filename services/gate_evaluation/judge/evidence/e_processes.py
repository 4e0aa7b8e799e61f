"""All e-processes of a judge in flat arrays: one window costs a few vector operations, whatever the gates.

A *row* is one e-process (a gate's F, its P, one point of its displayed interval); a row has *elements*, one for
each effect in its mixture; an element of a tail row has several *zones*; a *pair* is one (element, zone). Pairs read
*cells*: the counts of one (row, zone). Elements stay in linear space, clipped at 1e200 (which only loses evidence).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from services.gate_evaluation.judge.arrays import Floats
from services.gate_evaluation.judge.evidence import boosting
from services.gate_evaluation.judge.noise.dispersion import hidden_noise
from services.gate_evaluation.judge.versions import CURRENT, Parameters

_HIGHEST = 1e200
_LOWEST = 1e-200
_NEARLY_CHANCE = 1.35
"""Dispersion, in units of chance, up to which the law of the evidence is known well enough to spend what it would
overshoot: cohorts without noise of their own look no worse nine times in ten."""


class Form(IntEnum):
    """The increment of a row; rows of a processes are ordered by it."""

    BINOMIAL = 0  # canary events among both cohorts' events
    GAUSS = 1  # a log ratio with known variance
    BERNOULLI = 2  # canary events among canary requests, against a rate


@dataclass(frozen=True, slots=True)
class Row:
    """One e-process.

    Attributes:
        channel: which comparison feeds it.
        form: its increment.
        effects: signed ln m of each element; for `standard` Gaussian rows in standard deviations of a window.
        weights: of the elements, summing to 1.
        exponents: c_z of each zone (binomial rows; one zone: (1,)).
        onset: True mixes over the window where the regression begins; False starts at the first window.
        cap: most that a window may add to an element (without a limit: what float64 can hold).
        log_t0: ln T0, the null's ratio (dynamic rows change it every window).
        plain: use the dispersion without its safety factor (the PASS side).
        standard: Gaussian effects are in standard deviations.
        exact: no dispersion: the null itself allows for noise (one-sample rows).
        limit: evidence at which the row alone decides (binomial rows; see `overshoot`).
    """

    channel: int
    form: Form
    effects: tuple[float, ...]
    weights: tuple[float, ...]
    exponents: tuple[float, ...] = (1.0,)
    onset: bool = False
    cap: float = 240.0
    log_t0: float = 0.0
    plain: bool = False
    standard: bool = False
    exact: bool = False
    limit: float = math.inf


class EProcesses:
    """The rows, their cells (written by the gates) and their evidence.

    A gate writes `n_canary`, `n_baseline`, `floor` (by channel), `a`, `x` (by cell), `t0`, `expected` (by row), `z`,
    `sd` (Gaussian rows), `n`, `hits`, `q0` (one-sample rows) and `active` (by row); the noise estimates write `tau2`
    (by channel: with and without safety factor). Then `step` multiplies every element by its increment.
    """

    def __init__(self, rows: Sequence[Row], channels: int, parameters: Parameters = CURRENT) -> None:
        forms = [row.form for row in rows]
        if forms != sorted(forms):
            raise ValueError("rows must be ordered by form")
        self.rows = tuple(rows)
        self.parameters = parameters
        count = len(rows)
        binomial = [row for row in rows if row.form is Form.BINOMIAL]
        self._binomial = len(binomial)
        self._gauss = slice(len(binomial), len(binomial) + forms.count(Form.GAUSS))
        self.channel_of = np.array([row.channel for row in rows], dtype=np.intp)
        self.t0: Floats = np.exp([row.log_t0 for row in rows])
        self.active: Floats = np.ones(count)
        self.expected: Floats = np.ones(count)
        self.phi: Floats = np.ones(count)
        self.n_canary: Floats = np.ones(channels)
        self.n_baseline: Floats = np.ones(channels)
        self.floor: Floats = np.ones(channels)
        self.tau2: Floats = np.zeros((2, channels))
        self.unsure: Floats = np.zeros((2, channels))
        self.plausible: Floats = np.zeros(channels)
        self._noise_at = np.array([row.plain * channels + row.channel for row in rows], dtype=np.intp)
        self._binomial_channel = self.channel_of[: len(binomial)].copy()
        self._lay_cells(binomial)
        self._lay_elements(rows)
        self._lay_shifts(rows)
        self._watch(binomial)

    def _lay_cells(self, rows: Sequence[Row]) -> None:
        self.first_cell: list[int] = []
        cells = 0
        pair_cell: list[int] = []
        pair_row: list[int] = []
        log_m: list[float] = []
        starts: list[int] = []
        for index, row in enumerate(rows):
            self.first_cell.append(cells)
            zones = range(len(row.exponents))
            for effect in row.effects:
                starts.append(len(log_m))
                pair_cell.extend(cells + zone for zone in zones)
                pair_row.extend(index for _ in zones)
                log_m.extend(effect * row.exponents[zone] for zone in zones)
            cells += len(zones)
        self.a: Floats = np.zeros(cells)
        self.x: Floats = np.zeros(cells)
        self._pair_cell = np.array(pair_cell, dtype=np.intp)
        self._pair_row = np.array(pair_row, dtype=np.intp)
        self._log_m: Floats = np.array(log_m)
        self._growth: Floats = np.expm1(self._log_m)
        self._element_start = np.array(starts, dtype=np.intp)

    def _lay_elements(self, rows: Sequence[Row]) -> None:
        sizes = [len(row.effects) for row in rows]
        self._row_start = np.concatenate(([0], np.cumsum(sizes)[:-1])).astype(np.intp)
        self._row_of = np.repeat(np.arange(len(rows)), sizes)
        self._weight: Floats = np.array([w for row in rows for w in row.weights])
        self._cap: Floats = np.repeat([row.cap for row in rows], sizes)
        self._onset: Floats = np.array([float(row.onset) for row in rows])
        self._onset_of: Floats = np.repeat(self._onset, sizes)
        self._split = int(sum(sizes[: self._binomial]))
        self._split2 = int(sum(sizes[: self._gauss.stop]))
        self.m: Floats = np.where(self._onset_of > 0, 0.0, 1.0)
        self.unspent: Floats = self._onset.copy()
        self.divisor: Floats = np.zeros(self._split)
        self._binomial_row = self._row_of[: self._split].copy()

    def _lay_shifts(self, rows: Sequence[Row]) -> None:
        gauss = rows[self._gauss]
        self.z: Floats = np.zeros(len(gauss))
        self.sd: Floats = np.ones(len(gauss))
        self._gauss_row = self._row_of[self._split : self._split2] - self._gauss.start
        flat = np.array([effect for row in gauss for effect in row.effects])
        standard = np.array([row.standard for row in gauss for _ in row.effects], dtype=bool)
        self._lam0: Floats = np.where(standard, flat, 0.0)
        self._shift: Floats = np.where(standard, 0.0, flat)
        one = rows[self._gauss.stop :]
        self.n: Floats = np.zeros(len(one))
        self.hits: Floats = np.zeros(len(one))
        self.q0: Floats = np.full(len(one), 0.5)
        self._noisy: Floats = np.array([float(not row.exact) for row in one])
        self._one_row = self._row_of[self._split2 :] - self._gauss.stop
        self._log_q: Floats = np.array([effect for row in one for effect in row.effects])

    def _watch(self, rows: Sequence[Row]) -> None:
        """Remember the rows that may come near a limit: their elements, and from what evidence on they are near."""
        self._watched = np.array([at for at, row in enumerate(rows) if math.isfinite(row.limit)], dtype=np.intp)
        spans = [self.elements_of(index) for index in self._watched.tolist()]
        sizes = [span.stop - span.start for span in spans]
        self._watch_at = np.array([at for span in spans for at in range(span.start, span.stop)], dtype=np.intp)
        self._watch_weight: Floats = self._weight[self._watch_at]
        self._watch_start = np.concatenate(([0], np.cumsum(sizes)[:-1])).astype(np.intp)
        self._watch_from = [boosting.NEAR * rows[index].limit for index in self._watched.tolist()]
        self._near = [False] * len(self._watch_from)

    def log_t0(self, rows: slice) -> Floats:
        """Return ln T0 of some rows."""
        out: Floats = np.log(self.t0[rows])
        return out

    def elements_of(self, row: int) -> slice:
        """Return where a row's elements lie."""
        first = int(self._row_start[row])
        return slice(first, first + len(self.rows[row].effects))

    @property
    def gauss_first(self) -> int:
        """Index of the first Gaussian row."""
        return int(self._gauss.start)

    @property
    def one_first(self) -> int:
        """Index of the first one-sample row."""
        return int(self._gauss.stop)

    def step(self, onset: float) -> None:
        """Take one judged window into every active row; `onset` is the weight of a regression beginning in it."""
        if not self.rows:
            return
        gain = np.empty(self._weight.size)
        self._binomial_gain(gain[: self._split])
        if self._split < self._split2:
            self._gauss_gain(gain[self._split : self._split2])
        if self._split2 < gain.size:
            self._one_sample_gain(gain[self._split2 :])
        np.minimum(gain, self._cap, out=gain)
        begun = onset * self._onset_of
        if not self.active.all():
            active = self.active[self._row_of]
            gain *= active
            begun *= active
        np.exp(gain, out=gain)
        self.m += begun
        for row, factor in self._boosts():
            gain[self.elements_of(row)] *= factor
        self.m *= gain
        np.maximum(self.m, _LOWEST, out=self.m)
        np.minimum(self.m, _HIGHEST, out=self.m)
        self.unspent -= onset * self._onset * self.active

    def _dispersion(self, rows: slice) -> Floats:
        found: Floats = self.tau2.ravel().take(self._noise_at[rows])
        return found

    def _binomial_gain(self, out: Floats) -> None:
        rows = slice(0, self._binomial)
        channel = self._binomial_channel
        weighted = self.n_canary.take(channel)
        weighted *= self.t0[rows]
        share = weighted / (weighted + self.n_baseline.take(channel))
        even = share * (1.0 - share)
        events = self.expected[rows] * even
        even *= 4.0
        noise = self._dispersion(rows)
        noise *= events
        phi = self.phi[rows]
        np.add(self.floor.take(channel), noise, out=phi)
        events *= self.plausible.take(channel)
        phi += hidden_noise(self.unsure.ravel().take(self._noise_at[rows]), even, noise, events, self.parameters)
        if not out.size:
            return
        log = share.take(self._pair_row)
        log *= self._growth
        np.log1p(log, out=log)
        log *= self.x.take(self._pair_cell)
        pairs = self.a.take(self._pair_cell)
        pairs *= self._log_m
        pairs -= log
        np.add.reduceat(pairs, self._element_start, out=out)
        out /= np.maximum(phi.take(self._binomial_row), self.divisor)

    def _boosts(self) -> list[tuple[int, float]]:
        """Return (row, factor) of rows near their limit; none for cohorts with noise or bursts of their own."""
        if not any(self._near):
            return []
        weighted = self.m[self._watch_at] * self._watch_weight
        found = []
        for at in np.flatnonzero(self._near).tolist():
            index = int(self._watched[at])
            row, span, phi = self.rows[index], self.elements_of(index), float(self.phi[index])
            noisy = phi > _NEARLY_CHANCE * float(self.floor[row.channel])
            if not self.active[index] or not phi > 0 or noisy or float(self.divisor[span].max()) > phi:
                continue
            scaled = float(self.n_canary[row.channel] * self.t0[index])
            cells = slice(self.first_cell[index], self.first_cell[index] + len(row.exponents))
            start = int(self._watch_start[at])
            factor = boosting.boosting_factor(
                weighted[start : start + len(row.effects)], np.array(row.effects), row.exponents, self.x[cells] / phi,
                scaled / (scaled + float(self.n_baseline[row.channel])), row.cap,
                row.limit - max(float(self.unspent[index]), 0.0),
            )  # fmt: skip
            found.append((index, factor))
        return found

    def _gauss_gain(self, out: Floats) -> None:
        lam = self._shift / self.sd.take(self._gauss_row)
        lam += self._lam0
        np.multiply(lam, self.z.take(self._gauss_row) - 0.5 * lam, out=out)

    def _one_sample_gain(self, out: Floats) -> None:
        rows = slice(self._gauss.stop, len(self.rows))
        phi = 1.0 + self.n * self.q0 * self._dispersion(rows) * self._noisy
        q0 = self.q0[self._one_row]
        q1 = np.minimum(q0 * np.exp(self._log_q), np.maximum(q0, 0.9))
        hits, n = self.hits[self._one_row], self.n[self._one_row]
        log = hits * np.log(q1 / q0) + (n - hits) * (np.log1p(-q1) - np.log1p(-q0))
        np.divide(log, phi[self._one_row], out=out)

    def evidence(self) -> Floats:
        """Return each row's e-value now, the mixture over effects and onsets; the next `step` needs it asked."""
        if not self.rows:
            return self.unspent
        value: Floats = np.add.reduceat(self.m * self._weight, self._row_start)
        value += np.maximum(self.unspent, 0.0)
        watched = zip(value.take(self._watched).tolist(), self._watch_from, strict=True)
        self._near = [now > near for now, near in watched]
        return value

    def restart(self, rows: NDArray[np.intp]) -> None:
        """Set rows without onset back to 1: the evidence speaks of a new stage."""
        chosen = np.isin(self._row_of, rows) & (self._onset_of == 0)
        self.m[chosen] = 1.0
