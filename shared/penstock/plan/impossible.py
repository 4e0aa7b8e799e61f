"""Selectors that can match nothing, though they look as if they did: what they say, and what was meant."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from penstock.errors import Problem
from penstock.plan.selectors import Values, matcher

_CODES = {
    "http.response.status_code": range(100, 600),
    "http.status_code": range(100, 600),
    "rpc.grpc.status_code": range(17),
}
"""Attributes whose values are known numbers; Prometheus' `code` and `status` may hold texts such as `5xx`."""

_COMPARED = {">=": "at_least", ">": "above", "<=": "at_most", "<": "below"}
_COMPARISON = re.compile(r"\s*(>=|<=|>|<|==|=~|!=|!~|=|!)\s*(.+)")
_SPAN = re.compile(r"\s*(\d+)\s*(?:-|\.\.|:|to)\s*(\d+)\s*")
_CLASS = re.compile(r"\[([!^]?)([^\]\[:]+)\](.*)")
_CHOICE = re.compile(r"\((?:\?:)?([^()]*\|[^()]*)\)(.+)")
_DIGITS = r"(?:\.\*?|\.\+|\\d[*+]?|x|X|\?|#|%|_|\[0-9\](?:[*+]|\{\d\})?|\d?\*)"
_DIGIT = re.compile(rf"([0-9]+){_DIGITS}+(?:\{{\d\}})?")
_PLAIN = re.compile(r"[^|^$\\()\[\]]+")
_EXPRESSION = re.compile(r"\^.*|.*[^\\]\$|.*\\[dwsDWSb].*|(?:.*[^A-Za-z0-9])?\.[*+].*|\(.*\|.*\)")


def impossible_selectors(gates: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the selectors of checked gates that can match no value, each with what was probably meant."""
    for name, gate in gates.items():
        where = getattr(gate, "where", {})
        bad = getattr(gate, "bad", {})
        for key, selectors in (("where", where), ("bad", bad)):
            for attribute, selector in selectors.items():
                for problem in _problems(attribute, selector):
                    yield Problem(f"gates.{name}.{key}.{attribute}", problem)
        for attribute in where.keys() & bad.keys() & _CODES.keys():
            both = [matcher(where[attribute]), matcher(bad[attribute])]
            alone = [any(test(str(code)) for code in _CODES[attribute]) for test in both]
            if all(alone) and not any(all(test(str(code)) for test in both) for code in _CODES[attribute]):
                what = "no value that `where` lets through is bad: the gate would never see an error"
                yield Problem(f"gates.{name}.bad.{attribute}", what)


def _problems(attribute: str, selector: str | tuple[str, ...] | Values) -> Iterator[str]:
    patterns: tuple[str, ...] = ()
    match selector:
        case str():
            patterns = (selector,)
        case tuple():
            patterns = selector
        case Values() if selector.not_ is not None:
            patterns = (selector.not_,) if isinstance(selector.not_, str) else selector.not_
    codes = _CODES.get(attribute)
    found = [problem for pattern in patterns if (problem := _problem(pattern, codes)) is not None]
    yield from found
    if codes is not None and not found and not any(map(matcher(selector), map(str, codes))):
        yield f"matches no value of {attribute}, which are the numbers {codes[0]} to {codes[-1]}"


def _problem(pattern: str, codes: range | None) -> str | None:
    if codes is not None:
        if any(map(matcher(pattern), map(str, codes))):
            return None
    elif not _looks_like_syntax(pattern):
        return None
    suggestion = meant_by(pattern)
    advice = f"write {suggestion}" if suggestion else "write a pattern with `*`, a list of patterns, or a range"
    exact = "" if codes is not None else "; for exactly this text write {is: ...}"
    return f"{pattern!r} can match nothing: only `*` has a meaning in a pattern; {advice}{exact}"


def _looks_like_syntax(pattern: str) -> bool:
    return bool(
        _COMPARISON.fullmatch(pattern)
        or (_CLASS.fullmatch(pattern) and "*" in pattern)
        or _EXPRESSION.fullmatch(pattern)
        or ("|" in pattern and all(_PLAIN.fullmatch(part) for part in pattern.split("|")))
        or re.fullmatch(r"[0-9](?:\.\.|\?\?)", pattern)
    )


def meant_by(pattern: str) -> str:
    """Return what a pattern in another notation probably means, as it is written in a plan; empty for no idea."""
    text = pattern.strip().removeprefix("^").removesuffix("$")
    while text.startswith("(") and text.endswith(")"):
        text = text[1:-1].removeprefix("?:")
    if compared := _COMPARISON.fullmatch(text):
        return _compared(*compared.groups())
    if choice := _CHOICE.fullmatch(text):
        return _listed([_simple(f"{one}{choice[2]}") for one in choice[1].split("|")])
    if span := _SPAN.fullmatch(text):
        return f"{{at_least: {span[1]}, at_most: {span[2]}}}"
    for separator in ("|", ","):
        if separator in text and "[" not in text:
            return _listed([_simple(part) for part in text.split(separator)])
    if group := _CLASS.fullmatch(text):
        listed = _listed([_simple(f"{one}*" if group[3] else one) for one in _members(group[2])])
        return f"{{not: {listed}}}" if group[1] else listed
    return _listed([_simple(text)])


def _compared(operator: str, operand: str) -> str:
    if operator in _COMPARED:
        number = re.fullmatch(r"-?\d+(?:\.\d+)?", operand)
        return f"{{{_COMPARED[operator]}: {operand}}}" if number else ""
    meant = meant_by(operand)
    return f"{{not: {meant}}}" if operator.startswith("!") and meant and not meant.startswith("{") else meant


def _members(text: str) -> list[str]:
    span = re.fullmatch(r"(\w)-(\w)", text)
    return [chr(code) for code in range(ord(span[1]), ord(span[2]) + 1)] if span else list(dict.fromkeys(text))


def _simple(text: str) -> str:
    text = text.strip()
    if digit := _DIGIT.fullmatch(text):
        return f"{digit[1]}*"
    if re.fullmatch(r"[0-9]{1,2}", text):
        return f"{text}*"
    return re.sub(r"\.[*+]|\\[dw][*+]?", "*", text)


def _listed(patterns: list[str]) -> str:
    quoted = [f'"{pattern}"' for pattern in dict.fromkeys(patterns) if pattern]
    return quoted[0] if len(quoted) == 1 else f"[{', '.join(quoted)}]"
