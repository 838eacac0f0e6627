"""The image's Dockerfile, as far as it can be judged without building it; `make image` builds it and runs its parts."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser

from writeback_pipeline.commands.dagster_home import PROJECT

DOCKERFILE = PROJECT / "deploy" / "Dockerfile"


@pytest.fixture(scope="module")
def steps() -> list[dict[str, str]]:
    parser = DockerfileParser(str(DOCKERFILE))
    return [step for step in parser.structure if step["instruction"] != "COMMENT"]


def _values(steps: list[dict[str, str]], instruction: str) -> list[str]:
    return [step["value"] for step in steps if step["instruction"] == instruction]


def test_hadolint_has_nothing_to_say_about_it() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    subprocess.run([hadolint, "--failure-threshold", "style", DOCKERFILE], check=True)


def test_every_stage_begins_with_the_same_image_pinned_to_a_patch_version_of_the_python_that_is_tested(
    steps: list[dict[str, str]],
) -> None:
    images = {value.split()[0] for value in _values(steps, "FROM")}
    (image,) = images
    assert re.fullmatch(rf"python:3\.{sys.version_info.minor}\.\d+-slim-bookworm", image)


def test_it_runs_as_a_user_without_rights_whom_kubernetes_can_tell_by_number(steps: list[dict[str, str]]) -> None:
    (user,) = _values(steps, "USER")
    assert int(user) > 1000


def test_everything_that_is_installed_is_pinned_by_hash_and_no_cache_is_left(steps: list[dict[str, str]]) -> None:
    installs = [
        line for run in _values(steps, "RUN") for line in run.split("&&") if re.search(r"\binstall\b.* -", line)
    ]
    by_pip = [line for line in installs if "pip" in line]
    assert by_pip
    for line in by_pip:
        assert "--no-cache-dir" in line
        assert "--require-hashes" in line or "--no-deps" in line


def test_what_it_copies_is_there_and_not_ignored(steps: list[dict[str, str]]) -> None:
    kept = {line[1:].strip("/") for line in (PROJECT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    copied = [
        source.replace("${EXTRA}", extra)
        for value in _values(steps, "COPY")
        if not value.startswith("--from")
        for source in value.split()[:-1]
        for extra in ("celery", "k8s")
    ]
    assert "requirements-k8s.lock" in copied
    for source in copied:
        assert (PROJECT / source).exists(), source
        assert any(Path(source).match(name) or source.startswith(f"{name}/") for name in kept), source
