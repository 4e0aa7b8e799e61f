"""Plans for tests: short bakes, honest margins."""

TARGET = "staging/shop/banner"

SHORT = """\
version: 1
name: banner
target: {environment: staging, service: shop, flag: banner}
owners: [team-shop]
windows: {length: 1s}
gates:
  errors:
    kind: ratio
    metric: http.server.request.duration
    bad: {http.response.status_code: "5*"}
    tolerance: {relative: 50%, absolute: 3pp}
    pass_margin: {relative: 100%, absolute: 8pp}
  p99:
    kind: quantile
    metric: http.server.request.duration
    quantile: 0.99
    tolerance: {relative: 60%}
    pass_margin: {relative: 250%}
stages:
  - {name: canary, exposure: 25%, bake: {min: 8, max: 40}}
  - {name: half, exposure: 50%, bake: {min: 8, max: 40}}
rollback:
  containment: 5s
  recovery: {windows: 2, deadline: 60s}
dead_man: {after: 1h, action: hold}
"""


def with_approval(text: str = SHORT, role: str = "release-manager") -> str:
    """Return the plan with an approval before its second stage."""
    return text.replace("{name: half, exposure: 50%,", "{name: half, exposure: 50%, approval: {roles: [" + role + "]},")


def with_soak(text: str = SHORT, windows: int = 6) -> str:
    """Return the plan with a soak."""
    return text.replace("rollback:\n", f"soak: {{windows: {windows}, holdback: 5%}}\nrollback:\n", 1)
