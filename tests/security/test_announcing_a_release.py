"""Attacks by announcing: a pipeline's token, or a record on `deploy-intake`, must not choose what guards production."""

import json
from typing import Any

import httpx
import pytest

from penstock.chain import Document
from penstock.errors import InvalidError
from penstock.events import (
    ApprovalGranted,
    CommandRefused,
    DeployAnnounced,
    DeployRefused,
    Event,
    LiftRequested,
    PlanSubmitted,
    Release,
    Request,
    RollbackRequested,
    from_json,
    to_json,
)
from penstock.events.cloudevents import parse_kafka
from services.console.intake.cdevents import deploy_of
from services.console.read_models.projection import Projection
from services.rollout_control.decide import decide
from tests.support.builders import deployed
from tests.support.console.app import ConsoleApp
from tests.support.metrics.windows import moment
from tests.support.plans import SHORT, TARGET, with_approval

REGISTERED = with_approval()
EVIL = SHORT.partition("stages:")[0] + (
    "stages:\n  - {name: all, exposure: 100%, bake: {min: 1, max: 1}}\n"
    "rollback:\n  quarantine_lifters: [publisher]\n  containment: 5s\n"
)
"""A publisher's own plan: everyone at once, no approval, and the publisher lifts its own quarantine."""


class Target:
    """Rollout control of one target: announcements and requests in, events out."""

    def __init__(self) -> None:
        self.document: Document = {}
        self.number = 0

    def receive(self, event: Event) -> list[Event]:
        decision = decide(TARGET, self.document, from_json(to_json(event)))
        self.document = decision.document
        return list(decision.events)

    def announce(self, plan: str | None = None, version: str = "2", **fields: Any) -> list[Event]:
        self.number += 1
        given = {"actor": "ci", "grants": ("announce",), "author": "mira"} | fields
        release = Release(service="shop", version=version, author=given.pop("author"))
        return self.receive(
            DeployAnnounced(
                id=f"d{self.number}",
                source="/ci",
                target=TARGET,
                time=moment(),
                release=release,
                plan_text=plan,
                **given,
            )
        )

    def ask(self, kind: type[Request], actor: str | None, **fields: Any) -> list[Event]:
        self.number += 1
        common = {"roles": ("release-manager",), "reason": "because"} | fields
        return self.receive(
            kind(id=f"r{self.number}", source="/console", target=TARGET, time=moment(50), actor=actor, **common)
        )

    def register(self, plan: str = REGISTERED, by: str = "pat") -> list[Event]:
        return self.ask(PlanSubmitted, by, plan_text=plan)

    @property
    def exposure(self) -> float:
        return float(self.document.get("rollout", {}).get("exposure", 0.0))

    @property
    def plans(self) -> dict[str, str]:
        return dict(self.document.get("plans", {}))


def types(events: list[Event]) -> list[str]:
    return [event.type for event in events]


@pytest.mark.parametrize("name", ["banner", "another"])
@pytest.mark.parametrize("grants", [("announce",), (), None])
def test_a_publisher_cannot_replace_the_registered_plan_by_embedding_its_own(
    name: str, grants: tuple[str, ...] | None
) -> None:
    target = Target()
    target.register()
    (refused,) = target.announce(EVIL.replace("name: banner", f"name: {name}"), grants=grants)
    assert isinstance(refused, DeployRefused)
    assert (target.exposure, target.plans) == (0.0, {"banner": REGISTERED})


def test_the_plan_of_the_next_honest_release_is_the_registered_one() -> None:
    target = Target()
    target.register()
    target.announce(EVIL)
    announced = target.announce(version="3")[0]
    assert to_json(announced)["plan_text"] == REGISTERED


def test_a_pipeline_may_embed_the_registered_plan_and_changes_nothing_by_it() -> None:
    target = Target()
    target.register()
    said = target.announce(f"# from the repository\n{REGISTERED}")
    assert types(said) == ["rollout.announced", "stage.entered"]
    assert to_json(said[0])["plan_text"] == REGISTERED
    assert target.plans == {"banner": REGISTERED}


def test_who_may_plan_registers_by_embedding() -> None:
    target = Target()
    target.register()
    assert "plan.registered" in types(target.announce(SHORT, actor="pat", grants=("announce", "plan")))


@pytest.mark.parametrize("actor", ["ci", None])
def test_where_no_plan_is_registered_an_embedded_one_waits_for_an_approver_that_it_does_not_choose(
    actor: str | None,
) -> None:
    target = Target()
    plan = EVIL.replace("exposure: 100%,", "exposure: 100%, approval: {roles: [publisher]},")
    for embedded in (EVIL, plan):
        fresh = Target()
        said = fresh.announce(embedded, actor=actor, grants=("announce",) if actor else ())
        assert types(said) == ["rollout.announced", "approval.awaited"]
        assert fresh.plans == {}
        (refused,) = fresh.ask(ApprovalGranted, "eve", roles=("publisher",))
        assert isinstance(refused, CommandRefused)
        assert fresh.exposure == 0.0
        target = fresh
    while target.exposure == 0.0:
        assert "command.refused" not in types(target.ask(ApprovalGranted, f"manager-{target.number}"))


def test_an_embedded_plan_that_nobody_vouched_for_does_not_name_who_lifts_the_quarantine() -> None:
    target = Target()
    target.announce(EVIL)
    target.ask(RollbackRequested, "olga", roles=("operator",))
    (refused,) = target.ask(LiftRequested, "ci", version="2", roles=("publisher",))
    assert isinstance(refused, CommandRefused)


def test_grants_in_the_body_of_an_event_are_not_believed() -> None:
    document = deployed(1, planText=SHORT) | {"grants": ["plan"], "actor": "pat"}
    deploy = deploy_of(parse_kafka(json.dumps(document).encode(), ()), Projection(), None)
    assert (deploy.actor, deploy.grants) == (None, ())
    hidden = deployed(1, planText=SHORT)
    hidden["customData"]["penstock"]["grants"] = ["plan"]
    with pytest.raises(InvalidError):
        deploy_of(parse_kafka(json.dumps(hidden).encode(), ()), Projection(), None)


@pytest.mark.parametrize(("token", "grants"), [("ci", ("announce",)), ("root", ("announce", "plan"))])
async def test_the_announcement_carries_the_identity_of_the_token_and_its_grants(
    token: str, grants: tuple[str, ...]
) -> None:
    console = ConsoleApp()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(console.app), base_url="http://127.0.0.1") as http:
        headers = {"authorization": f"Bearer {token}-token"}
        answer = await http.post("/events", json=deployed(1, planText=SHORT) | {"actor": "pat"}, headers=headers)
    assert answer.status_code == 202, answer.text
    ((_, deploy),) = console.published
    assert isinstance(deploy, DeployAnnounced)
    assert (deploy.actor, deploy.grants) == (token, grants)


@pytest.mark.parametrize(
    ("approver", "fields"),
    [
        ("ci", {}),
        (" CI\u200b ", {}),
        ("ｃｉ", {}),
        ("Mira", {}),
        ("MIRA ", {}),
        ("ann@example.com", {"verified_author": "Ann@Example.com"}),
        ("pat", {}),
        ("PAT", {}),
        (None, {}),
    ],
)
def test_announcer_author_and_who_changed_the_plan_may_not_approve(
    approver: str | None, fields: dict[str, Any]
) -> None:
    target = Target()
    target.register(SHORT.replace("exposure: 25%,", "exposure: 25%, approval: {roles: [release-manager]},"))
    target.announce(**fields)
    (refused,) = target.ask(ApprovalGranted, approver)
    assert isinstance(refused, CommandRefused)
    assert refused.reason == "author_may_not_approve"
    assert target.exposure == 0.0
    assert types(target.ask(ApprovalGranted, "dan")) == ["stage.approved", "stage.entered"]


def test_one_person_under_two_spellings_approves_once() -> None:
    target = Target()
    approval = "approval: {roles: [release-manager], count: 2}"
    target.register(SHORT.replace("exposure: 25%,", f"exposure: 25%, {approval},"))
    target.announce()
    target.ask(ApprovalGranted, "dan")
    (refused,) = target.ask(ApprovalGranted, "Dan ")
    assert isinstance(refused, CommandRefused)
    assert target.exposure == 0.0


def test_a_release_without_an_identity_needs_an_approver_even_if_its_plan_names_none() -> None:
    target = Target()
    target.register(SHORT)
    assert types(target.announce(actor=None, grants=())) == ["rollout.announced", "approval.awaited"]


def test_the_unknown_announcer_of_a_release_cannot_be_its_only_approver() -> None:
    target = Target()
    target.register(SHORT.replace("exposure: 25%,", "exposure: 25%, approval: {roles: [release-manager]},"))
    target.announce(actor=None, grants=())
    assert types(target.ask(ApprovalGranted, "dan")) == ["stage.approved"]
    assert target.exposure == 0.0
    assert types(target.ask(ApprovalGranted, "eve")) == ["stage.approved", "stage.entered"]


def test_who_changed_the_plan_stays_barred_when_another_person_edits_it_and_is_free_once_others_approved_it() -> None:
    gated = SHORT.replace("exposure: 25%,", "exposure: 25%, approval: {roles: [release-manager]},")
    target = Target()
    target.register(gated, by="ann")
    target.register(f"{gated}# a remark\n", by="pat")
    target.announce()
    assert types(target.ask(ApprovalGranted, "Ann")) == ["command.refused"]
    target.ask(ApprovalGranted, "dan")
    target.announce(version="3")
    assert types(target.ask(ApprovalGranted, "ann")) == ["stage.approved", "stage.entered"]
