"""`make dev`: the embedded organisation, Dagster's webserver and daemon, and the console together, until Ctrl-C.

Starts processes and ends them; every one is the leader of its own group, so that what it started ends with it.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from writeback_pipeline.bindings import EMBEDDED_CLIENT
from writeback_pipeline.bridges import read_bridges
from writeback_pipeline.bridges_toml import Bridge
from writeback_pipeline.cli import in_words
from writeback_pipeline.commands.bridges import workspace_text
from writeback_pipeline.commands.dagster_home import PROJECT, use_dagster_home
from writeback_pipeline.environment import Environment, read_environment

HOST = "127.0.0.1"
DAGSTER_PORT = 3000
CONSOLE_PORT = 3001
ORGANISATION_PORT = 8000
GRACE_SECONDS = 15.0

POLL_SECONDS = 5
"""How often the queue is looked at: somebody watches."""


def main() -> int:
    """Serve everything; what is set up wrongly is told in words, with exit code 2."""
    try:
        return serve()
    except Exception as error:
        if told := in_words(error):
            print(f"Error: {told}", file=sys.stderr)  # noqa: T201
            return 2
        raise


def serve() -> int:
    """Start everything, print the addresses, wait for Ctrl-C or for one of them to end; 0 after Ctrl-C."""
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # a script's background begins with SIGINT ignored
        signal.signal(ending, signal.default_int_handler)
    variables = dict(os.environ)
    environment = read_environment(variables)
    variables["WRITEBACK_HOME"] = str(environment.home)
    variables.setdefault("WRITEBACK_POLL_SECONDS", str(POLL_SECONDS))
    use_dagster_home(environment, variables)
    bin_ = Path(sys.executable).parent
    _make_instance(variables)
    commands: list[Sequence[str]] = []
    lines = []
    bridges = read_bridges(variables)
    for number, (prefix, name) in enumerate([(each.prefix, each.name) for each in bridges] or [("", "")]):
        if not variables.get(f"{prefix}SALESFORCE_URL"):
            port = free_port(ORGANISATION_PORT + number)
            variables |= {f"{prefix}{variable}": value for variable, value in _embedded_organisation(port).items()}
            chosen = ["--bridge", name] if name else []
            commands.append([str(bin_ / "writebacks"), *chosen, "org", "serve", "--port", str(port)])
            lines.append(f"  embedded organisation   http://{HOST}:{port} {name}".rstrip())
    port = free_port(DAGSTER_PORT)
    workspace = ["-w", str(_workspace(bridges, environment))]
    commands.append([str(bin_ / "dagster-webserver"), "-h", HOST, "-p", str(port), *workspace])
    commands.append([str(bin_ / "dagster-daemon"), "run", *workspace])
    variables["WRITEBACK_DAGSTER_URL"] = f"http://{HOST}:{port}"
    console_port = free_port(CONSOLE_PORT)
    commands.append([str(bin_ / "writebacks"), "console", "--port", str(console_port)])
    lines.insert(0, f"  console                 http://{HOST}:{console_port}")
    lines.insert(0, f"  Dagster                 {variables['WRITEBACK_DAGSTER_URL']}")
    print("\n".join(["Starting (Ctrl-C ends everything):", *lines]), flush=True)  # noqa: T201 - what the user came for
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            processes.append(_start(command, variables))
        while all(process.poll() is None for process in processes):
            time.sleep(0.5)
    except KeyboardInterrupt:
        return 0
    finally:
        _end(processes)
    print("One of the processes ended by itself; its last words are above.", file=sys.stderr)  # noqa: T201
    return 1


def _workspace(bridges: Sequence[Bridge], environment: Environment) -> Path:
    """The project's own workspace; where there are several bridges, one of all of them, none of them elsewhere."""
    if not bridges:
        return PROJECT / "workspace.yaml"
    path = environment.dagster_home / "workspace.yaml"
    path.write_text(workspace_text([replace(bridge, server=None) for bridge in bridges]))
    return path


def free_port(preferred: int) -> int:
    """That port of the loopback interface, or any free one if it is taken."""
    for port in (preferred, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return int(probe.getsockname()[1])
    raise OSError("no free port")


def _make_instance(variables: Mapping[str, str]) -> None:
    """Let one process make Dagster's tables before two open them."""
    make = "from writeback_pipeline.commands.runs import open_instance\nwith open_instance(): pass"
    subprocess.run([sys.executable, "-c", make], env=dict(variables), check=True)  # noqa: S603 - our own


def _embedded_organisation(port: int) -> dict[str, str]:
    return {
        "SALESFORCE_URL": f"http://{HOST}:{port}",
        "SALESFORCE_CLIENT_ID": EMBEDDED_CLIENT,
        "SALESFORCE_CLIENT_SECRET": EMBEDDED_CLIENT,
    }


def _start(command: Sequence[str], variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, cwd=PROJECT, env=dict(variables), start_new_session=True)  # noqa: S603 - our own


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ask every group to end, and after a grace period end it."""
    _signal(processes, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
    _signal(processes, signal.SIGKILL)
    for process in processes:
        process.wait()


def _signal(processes: Sequence[subprocess.Popen[bytes]], number: signal.Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)


if __name__ == "__main__":
    sys.exit(main())
