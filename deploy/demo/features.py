"""What the shop does behind its flags, and what each candidate changes: the releases of the demo."""

from dataclasses import dataclass

ENVIRONMENT = "demo"
SERVICE = "shop"
CANDIDATE = "on"
BASELINE = "off"

INSTANCES = 3
"""Copies of the shop; a user always comes to the same one, as with a load balancer that keeps sessions together."""

QUERY_MEDIAN_S = 0.100
"""Median time of one query of the shop's database."""
QUERY_SIGMA = 0.25
"""Spread of a query's time (standard deviation of its logarithm)."""
UNAVAILABLE = 0.003
"""Share of requests that fail with a 503 whatever the release: services are never quite without errors."""

BROKEN = 0.25
"""Share of failed requests of a candidate that is broken on purpose, as the tests of faults have one."""


@dataclass(frozen=True)
class Feature:
    """One endpoint behind one flag.

    Attributes:
        flag: its key; route: its path; rate: requests per second that the load generator sends.
        version: what the demo releases.
        cold_every: the candidate finds its cache cold at every so-many-th request and asks the database `cold_queries`
            times more; 0 for a candidate that works like the baseline.
    """

    flag: str
    route: str
    rate: float
    version: str
    cold_every: int = 0
    cold_queries: int = 0

    @property
    def target(self) -> str:
        """Key of the rollout's target."""
        return f"{ENVIRONMENT}/{SERVICE}/{self.flag}"

    @property
    def plan(self) -> str:
        """File name of its plan."""
        return f"{self.flag}.yaml"


GOOD = Feature("quick-search", "/search", rate=130.0, version="2.4.0")
BAD = Feature("suggestions", "/suggestions", rate=140.0, version="2.5.0", cold_every=25, cold_queries=5)
SAME = Feature("new-footer", "/cart", rate=50.0, version="2.4.1")
UNMEASURED = Feature("gift-notes", "/gifts", rate=15.0, version="2.6.0")

FEATURES: tuple[Feature, ...] = (GOOD, BAD, SAME, UNMEASURED)
BY_ROUTE: dict[str, Feature] = {feature.route: feature for feature in FEATURES}
