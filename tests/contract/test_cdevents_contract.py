"""CDEvents, held against the published schemas: ours out, everybody's in."""

import jsonschema
import pytest
from referencing import Registry, Resource

from penstock.errors import InvalidError
from penstock.events import (
    BY_TYPE,
    RecoveryVerified,
    Release,
    RollbackCompleted,
    RolloutCompleted,
    StageJudged,
    from_json,
)
from penstock.events.cdevents.deployed import from_deployed, is_deployed, version_of
from penstock.events.cdevents.model import from_cdevent, to_cdevent
from penstock.events.cdevents.outward import to_standard
from tests.support.builders import an, example
from tests.support.docs.standards import documents

ONE_FLAG = lambda environment, service: ["form"]  # noqa: E731
NO_FLAG = lambda environment, service: []  # noqa: E731


@pytest.fixture(scope="module")
def validator_of():
    schemas = [
        *(schema for name, schema in documents("cdevents/schemas").items() if "links/" not in name),
        documents("cdevents/custom")["schema.json"],
    ]
    everything = documents("cdevents/schemas").values()
    registry = Registry().with_resources(
        (schema["$id"], Resource.from_contents(schema)) for schema in (*everything, schemas[-1])
    )
    by_type = {
        kind: schema
        for schema in schemas
        for kind in schema.get("properties", {})
        .get("context", {})
        .get("properties", {})
        .get("type", {})
        .get("enum", [])
    }

    def find(cdevents_type):
        schema = by_type.get(cdevents_type, schemas[-1])
        checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
        return jsonschema.Draft202012Validator(schema, registry=registry, format_checker=checker)

    return find


def deployed(**custom):
    return {
        "context": {
            "specversion": "0.5.1",
            "id": "d-1",
            "source": "/ci",
            "type": "dev.cdevents.service.deployed.0.3.0",
            "timestamp": "2026-03-02T14:00:00Z",
        },
        "subject": {
            "id": "checkout",
            "content": {"environment": {"id": "production"}, "artifactId": "pkg:oci/checkout@2.4.0"},
        },
        "customData": {"penstock": custom},
    }


@pytest.mark.parametrize("event_type", sorted(BY_TYPE))
def test_every_event_of_ours_is_a_valid_custom_cdevent_and_reads_back(event_type, validator_of):
    event = from_json(example(event_type))
    document = to_cdevent(event)
    validator_of(document["context"]["type"]).validate(document)
    assert from_cdevent(document) == event


def test_the_schema_check_can_fail(validator_of):
    document = to_cdevent(from_json(example("rollback.started")))
    document["context"]["type"] = "dev.cdeventsx.rollback.started"
    assert not validator_of(document["context"]["type"]).is_valid(document)


def test_a_rollback_is_linked_to_the_verdict_that_triggered_it():
    event = from_json(example("rollback.started"))
    kinds = {link["linkType"]: link for link in to_cdevent(event)["context"]["links"]}
    assert kinds["PATH"]["from"]["contextId"] == event.cause
    assert kinds["RELATION"]["linkKind"] == "TRIGGER"


def test_a_type_of_another_major_version_is_not_ours():
    document = to_cdevent(from_json(example("rollback.started")))
    document["context"]["type"] = document["context"]["type"].replace(".0.1.0", ".1.0.0")
    with pytest.raises(InvalidError, match="no event of ours"):
        from_cdevent(document)


def test_the_published_example_of_service_deployed_is_understood():
    document = documents("cdevents/conformance")["service_deployed.json"]
    assert is_deployed(document)
    document["customData"] = {"penstock": {"version": "1.2.3"}}
    deploy = from_deployed(document, ONE_FLAG)
    assert (deploy.id, deploy.source) == (document["context"]["id"], document["context"]["source"])
    assert deploy.target == "test123/mySubject123/form"
    assert deploy.release.artifact == document["subject"]["content"]["artifactId"]


def test_no_other_published_event_starts_a_rollout():
    for name, document in documents("cdevents/conformance").items():
        if name != "service_deployed.json":
            assert not is_deployed(document), name
            with pytest.raises(InvalidError, match="starts no rollout"):
                from_deployed(document, ONE_FLAG)


def test_an_event_of_cdevents_0_4_is_understood():
    document = deployed(flag="form")
    document["context"]["version"] = "0.4.1"
    del document["context"]["specversion"]
    document["context"]["type"] = "dev.cdevents.service.deployed.0.2.0"
    document["subject"]["type"] = "service"
    assert from_deployed(document, NO_FLAG).target == "production/checkout/form"


def test_what_the_deploy_says_in_custom_data_reaches_the_release():
    document = deployed(flag="form", plan="slow", releaseNotes="saved cards", author="mira", ticket="P-1", risk="high")
    deploy = from_deployed(document, NO_FLAG, actor="ci")
    assert deploy.plan_name == "slow"
    assert deploy.actor == "ci"
    assert deploy.release == Release(
        service="checkout",
        version="2.4.0",
        artifact="pkg:oci/checkout@2.4.0",
        notes="saved cards",
        author="mira",
        ticket="P-1",
        risk="high",
    )


def test_every_problem_of_a_deploy_is_listed_at_once():
    document = deployed(plan="a", planText="b")
    document["context"]["specversion"] = "9.9"
    document["subject"]["content"]["artifactId"] = "pkg:oci/checkout@sha256%3Aabc"
    with pytest.raises(InvalidError) as caught:
        from_deployed(document, NO_FLAG)
    assert [problem.where for problem in caught.value.problems] == [
        "context.specversion",
        "customData.penstock.version",
        "customData.penstock",
        "customData.penstock.flag",
    ]


def test_a_misspelt_key_in_our_part_is_an_error():
    with pytest.raises(InvalidError) as caught:
        from_deployed(deployed(flag="form", realeaseNotes="x"), NO_FLAG)
    assert "realeaseNotes" in caught.value.problems[0].where


def test_the_version_comes_from_the_package_url_unless_it_is_a_digest():
    assert version_of("pkg:oci/app@sha256%3Aabc?tag=1.2.3&arch=arm") == "1.2.3"
    assert version_of("pkg:pypi/app@4.5") == "4.5"
    assert version_of("pkg:oci/app@sha256%3Aabc") is None
    assert version_of("pkg:oci/app") is None


@pytest.mark.parametrize("kind", [StageJudged, RecoveryVerified, RollbackCompleted, RolloutCompleted])
def test_what_the_standard_has_a_word_for_is_said_in_it(kind, validator_of):
    former = Release(service="checkout", version="2.3.9")
    document = to_standard(an(kind), Release(service="checkout", version="2.4.0"), former)
    assert document is not None
    validator_of(document["context"]["type"]).validate(document)
    if kind is RollbackCompleted:
        assert document["subject"]["content"]["artifactId"] == "pkg:generic/checkout@2.3.9"


def test_a_rollback_to_nothing_known_has_no_standard_word():
    assert to_standard(an(RollbackCompleted), Release(service="checkout", version="2.4.0"), None) is None
