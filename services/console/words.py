"""Numbers as people read them: shares, seconds, differences with their sign and unit."""

from penstock.events import GateVerdict, Word

_UNITS = {"s": (1000.0, "ms"), "ms": (1.0, "ms")}


def percent(share: float | None) -> str:
    """Return `5 %` of 0.05; a dash where there is none."""
    if share is None:
        return "–"
    value = share * 100.0
    text = f"{value:.0f}" if abs(value) >= 10 or value == int(value) else f"{value:.2g}"
    return f"{text} %"


def signed_percent(share: float | None) -> str:
    """Return `+38 %` of 0.38."""
    if share is None:
        return "unbounded"
    value = share * 100.0
    return f"{value:+.0f} %" if abs(value) >= 9.95 else f"{value:+.1f} %"


def seconds(value: float | None) -> str:
    """Return `31 ms`, `4.2 s`, `3 min 10 s`."""
    if value is None:
        return "–"
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def quantity(value: float | None, unit: str | None, kind: str = "") -> str:
    """Return a value in its unit: seconds as milliseconds, ratios as percent."""
    if value is None:
        return "–"
    if kind in {"ratio", "slo", "burn_rate"}:
        return f"{value * 100:.2f} %"
    factor, name = _UNITS.get(unit or "", (1.0, unit or ""))
    return f"{_short(value * factor)} {name}".strip()


def difference(gate: GateVerdict) -> str:
    """Return how far canary is from baseline, absolutely where that is known: `+38 ms`."""
    if gate.absolute is not None and gate.unit in _UNITS:
        factor, name = _UNITS[gate.unit]
        return f"{gate.absolute * factor:+.0f} {name} ({signed_percent(gate.estimate)})"
    return signed_percent(gate.estimate) if gate.estimate is not None else "unknown"


def band(gate: GateVerdict) -> str:
    """Return the anytime-valid band of the relative difference: `+12 % to +64 %`."""
    low = signed_percent(gate.low) if gate.low is not None else "−∞"
    high = signed_percent(gate.high) if gate.high is not None else "∞"
    return f"{low} to {high}"


def limit(gate: GateVerdict) -> str:
    """Return the tolerance in force."""
    value = gate.tolerance_effective if gate.tolerance_effective is not None else gate.tolerance
    return signed_percent(value) if value is not None else "–"


def clause(gate: GateVerdict) -> str:
    """Return what one gate says, with its numbers."""
    match gate.word:
        case Word.NO_DATA:
            why = (gate.no_data or "no data").replace("_", " ")
            return f"{gate.gate} cannot be judged ({why})"
        case Word.BREACH:
            return f"{gate.gate} {difference(gate)} is beyond its limit of {limit(gate)} (band {band(gate)}): breach"
        case Word.PASSED:
            return f"{gate.gate} {difference(gate)} is within its limit of {limit(gate)}: passed"
        case Word.INCONCLUSIVE:
            more = f", about {gate.windows_needed} more windows" if gate.windows_needed else ""
            return f"{gate.gate} {difference(gate)} (band {band(gate)}, limit {limit(gate)}): inconclusive{more}"


def _short(value: float) -> str:
    if value == 0:
        return "0"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
