"""Changes that are refused during a rollout, and after a rollback until the next one: who is served which variant."""

from penstock.chain.document import canonical
from services.flag_control.flag.state import Definition, FlagState

_COHORTS = ("variants", "on", "off", "split", "salt", "slice", "targeting", "state")
"""Parts of a definition that must not change under a rollout: its gates compare what they make of the users."""


def forbids_definition(state: FlagState, after: Definition) -> str | None:
    """Return why `after` may not take the place of the flag's definition now, with the flag's state; None if it may."""
    before = state.definition
    if state.live and not _same(before, after, _COHORTS):
        return f"{_under_way(state)}, and its gates compare these variants: finish it or roll it back first"
    if state.rolled_back and not same_baseline(before, after):
        return (
            f"{_rolled_back(state)}, so everyone is served {before.off!r}: until a newer rollout takes the flag over, "
            "`off` and the value of that variant stay as they are"
        )
    if pinned := _pinned_newly(before, after) if state.ruled else None:
        why = _under_way(state) if state.live else _rolled_back(state)
        return f"{why}: segment {pinned!r} can be pinned to {after.off!r} only, until a rollout completes"
    return None


def forbids_archive(state: FlagState, variant: str) -> str | None:
    """Return why the flag may not be archived at one of its variants now; None if it may."""
    if state.live:
        return f"{_under_way(state)}: finish it or roll it back first"
    definition = state.definition
    if state.rolled_back and not _same_value(definition, variant, definition.off):
        return f"{_rolled_back(state)}: the flag can be archived at {definition.off!r} only"
    return None


def forbids_announcement(state: FlagState, after: Definition) -> str | None:
    """Return why a plan's cohorts may not name the flag's variants; None if they may."""
    if state.rolled_back and not same_baseline(state.definition, after):
        return (
            f"{_rolled_back(state)}, and the plan's baseline {after.off!r} is not what everyone is served since, "
            f"{state.definition.off!r}: no stage would have approved that change"
        )
    return None


def same_baseline(before: Definition, after: Definition) -> bool:
    """Return whether `off` names the same variant with the same value."""
    one, other = before.variants.get(before.off), after.variants.get(after.off)
    return before.off == after.off and canonical(one) == canonical(other)


def same_cohorts_served(before: Definition, after: Definition) -> bool:
    """Return whether those who get `on`, and those who get `off`, get the same after as before."""
    release = canonical(before.variants.get(before.on)) == canonical(after.variants.get(after.on))
    return release and same_baseline(before, after)


def _same(one: Definition, other: Definition, parts: tuple[str, ...]) -> bool:
    # Compared as JSON: to Python, 1 == 1.0 == True.
    return all(canonical(getattr(one, part)) == canonical(getattr(other, part)) for part in parts)


def _same_value(definition: Definition, one: str, other: str) -> bool:
    return canonical(definition.variants.get(one)) == canonical(definition.variants.get(other))


def _pinned_newly(before: Definition, after: Definition) -> str | None:
    new = (name for name, variant in after.pins.items() if variant != after.off and before.pins.get(name) != variant)
    return next(new, None)


def _under_way(state: FlagState) -> str:
    return f"rollout {state.reach.rollout or 'announced'} is under way at {state.reach.exposure:.4g} exposure"


def _rolled_back(state: FlagState) -> str:
    return f"rollout {state.reach.rollout} was rolled back or superseded"
