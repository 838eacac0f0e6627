"""A host that runs deploy/compose.yaml without Docker: `python -m ... FOLDER [IMAGE]`, in namespaces of its own.

Names, ports, paths, commands, environment, health checks and their order are the file's, as Docker's own `compose
config` resolves them. A container is a process in a copy-on-write root: over IMAGE, the built image's files, read-only
and as the image's user; without it over this machine's, with the checkout where the image has the code. PostgreSQL and
Redis are this machine's. One JSON document says what came of one unsubscribe; logs lie in FOLDER.
"""

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dockerfile_parse import DockerfileParser

from writeback_pipeline.commands.dagster_home import PROJECT
from writeback_pipeline_tests.deploy.roots import Root, mount, words_in
from writeback_pipeline_tests.postgres import programs

NAMESPACES = ("unshare", "--net", "--mount", "--uts", "--pid", "--fork", "--kill-child")
PATIENCE_SECONDS = 150.0
_UTILITIES = "/usr/local/bin:/usr/bin:/bin"
_SOCKETS = "/var/run/postgresql"


class Host:
    """The services of the compose file beside its env files in that folder."""

    def __init__(self, folder: Path, image: Path | None) -> None:
        self.folder, self.image = folder, image
        self.model = resolved(folder / "deploy")
        self.services: dict[str, Any] = self.model["services"]
        self.begun: dict[str, subprocess.Popen[bytes]] = {}
        self.healthy: list[str] = []
        dockerfile = DockerfileParser(str(PROJECT / "deploy" / "Dockerfile"))
        self.user = next(step["value"] for step in reversed(dockerfile.structure) if step["instruction"] == "USER")
        self.variables = dict(dockerfile.envs)
        self.variables["PATH"] += _UTILITIES
        self.postgres_path = f"{programs(folder)}:{_UTILITIES}"
        mount("-t", "tmpfs", "tmpfs", folder / "disk")
        self.machine = Root(Path("/"), folder / "disk" / "machine", self.services)
        self.machine.show(PROJECT, "/opt/writebacks")
        self.parts = Root(image, folder / "disk" / "image", self.services) if image else self.machine
        for name in self.services:
            self._furnish(name)
        if image:
            self.parts.write_only_in(["/tmp", "/var/lib/writebacks"])

    def up(self) -> None:
        """Start every service once what it depends on is there, as Compose does, and wait until all are healthy."""
        for name in self.services:
            self._up(name)
        for name, service in self.services.items():
            if "healthcheck" in service:
                self._wait_until_healthy(name)

    def run(self, name: str, *command: str) -> str:
        """What a command prints in that service, as with `docker compose exec`."""
        words, variables = self._words(name, command), self._environment(name)
        return subprocess.run(words, env=variables, check=True, text=True, stdout=subprocess.PIPE).stdout

    def last_words(self) -> str:
        """The end of every log."""
        return "\n".join(f"{log.stem}: {log.read_text()[-3_000:]}" for log in sorted(self.folder.glob("*.log")))

    def _up(self, name: str) -> None:
        if name in self.begun:
            return
        service = self.services[name]
        for other, needed in service.get("depends_on", {}).items():
            self._up(other)
            if needed["condition"] == "service_healthy":
                self._wait_until_healthy(other)
            else:
                assert self.begun[other].wait(PATIENCE_SECONDS) == 0, self.last_words()
        if name == "postgres":
            self._first_start_of_postgres()
            return
        for replica in range(service.get("deploy", {}).get("replicas", 1)):
            self._start(name, service["command"], replica)

    def _start(self, name: str, command: Sequence[str], replica: int = 0) -> None:
        with (self.folder / f"{name}{replica}.log").open("ab") as log:
            self.begun[name] = subprocess.Popen(
                self._words(name, command, replica), env=self._environment(name), stdout=log, stderr=log
            )

    def _wait_until_healthy(self, name: str) -> None:
        if name in self.healthy:
            return
        kind, *words = plain(self.services[name]["healthcheck"]["test"])
        command = words if kind == "CMD" else ["sh", "-c", *words]
        deadline = time.monotonic() + PATIENCE_SECONDS
        with (self.folder / "healthchecks.log").open("ab") as log:
            while subprocess.run(
                self._words(name, command), env=self._environment(name), stdout=log, stderr=log
            ).returncode:
                assert self.begun[name].poll() is None, f"{name} has ended; {self.last_words()}"
                assert time.monotonic() < deadline, f"{name} is not healthy; {self.last_words()}"
                time.sleep(0.5)
        self.healthy.append(name)

    def _root(self, name: str) -> Root:
        return self.parts if "build" in self.services[name] else self.machine

    def _furnish(self, name: str) -> None:
        root, service = self._root(name), self.services[name]
        for each in service.get("configs") or []:
            source = self.model["configs"][each["source"]]
            root.put(each["target"], plain(source.get("content")) or Path(source["file"]).read_text())
        for each in service.get("secrets") or []:
            root.put(f"/run/secrets/{each['source']}", Path(self.model["secrets"][each["source"]]["file"]).read_text())
        for path in (*(each["target"] for each in service.get("volumes") or []), *service.get("tmpfs", [])):
            root.folder(path)

    def _environment(self, name: str) -> dict[str, str]:
        paths = {"PATH": self.postgres_path if name == "postgres" else _UTILITIES}
        image = self.variables if "build" in self.services[name] else paths
        return image | {key: plain(value or "") for key, value in self.services[name].get("environment", {}).items()}

    def _words(self, name: str, command: Sequence[str], replica: int = 0) -> list[str]:
        ours = "build" in self.services[name]
        user = f"{self.user}:{self.user}" if ours and self.image else "nobody:nogroup" if name == "postgres" else None
        return words_in(
            self._root(name), user, "/opt/writebacks" if ours else "/", f"{name}{replica}", plain(list(command))
        )

    def _first_start_of_postgres(self) -> None:
        """What the image's own entry point does: a cluster, a server, the scripts for a first start."""
        variables = self._environment("postgres")
        for path in (str(Path(variables["PGDATA"]).parent), _SOCKETS):
            self.machine.folder(path).chmod(0o777)
        self.machine.put("/tmp/password", variables["POSTGRES_PASSWORD"])
        options = ["--username=postgres", "--pwfile=/tmp/password", "--auth-host=scram-sha-256", "--auth-local=trust"]
        self.run("postgres", "initdb", "--no-sync", *options)
        self._start("postgres", ["postgres", "-k", _SOCKETS, "-c", "fsync=off"])
        while self.begun["postgres"].poll() is None and not self._answers(5432):
            time.sleep(0.05)
        script = f"PGHOST={_SOCKETS}; export PGHOST; . /docker-entrypoint-initdb.d/databases.sh"
        self.run("postgres", "bash", "-c", script)

    @staticmethod
    def _answers(port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0


def resolved(deploy: Path) -> dict[str, Any]:
    """The compose file with its env files, as Docker's own program reads it; raises CalledProcessError."""
    (docker_compose,) = Path(sys.prefix).glob("lib/python3*/site-packages/compose/docker-compose")
    command = [str(docker_compose), "-f", str(deploy / "compose.yaml"), "config", "--format", "json"]
    shown: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return shown


def plain(value: Any) -> Any:
    """A resolved value as the container gets it: resolved files escape each dollar sign by another."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value.replace("$$", "$") if isinstance(value, str) else value


def main(folder: Path, image: Path | None = None) -> None:
    """Bring everything up and deliver one unsubscribe to the embedded organisation."""
    _loopback()
    organisation = [str(Path(sys.executable).with_name("writebacks")), "org", "serve", "--port", "8000"]
    home = {**os.environ, "WRITEBACK_HOME": str(folder / "organisation")}
    with (folder / "organisation.log").open("ab") as log:
        subprocess.Popen(organisation, env=home, stdout=log, stderr=log)
    host = Host(folder, image)
    host.up()
    person = (PROJECT / "data" / "sample" / "opt_outs.csv").read_text().splitlines()[1].split(",")[2]
    host.run("console", "writebacks", "enqueue", "unsubscribe", "--contact", person)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (row := json.loads(host.run("console", "writebacks", "list", "--format", "json"))[0])["status"] != "written":
        assert time.monotonic() < deadline, f"{row}; {host.last_words()}"
        time.sleep(1)
    print(json.dumps({"healthy": host.healthy, "row": row}))  # noqa: T201 - what the test reads


def _loopback() -> None:
    """Let the namespace's own loopback interface work."""
    up_and_running = struct.pack("16sh", b"lo", 0x41)
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, 0x8914, up_and_running)  # SIOCSIFFLAGS


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
