"""What docs/console.md shows is what the code takes."""

import json
import re

import yaml

from penstock.contract import ROOT
from penstock.events.cdevents.deployed import from_deployed
from penstock.tokens import Role, Tokens
from services.console.commands import VERBS, VerbBody

TEXT = (ROOT / "docs/console.md").read_text()


def block(language):
    (found,) = re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    return found


def test_the_deploy_shown_is_taken():
    deploy = from_deployed(json.loads(block("json")), lambda environment, service: ())
    assert deploy.target == "production/checkout/new-payment-form"
    assert deploy.release.version == "2.4.0"


def test_the_tokens_file_shown_loads():
    tokens = Tokens.model_validate(yaml.safe_load(block("yaml"))).tokens
    assert [who.identity for who in tokens] == ["checkout-ci", "ann"]


def test_every_role_and_verb_is_told():
    assert all(f"| `{role}`" in TEXT for role in Role)
    assert f"POST /api/rollouts/{{id}}/{'|'.join(VERBS)}" in TEXT


def test_the_body_shown_is_taken():
    (body,) = re.findall(r'`(\{"reason".*?\}\})`', TEXT)
    assert VerbBody.model_validate_json(body).expected.sequence == 7
