"""deploy/compose.yaml: what Docker's own program makes of it, and one unsubscribe delivered by what it says."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from writeback_pipeline.commands.dagster_home import PROJECT
from writeback_pipeline_tests.deploy.compose_host import NAMESPACES, resolved
from writeback_pipeline_tests.deploy.settings_read import is_read
from writeback_pipeline_tests.torture import ALL, tell

ACCOUNT = (
    "olga:operator:$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHRzYWx0c2FsdA$3c1Gr0gYxlGwjMQ2J8X9l0CwDWoCm1UAvCXWWmQf0Xk"
)
PIPELINE = {
    "SALESFORCE_URL": "http://127.0.0.1:8000",
    "SALESFORCE_CLIENT_ID": "local",
    "SALESFORCE_CLIENT_SECRET": "local",
    "WRITEBACK_POLL_SECONDS": "2",
}
THEIRS = {"POSTGRES_PASSWORD", "DATABASE_PASSWORD", "PGDATA", "REDISCLI_AUTH"}
"""Variables of the images of PostgreSQL and Redis, and of the script that makes the databases."""


@pytest.fixture
def deploy(tmp_path: Path) -> Path:
    """The folder with its env files filled in, as the document says."""
    folder = shutil.copytree(PROJECT / "deploy", tmp_path / "deploy")
    lines = (folder / "compose.env.example").read_text().splitlines()
    filled = [f"{line}{'s3cret' * 6}" if line.endswith("=") else line for line in lines]
    (folder / ".env").write_text("\n".join(filled))
    (folder / "pipeline.env").write_text("".join(f"{name}={value}\n" for name, value in PIPELINE.items()))
    (folder / "console_users").write_text(ACCOUNT)
    return folder


@pytest.fixture
def services(deploy: Path) -> dict[str, Any]:
    found: dict[str, Any] = resolved(deploy)["services"]
    return found


def test_without_its_passwords_nothing_starts(deploy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (deploy / ".env").write_text("")
    with pytest.raises(subprocess.CalledProcessError):
        resolved(deploy)
    assert "is missing in deploy/.env" in capfd.readouterr().err


def test_the_examples_hold_no_secret() -> None:
    for name in ("compose.env.example", "pipeline.env.example"):
        lines = (PROJECT / "deploy" / name).read_text().splitlines()
        for line in lines:
            left, equals, value = line.partition("=")
            assert (
                not equals
                or not value
                or "example.org" in value
                or left in ("SALESFORCE_URL", "#WRITEBACK_ACTIVITY_FOLDER", "#WRITEBACKS_VERSION")
            ), line


def test_every_part_is_the_one_image_read_only_and_without_rights(services: dict[str, Any]) -> None:
    parts = {name: service for name, service in services.items() if "build" in service}
    assert set(parts) == {"migrate", "code", "daemon", "webserver", "worker", "console"}
    assert len({service["image"] for service in parts.values()}) == 1
    for name, service in parts.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["restart"] == ("no" if name == "migrate" else "unless-stopped"), name
        assert not service.get("privileged"), name


def test_images_of_others_are_pinned_and_everything_that_lasts_says_how_it_is(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert "build" in service or service["image"].count(".") >= 1, name
        assert ":" in service["image"], name
        assert not service["image"].endswith(":latest"), name
        assert ("healthcheck" in service) is (name != "migrate"), name
        assert "security_opt" in service, name


def test_only_the_console_and_the_webserver_are_published_and_on_loopback(services: dict[str, Any]) -> None:
    ports = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert set(ports) == {"console", "webserver"}
    assert {port["host_ip"] for each in ports.values() for port in each} == {"127.0.0.1"}
    assert all(set(services[name]["networks"]) == {"inside"} for name in ("postgres", "redis", "daemon", "migrate"))


def test_only_what_delivers_knows_the_organisations_secret(services: dict[str, Any]) -> None:
    knowing = {name for name, service in services.items() if "SALESFORCE_CLIENT_SECRET" in service["environment"]}
    assert knowing == {"code", "worker", "console"}


def test_every_command_is_one_that_is_installed(services: dict[str, Any]) -> None:
    installed = Path(sys.executable).parent
    for name, service in services.items():
        if "build" in service:
            assert (installed / service["command"][0]).is_file(), name


def test_every_variable_is_one_that_somebody_reads(services: dict[str, Any]) -> None:
    examples = "\n".join((PROJECT / "deploy" / f"{name}.env.example").read_text() for name in ("compose", "pipeline"))
    for name in {name for service in services.values() for name in service["environment"]} - THEIRS:
        assert is_read(name), name
    compose = (PROJECT / "deploy" / "compose.yaml").read_text()
    for line in examples.splitlines():
        name, equals, _ = line.lstrip("#").partition("=")
        if equals and name.isupper():
            assert is_read(name) or f"${{{name}" in compose, name


@pytest.mark.skipif(os.geteuid() != 0, reason="namespaces of its own need root")
@pytest.mark.skipif(
    not ALL and not os.environ.get("WRITEBACK_IMAGE"), reason="a part of `make torture` and `make image`"
)
@pytest.mark.timeout(1_200)
def test_what_it_says_starts_in_its_order_gets_healthy_and_delivers(deploy: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "disk").mkdir()
    image = os.environ.get("WRITEBACK_IMAGE")
    command = [*NAMESPACES, sys.executable, "-m", "writeback_pipeline_tests.deploy.compose_host", str(tmp_path)]
    ran = subprocess.run([*command, *([image] if image else [])], cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    assert ran.returncode == 0
    told = json.loads(ran.stdout)
    assert set(told["healthy"]) == {"postgres", "redis", "code", "daemon", "webserver", "worker", "console"}
    assert told["row"]["status"] == "written"
    assert told["row"]["flag_result"] == "set"
    tell(f"compose file {'in the built image' if image else 'on this machine'}: all healthy, one unsubscribe written")
