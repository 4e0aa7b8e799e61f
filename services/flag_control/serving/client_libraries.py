"""Which bucketing a connected in-process client hashes by, derived from its gRPC library: mixed fleets disagree."""

from collections.abc import Mapping

from services.flag_control.evaluation.bucketing import Bucketing
from services.flag_control.serving.store import FlagSet

_PYTHON = "python"
_OTHERS = {"node": "node", "java": "java", "go": "go", "dotnet": "dotnet", "csharp": "dotnet", "rust": "rust"}


def family_of(user_agent: str) -> str:
    """Return `python`, `node`, `java`, `go`, `dotnet`, `rust` or `unknown`."""
    library = user_agent.partition("grpc-")[2]
    if library.startswith(_PYTHON):
        return _PYTHON
    return next((family for start, family in _OTHERS.items() if library.startswith(start)), "unknown")


def disagreement(flag_set: FlagSet, family: str) -> str | None:
    """Return a warning if this client splits users differently from this server over OFREP."""
    hashes_v3 = family == _PYTHON
    if family == "unknown":
        return None
    wrong = sorted(key for key in flag_set.split if (flag_set.bucketing[key] is Bucketing.V3) is not hashes_v3)
    if not wrong:
        return None
    other = Bucketing.V2 if hashes_v3 else Bucketing.V3
    fitting = Bucketing.V3 if hashes_v3 else Bucketing.V2
    return (
        f"an in-process {family} client reads {', '.join(wrong[:5])}{' and more' if len(wrong) > 5 else ''}, split by "
        f"bucketing {other}: it puts users elsewhere than OFREP and other clients do. Give it OFREP, or the set "
        f"bucketing {fitting}"
    )


def parse_bucketings(text: str) -> Mapping[str, Bucketing]:
    """Return bucketing by set of `v3` or `v2, production/checkout=v3`; the default has the empty name.

    Raises:
        ValueError: a word is neither v2 nor v3.
    """
    found = {"": Bucketing.V3}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, word = part.rpartition("=")
        found[name.strip()] = Bucketing(word.strip())
    return found
