"""Worlds that no constant of the judge was chosen on: other noise families, and traffic as studies describe it.

Traffic: correlations that decay so slowly that they have no time scale, Hurst parameter about 0.8 (Leland, Taqqu,
Willinger and Wilson, 1994; Crovella and Bestavros, 1997: 0.76 to 0.83 for the Web). The series are drawn by that
description: no data set is copied. Where one cohort alone has such noise, the promise is approximate.
"""

from tests.bench.judge.noise import Family
from tests.bench.judge.world import Change, Expect, Scenario, World

_STUDENT = World(family=Family.STUDENT, wander=(0.15, 3.0))
_REGIME = World(family=Family.REGIME, wander=(0.10, 0.1))
_SLOW_REGIME = World(family=Family.REGIME, wander=(0.10, 0.02))
_FRACTIONAL = World(family=Family.FRACTIONAL, wander=(0.08, 0.8))
_NEGATIVE_BINOMIAL = World(gamma=20.0)
_CLUSTERS = World(cluster=4.0)
_WEB = World(traffic=(0.4, 0.8), diurnal=0.4)
_AT_TOLERANCE = Change(errors_times=1.10)


def _three(name: str, world: World, *, approximate: bool = False) -> tuple[Scenario, ...]:
    """No change, at tolerance, and twice the errors, in one world."""
    return (
        Scenario(f"{name}", Expect.NO_CHANGE, world, approximate=approximate),
        Scenario(f"{name}, errors at tolerance", Expect.EDGE, world, _AT_TOLERANCE, approximate=approximate),
        Scenario(f"{name}, errors x2", Expect.REGRESSION, world, Change(errors_times=2.0), found=0.9),
        Scenario(f"{name}, errors x1.6", Expect.BEYOND, world, Change(errors_times=1.6), approximate=approximate),
    )


HELD_OUT: tuple[Scenario, ...] = (
    *_three("t-tailed noise", _STUDENT),
    *_three("negative binomial errors", _NEGATIVE_BINOMIAL),
    *_three("clustered errors", _CLUSTERS),
    *_three("self-similar traffic", _WEB),
    *_three("two regimes", _REGIME, approximate=True),
    *_three("two slow regimes", _SLOW_REGIME, approximate=True),
    *_three("self-similar noise of one cohort", _FRACTIONAL, approximate=True),
)
