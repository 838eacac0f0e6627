"""What containers see as their files, without containers: copy-on-write roots, for root in namespaces of its own."""

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path


class Root:
    """A folder to change the root to, over another that stays as it is; names are those of this machine."""

    def __init__(self, lower: Path, folder: Path, names: Iterable[str]) -> None:
        upper, work, self.path = (folder / name for name in ("upper", "work", "root"))
        for made in (upper, work, self.path):
            made.mkdir(parents=True)
        mount("-t", "overlay", "overlay", "-o", f"lowerdir={lower},upperdir={upper},workdir={work}", self.path)
        for name in ("proc", "dev"):
            mount("--rbind", f"/{name}", self.path / name)
        self.put("/etc/hosts", "".join(f"127.0.0.1 {name}\n" for name in ("localhost", *names)))

    def folder(self, path: str) -> Path:
        """That folder, made if it is missing."""
        made = self.path / path.lstrip("/")
        made.mkdir(parents=True, exist_ok=True)
        return made

    def put(self, path: str, text: str) -> None:
        """Write a file."""
        (self.folder(str(Path(path).parent)) / Path(path).name).write_text(text)

    def show(self, outside: Path, path: str) -> None:
        """Let a folder from outside be seen there."""
        mount("--bind", outside, self.folder(path))

    def write_only_in(self, paths: Iterable[str]) -> None:
        """Everything else is read-only from now on; those are empty, and anybody may write there."""
        for path in paths:
            mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", self.folder(path))
        mount("-o", "remount,ro", self.path)


def words_in(root: Root, user: str | None, folder: str, host: str, command: Iterable[str]) -> list[str]:
    """The command as a process of that root, with a host name of its own."""
    as_user = [f"--userspec={user}"] if user else []
    named = 'echo "$0" > /proc/sys/kernel/hostname; exec "$@"'
    entered = [_program("chroot"), *as_user, str(root.path), "/usr/bin/env", "-C", folder, *command]
    return [_program("unshare"), "--uts", "/bin/sh", "-c", named, host, *entered]


def mount(*words: str | Path) -> None:
    """As `mount` does; raises CalledProcessError."""
    subprocess.run([_program("mount"), *words], check=True)


def _program(name: str) -> str:
    found = shutil.which(name)
    assert found, f"{name} is missing"
    return found
