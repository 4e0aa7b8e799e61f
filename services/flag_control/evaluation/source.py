"""A source of flags: one service's, or one file's, ready to be served."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from services.flag_control.evaluation.bucketing import Bucketing, Document


@dataclass(frozen=True)
class Source:
    """Flags of one service or one file, ready to be served: validated, `$ref` resolved, set metadata merged under.

    Attributes:
        name: `environment/service`, or the file as it was named.
        flags: flag documents by key; metadata: of the set itself.
    """

    name: str
    flags: Mapping[str, Document]
    metadata: Mapping[str, object]
    bucketing: Bucketing = Bucketing.V3

    @cached_property
    def set_ids(self) -> frozenset[str]:
        """Every `flagSetId` that a flag of this source belongs to."""
        return frozenset(filter(None, map(set_id_of, self.flags.values())))


def set_id_of(flag: Document) -> str | None:
    """Return the `flagSetId` of a flag's metadata."""
    found = flag.get("metadata", {}).get("flagSetId")
    return found if isinstance(found, str) else None
