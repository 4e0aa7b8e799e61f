"""The flag that clients are served, from what was decided: kill, archive, opt-outs, pins, audience, percentage."""

from typing import Any

from penstock import ids
from penstock.chain import Document
from penstock.targets import parse_target
from services.flag_control.flag.state import Definition, FlagState, Reach

TOTAL = 100_000
"""Total weight of every ramp: fixed, so that widening moves one boundary and nobody already exposed leaves."""

Rule = Any


def flag_document(target: str, state: FlagState) -> Document:
    """Return the flag as flagd JSON, with its version and set in the metadata."""
    definition = state.definition
    flag: Document = {"state": "ENABLED", "variants": dict(definition.variants), "defaultVariant": definition.off}
    if definition.state == "DISABLED" and not (state.kills or state.archived or state.reach.entry):
        flag["state"] = definition.state
    if state.kills or (state.rolled_back and state.archived):
        rule: Rule = definition.off
    else:
        rule = state.archived or _decided(target, state)
    if isinstance(rule, str):
        # Nothing to target: an evaluation costs least, and no client can read it otherwise.
        flag["defaultVariant"] = rule
    else:
        flag["targeting"] = rule
    flag["metadata"] = {**definition.metadata, "flagSetId": set_of(target), "version": state.version}
    return flag


def set_of(target: str) -> str:
    """Return the flag set of a target: `environment/service`."""
    parts = parse_target(target)
    return f"{parts.environment}/{parts.service}"


def key_of(target: str) -> str:
    """Return the flag's key in its set."""
    return parse_target(target).flag


def salt_of(target: str, definition: Definition) -> str:
    """Return the salt of the ramp: stored where it is defined, else the flag's own, the same in every rollout."""
    return definition.salt or ids.derive("salt", target)[:12]


def _decided(target: str, state: FlagState) -> Rule:
    definition = state.definition
    off = definition.off
    rule = _exposed(target, definition, state.reach)
    if not (state.reach.entry or state.live) and definition.targeting:
        rule = definition.targeting
    conditions = state.reach.audience.get("all_of", ())
    if conditions and rule != off:
        rule = {"if": [_all_of(conditions), rule, off]}
    for name in sorted(definition.pins, reverse=True):
        # Under a rollout a pin may keep users from the release, and never expose them beyond the stage.
        if definition.pins[name] == off or not state.ruled:
            rule = {"if": [_all_of(definition.segments[name]), definition.pins[name], rule]}
    opted_out = [_is_any_of(name, values) for name, values in sorted(state.opted_out.items()) if values]
    if opted_out and rule != off:
        rule = {"if": [_any(opted_out), off, rule]}
    return rule


def _exposed(target: str, definition: Definition, reach: Reach) -> Rule:
    off = definition.off
    weight = round(reach.exposure * TOTAL)
    if weight <= 0:
        return off
    salt = salt_of(target, definition)
    rule = _assigned(salt, definition)
    if weight < TOTAL and isinstance(rule, str):
        rule = _fractional(salt, [[rule, weight], [off, TOTAL - weight]])
    elif weight < TOTAL:
        rule = {"if": [_inside(salt, 0, weight), rule, off]}
    if definition.slice is not None:
        rule = {"if": [_inside(definition.slice.salt, definition.slice.start, definition.slice.end), rule, off]}
    if isinstance(rule, str):
        return rule
    # Without a key all users would fall into the same bucket, so they are not exposed.
    return {"if": [{"var": "targetingKey"}, rule, off]}


def _assigned(salt: str, definition: Definition) -> Rule:
    """Return what the exposed get: one variant, or their arm of an experiment by a salt of its own."""
    arms = {name: weight for name, weight in definition.split.items() if weight > 0}
    if len(arms) > 1:
        return _fractional(f"{salt}:arms", [[name, weight] for name, weight in sorted(arms.items())])
    return next(iter(arms), definition.on)


def _fractional(salt: str, buckets: list[Rule]) -> Rule:
    return {"fractional": [{"cat": [salt, {"var": "targetingKey"}]}, *buckets]}


def _inside(salt: str, start: int, end: int) -> Rule:
    buckets: list[tuple[str, int]] = [("before", start), ("in", end - start), ("after", TOTAL - end)]
    return {"==": [_fractional(salt, [[name, weight] for name, weight in buckets if weight > 0]), "in"]}


def _all_of(conditions: Any) -> Rule:
    rules = [_condition(condition) for condition in conditions]
    return rules[0] if len(rules) == 1 else {"and": rules}


def _any(rules: list[Rule]) -> Rule:
    return rules[0] if len(rules) == 1 else {"or": rules}


def _condition(condition: Document) -> Rule:
    """Return one condition of the plan's form; where it has several words, all must match."""
    attribute = {"var": condition["attribute"]}
    rules: list[Rule] = []
    if condition.get("any_of"):
        rules.append(_is_any_of(condition["attribute"], condition["any_of"]))
    words = [word for word in ("starts_with", "ends_with") if condition.get(word)]
    rules += [{word: [attribute, condition[word]]} for word in words]
    if not rules:
        return {"!!": [attribute]}
    return rules[0] if len(rules) == 1 else {"and": rules}


def _is_any_of(attribute: str, values: Any) -> Rule:
    return {"in": [{"var": attribute}, list(values)]}
