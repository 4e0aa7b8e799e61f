"""Figures as people read them: differences, shares, percentage points, values in their unit, windows."""

from collections.abc import Callable


def percent(value: float) -> str:
    """Return a relative difference, signed: +12 %."""
    size = abs(value) * 100
    digits = 0 if size >= 10 else 1 if size >= 0.1 else 2
    return f"{value * 100:+.{digits}f} %"


def points(value: float, *, signed: bool = False) -> str:
    """Return a difference of shares in percentage points."""
    return f"{number(value * 100, signed)} pp"


def share(value: float | None) -> str:
    """Return a share in per cent."""
    return "-" if value is None else f"{number(value * 100)} %"


def amount(value: float, unit: str, *, signed: bool = False) -> str:
    """Return a value in its unit; seconds below one are shown in milliseconds."""
    if unit == "s" and abs(value) < 1:
        return f"{number(value * 1000, signed)} ms"
    return f"{number(value, signed)} {unit}".rstrip()


def number(value: float, signed: bool = False) -> str:
    """Return a number with about three digits."""
    size = abs(value)
    digits = 0 if size >= 10 else 1 if size >= 1 else 2 if size >= 0.1 else 3
    text = f"{value:{'+' if signed else ''}.{digits}f}"
    return text if size < 1e6 else f"{value:{'+' if signed else ''}.3g}"


def towards(direction: str | None, size: float, show: Callable[[float], str]) -> str:
    """Return a limit with the sign of the direction that is worse; both ways: ±10 %."""
    if direction == "both":
        return show(size).replace("+", "±")
    return show(-size if direction == "down" else size)


def windows(count: int) -> str:
    """Return `1 window`, `7 windows`."""
    return f"{count} window{'' if count == 1 else 's'}"
