"""For applications: the attributes by which Penstock tells canary from baseline, and the halves of the baseline."""

import hashlib

FLAG_KEY = "feature_flag.key"
FLAG_VARIANT = "feature_flag.result.variant"
HALF = "penstock.half"


def cohort_attributes(flag: str, variant: str, unit: str, baseline: str = "off") -> dict[str, str]:
    """Return the attributes to record with every measurement of a request.

    Args:
        flag, variant: key of the flag, and the variant that the request was really served.
        unit: whom the flag is decided for (the targeting key). It never leaves the process: only which half of the
            baseline it falls into does, so that two halves of the same users can be held against each other.
        baseline: variant whose requests are halved.

    A request that evaluates several flags under rollout is recorded once for each of them.
    """
    attributes = {FLAG_KEY: flag, FLAG_VARIANT: variant}
    return attributes | {HALF: half_of(unit)} if variant == baseline else attributes


def half_of(unit: str) -> str:
    """Return `a` or `b`, always the same for the same unit, independent of how flags are decided for it."""
    return "ab"[hashlib.blake2b(unit.encode(), digest_size=1, person=b"penstock-half").digest()[0] % 2]
