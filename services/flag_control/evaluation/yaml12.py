"""YAML as flagd reads it, 1.2: `on` and `off` are names and days are text; aliases may not expand it without limit."""

import re
from collections.abc import Hashable
from typing import Any

import yaml

from penstock.errors import InvalidError, Problem

_MOST_PARTS = 1_000_000
_SCALARS: tuple[tuple[str, str, str], ...] = (
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)", "tTfF"),
    ("int", r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)", "-+0123456789"),
    (
        "float",
        r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))",
        "-+.0123456789",
    ),
    ("merge", r"(?:<<)", "<"),
)


class _Loader(yaml.SafeLoader):
    """The safe loader with the plain scalars of YAML 1.2, which refuses a key that comes twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [
            key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and not key.tag.endswith("merge")
        ]
        twice = sorted({key for key in keys if keys.count(key) > 1}) if len(set(keys)) < len(keys) else []
        if twice:
            problem = f"repeats the key {', '.join(map(repr, twice))}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_mapping(node, deep)


def _whole(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))


_Loader.yaml_implicit_resolvers = {}
for _name, _pattern, _starts in _SCALARS:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"^{_pattern}$"), list(_starts))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_constructor("tag:yaml.org,2002:int", _whole)


def parse_yaml(name: str, text: str) -> Any:
    """Return the document.

    Raises:
        InvalidError: it is no YAML, repeats a key, or its aliases expand to more than can be served.
    """
    try:
        document = yaml.load(text, _Loader)  # noqa: S506 - a safe loader of our own
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidError(f"flags of {name}", [Problem("", f"is not YAML: {error}")]) from None
    if _parts(document, {}) > _MOST_PARTS:
        raise InvalidError(f"flags of {name}", [Problem("", f"holds more than {_MOST_PARTS:,} parts by its aliases")])
    return document


def _parts(value: Any, known: dict[int, int]) -> int:
    """Return how many parts the value has with its aliases written out; what holds itself has no end of them."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        known[id(value)] = _MOST_PARTS + 1
        inner = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_parts(one, known) for one in inner)
    return known[id(value)]
