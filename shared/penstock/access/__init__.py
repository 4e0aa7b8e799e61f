"""Who may do what: verbs per target, and identities that name one person however they are typed."""

from penstock.access.identities import normalized, same_person
from penstock.access.verbs import Verb, grants_of

__all__ = ["Verb", "grants_of", "normalized", "same_person"]
