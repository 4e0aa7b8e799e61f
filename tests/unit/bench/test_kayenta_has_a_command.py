"""`penstock gates kayenta` reads a Kayenta configuration and metric data, and classifies as Kayenta documents it."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from penstock.cli.plans.gates import app
from penstock.errors import InvalidError
from tests.bench.kayenta.documents import config_of, series_of

CALM = [10.0, 10.2, 9.9, 10.1, 10.3, 9.8, 10.05, 9.95, 10.15, 9.85]
DOUBLE = [2 * value for value in CALM]


def config(**canary: Any) -> dict[str, Any]:
    names = (("latency", "system"), ("errors", "app"))
    metrics = [{"name": n, "groups": [g], "analysisConfigurations": {"canary": canary}} for n, g in names]
    classifier = {"groupWeights": {"system": 60, "app": 40}, "scoreThresholds": {"pass": 95, "marginal": 50}}
    return {"name": "shop", "metrics": metrics, "classifier": classifier}


def run(tmp_path: Path, document: Any, data: Any, *more: str) -> tuple[int, str]:
    paths = [tmp_path / name for name in ("config.json", "data.json")]
    for path, value in zip(paths, (document, data), strict=True):
        path.write_text(json.dumps(value))
    done = CliRunner().invoke(app, ["kayenta", *map(str, paths), *more])
    return done.exit_code, done.stdout


def test_metrics_that_do_not_differ_pass(tmp_path: Path) -> None:
    data = {name: {"experiment": CALM, "control": CALM} for name in ("latency", "errors")}
    code, text = run(tmp_path, config(direction="increase"), data)
    assert (code, text.splitlines()[-1]) == (0, "Pass: 100.0 (pass 95, marginal 50)")


def test_one_failing_group_is_marginal_and_a_critical_one_fails(tmp_path: Path) -> None:
    data = {"latency": {"experiment": CALM, "control": CALM}, "errors": {"experiment": DOUBLE, "control": CALM}}
    code, text = run(tmp_path, config(direction="increase"), data)
    assert code == 1
    assert "errors: High (ratio of means 2)" in text
    assert text.splitlines()[-1] == "Marginal: 60.0 (pass 95, marginal 50)"
    code, text = run(tmp_path, config(direction="increase", critical=True), data, "--json")
    assert code == 1
    assert json.loads(text)["score"]["verdict"] == "Fail"
    assert json.loads(text)["score"]["critical"] == ["errors"]


def test_allowed_increases_and_metric_set_pairs_are_read(tmp_path: Path) -> None:
    pairs = [
        {"name": n, "values": {"experiment": DOUBLE, "control": [*CALM, "NaN", None]}} for n in ("latency", "errors")
    ]
    assert run(tmp_path, config(direction="increase", effectSize={"allowedIncrease": 2.5}), pairs)[0] == 0
    assert run(tmp_path, config(direction="increase", effectSize={"allowedIncrease": 1.5}), pairs)[0] == 1


def test_all_problems_of_a_configuration_are_listed() -> None:
    bad = config(direction="sideways") | {"classifier": {"groupWeights": {"system": "most"}}}
    with pytest.raises(InvalidError) as found:
        config_of(json.dumps(bad))
    assert str(found.value).count("sideways") == 2
    assert "groupWeights.system" in str(found.value)


@pytest.mark.parametrize("text", ["", "[]", "7", "{", '{"metrics": []}', '{"metrics": [{}]}', "[" * 100_000])
def test_what_is_no_configuration_is_refused(text: str) -> None:
    with pytest.raises(InvalidError):
        config_of(text)


@pytest.mark.parametrize(
    "text", ["", "7", '{"m": 1}', '{"m": {"experiment": [1]}}', '{"m": {"experiment": ["x"], "control": []}}']
)
def test_what_is_no_data_is_refused(text: str) -> None:
    with pytest.raises(InvalidError):
        series_of(text)
