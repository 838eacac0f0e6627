"""docs/deployment.md by hand, as far as it can be judged without an empty machine; `make follow` has one."""

import re
import shlex
import shutil
import sys
from configparser import RawConfigParser
from pathlib import Path

from writeback_pipeline.commands.dagster_home import PROJECT

DOCUMENT = (PROJECT / "docs" / "deployment.md").read_text()
UNITS = PROJECT / "deploy" / "systemd"
INSTALLED = Path(sys.executable).parent
FROM_APT = {"psql", "pg_dump", "pg_restore", "dropdb", "systemctl", "apt-get"}
"""Debian's, which this machine may do without."""


def _unit(path: Path) -> RawConfigParser:
    parser = RawConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[method-assign, assignment]
    parser.read(path)
    return parser


def _service(path: Path) -> list[str]:
    return shlex.split(_unit(path)["Service"]["ExecStart"])


def test_every_unit_starts_what_is_installed_as_a_user_without_rights_and_comes_up_again() -> None:
    units = sorted(UNITS.glob("*.service"))
    assert len(units) == 5
    for path in units:
        service = _unit(path)["Service"]
        program, *_ = _service(path)
        assert program.startswith("/opt/writebacks/.venv/bin/"), path
        assert (INSTALLED / Path(program).name).is_file(), path
        assert service["User"] == "writebacks", path
        assert service["NoNewPrivileges"] == "yes", path
        assert service["ProtectSystem"] == "strict", path
        assert service["ReadWritePaths"] == "/var/lib/writebacks", path
        assert service.get("Type") == "oneshot" or service["Restart"] == "always", path


def test_the_plain_commands_are_those_of_the_units() -> None:
    told = dict(re.findall(r"^\| (writebacks-\S+) \| `as-writebacks (?:env \S+ )?([^`]+)`", DOCUMENT, re.MULTILINE))
    for path in UNITS.glob("*.service"):
        name = path.stem.replace("@", "@one")
        program, *arguments = _service(path)
        words = [Path(program).name, *(word.replace("%i", "one").replace("%%", "%") for word in arguments)]
        assert told.pop(name).split() == words
    assert not told


def test_every_service_that_the_document_starts_or_stops_is_a_unit() -> None:
    named = set(re.findall(r"writebacks-[a-z]+(?:@[a-z]+)?(?:\.timer)?", "".join(_blocks())))
    for name in named:
        unit = re.sub(r"@\w+", "@", name)
        assert (UNITS / (unit if "." in unit else f"{unit}.service")).is_file(), name


def test_every_command_of_the_document_is_there_and_every_file_of_the_project_that_it_names() -> None:
    lines = [line for block in _blocks() for line in block.splitlines() if not re.match(r"\w+=\$|END|[A-Z_]+=", line)]
    words = [word for line in lines for word in re.findall(r"(?:^|&& |\| \(?|-- |\{ )([\w./-]+)", line)]
    assert len(words) > 30
    for word in set(words) - FROM_APT - {"cd", "."}:
        name = word.removeprefix(".venv/bin/")
        known = (INSTALLED / name).exists() or shutil.which(name) or (UNITS / name).exists()
        assert known, word
    for named in re.findall(r"(?<![\w/.])(?:deploy/[\w./-]+\w|requirements-[\w.]+)", "".join(_blocks())):
        assert any(PROJECT.glob(f"{named}*")), named


def _blocks() -> list[str]:
    return re.findall(r"```bash\n(.*?)```", DOCUMENT, re.DOTALL)
