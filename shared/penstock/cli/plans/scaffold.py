"""The first plan of a target, with a comment at every choice: `penstock plans init`."""

from penstock.targets import Target

_TEMPLATE = """\
# How {flag} reaches the users of {service}: one in twenty, then half, then everyone.
# Check it with `penstock plans lint`; every key is explained in docs/plans.md.
version: 1
name: {service}-{flag}
target: {{environment: {environment}, service: {service}, flag: {flag}}}
owners: [{service}-team]

# As long as your exporters' interval, or longer.
windows: {{length: 10s}}

# What guards the release. The metric is one that your service exports already, with the two flag attributes.
gates:
  errors:
    kind: ratio
    metric: http.server.request.duration
    bad: {{http.response.status_code: "5*"}}
  p99: {{kind: quantile, metric: http.server.request.duration, quantile: 0.99}}

# `bake` counts judged windows. `penstock plans power` says what your traffic lets each stage detect.
stages:
  - {{name: few, exposure: 5%, bake: {{min: 60, max: 240}}}}
  - {{name: half, exposure: 50%, bake: {{min: 60, max: 120}}}}

# After full exposure the gates stay on guard; 2 % of users stay in control for comparison.
soak: {{windows: 180, holdback: 2%}}

rollback:
  containment: 10s
  recovery: {{windows: 2, deadline: 10m}}
"""

_QUICK = (
    ("windows: {length: 10s}", "windows: {length: 1s}"),
    (
        'bad: {http.response.status_code: "5*"}',
        'bad: {http.response.status_code: "5*"}\n    tolerance: {absolute: 2pp}\n    pass_margin: {absolute: 5pp}',
    ),
    (
        "  p99: {kind: quantile, metric: http.server.request.duration, quantile: 0.99}",
        "  p99:\n    kind: quantile\n    metric: http.server.request.duration\n    quantile: 0.99\n"
        "    tolerance: {relative: 50%}\n    pass_margin: {relative: 100%}",
    ),
    ("exposure: 5%, bake: {min: 60, max: 240}", "exposure: 25%, bake: {min: 20, max: 90}"),
    ("bake: {min: 60, max: 120}", "bake: {min: 20, max: 90}"),
    ("one in twenty, then half", "one in four, then half"),
    ("soak: {windows: 180", "soak: {windows: 20"),
)
"""What a first try changes: windows of a second, and margins that a hundred requests per second tell apart quickly."""


def first_plan(target: Target, quick: bool = False) -> str:
    """Return the text of a plan that loads and guards errors and p99 latency.

    Args:
        target: what it rolls out.
        quick: short windows and wide margins, for a first try of some minutes.
    """
    text = _TEMPLATE.format(environment=target.environment, service=target.service, flag=target.flag)
    for before, after in _QUICK if quick else ():
        text = text.replace(before, after)
    return text
