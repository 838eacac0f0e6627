"""Deliveries on disks that are full, read-only or damaged: a clear error, nothing lost, nothing twice, and then on."""

import os
import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from writeback_pipeline.delivery.opt_outs import OptOutDelivery
from writeback_pipeline.domain.ledger import QUIET
from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.writebacks import Change, Kind, Status
from writeback_pipeline.store import database, engines
from writeback_pipeline.store.errors import StoreUnusable
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.patience import wait_until
from writeback_pipeline_tests.torture import size, tell
from writeback_pipeline_tests.world import World

pytestmark = pytest.mark.duckdb_file

AFTER_ALL_DOUBT = timedelta(minutes=4) + QUIET

needs_mounts = pytest.mark.skipif(os.getuid() != 0, reason="only root mounts a small disk")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB of its own, with the ledger on it and nothing else."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(disk: Path) -> None:
    with (disk / "ballast").open("wb", buffering=0) as ballast:
        try:
            while ballast.write(bytes(4096)):
                pass
        except OSError:
            pass


def empty(disk: Path) -> None:
    (disk / "ballast").unlink()


class Failing(Store):
    """A store whose disk breaks just before the step of that name, once."""

    def __init__(self, location: str | Path, home: Path, step: str, breaks: Callable[[], None]) -> None:
        super().__init__(location, home)
        self._step, self._breaks = step, breaks

    def __getattribute__(self, name: str) -> Any:
        if name == super().__getattribute__("__dict__").get("_step"):
            self._step = ""
            self._breaks()
        return super().__getattribute__(name)


def deliver(world: World, ledger: Store) -> None:
    world.clock.advance(timedelta(seconds=1))
    OptOutDelivery(ledger, world.organisation, world.clock).run()


def assert_each_has_exactly_one_note(world: World, people: Sequence[str]) -> None:
    assert Counter(len(world.notes(person)) for person in people) == {1: len(people)}
    assert all(map(world.opted_out, people))


@needs_mounts
@pytest.mark.parametrize("step", ["settle_without_recipient", "claim", "pin_organisation", "journal", "record"])
def test_a_disk_that_fills_up_at_any_commit_loses_nothing_and_sends_nothing_twice(
    world: World, disk: Path, step: str
) -> None:
    world.ledger = Store(disk / "writebacks.duckdb")
    people = [world.contact() for _ in range(300)]
    world.unsubscribe_all(people)
    with pytest.raises(StoreUnusable, match=r"writebacks\.duckdb.* The disk or its quota is full: free some space"):
        deliver(world, Failing(disk / "writebacks.duckdb", disk, step, lambda: fill(disk)))
    sent = sum(len(world.notes(person)) for person in people)
    assert sent == (300 if step == "record" else 0), "nothing is sent that is not journalled"
    empty(disk)
    world.clock.advance(AFTER_ALL_DOUBT)
    world.deliver()
    world.deliver()
    assert_each_has_exactly_one_note(world, people)
    assert Counter(row.status for row in world.rows()) == {Status.WRITTEN: 300}


@needs_mounts
def test_a_queue_on_a_full_disk_takes_all_of_a_file_or_nothing(world: World, disk: Path) -> None:
    world.ledger = Store(disk / "writebacks.duckdb")
    people = [world.contact() for _ in range(20)]
    world.unsubscribe_all(people[:10])
    fill(disk)
    with pytest.raises(StoreUnusable, match="free some space"):
        world.unsubscribe_all(people[10:])
    empty(disk)
    assert len(world.rows()) == 10
    world.unsubscribe_all(people[10:])
    world.deliver()
    assert_each_has_exactly_one_note(world, people)


@needs_mounts
@pytest.mark.parametrize("step", ["claim", "journal", "record"])
def test_a_home_that_becomes_read_only_is_named_and_works_again_once_it_is_not(
    world: World, disk: Path, step: str
) -> None:
    world.ledger = Store(disk / "writebacks.duckdb")
    people = [world.contact() for _ in range(10)]
    world.unsubscribe_all(people)

    def remount(how: str) -> None:
        again = ["mount", "-o", f"remount,{how}", str(disk)]
        wait_until(lambda: subprocess.run(again, capture_output=True, check=False).returncode == 0)  # nothing is open

    with pytest.raises(
        StoreUnusable, match=r"writebacks\.duckdb.* It may not be written: correct the owner and the perm"
    ):
        deliver(world, Failing(disk / "writebacks.duckdb", disk, step, lambda: remount("ro")))
    remount("rw")
    world.clock.advance(AFTER_ALL_DOUBT)
    world.deliver()
    world.deliver()
    assert_each_has_exactly_one_note(world, people)


class Damaged:
    """A ledger that has delivered everything but never wrote its log into its file, and copies to spoil."""

    def __init__(self, world: World, people: Sequence[str]) -> None:
        self.world = world
        self.changes = [Change(Kind.UNSUBSCRIBE, ObjectType.CONTACT, person, world.clock()) for person in people]
        self.people = people
        self._file = world.home / "writebacks.duckdb"
        self._log = world.home / "writebacks.duckdb.wal"
        for half in (self.changes[: len(people) // 2], self.changes[len(people) // 2 :]):
            world.ledger.enqueue(half, world.clock())
            world.deliver()
        self.log = self._log.read_bytes()
        self._whole = {path: path.read_bytes() for path in (self._file, self._log)}

    def spoil(self, file: bytes | None = None, log: bytes | None = None) -> None:
        """Put the ledger back, with another file or log."""
        self._file.write_bytes(self._whole[self._file] if file is None else file)
        self._log.write_bytes(self.log if log is None else log)

    @property
    def file(self) -> bytes:
        """The database file without its log."""
        return self._whole[self._file]

    def goes_on(self) -> str:
        """Deliver with what is there, and again when the platform has queued everything again. What the store said."""
        self.world.clock.advance(AFTER_ALL_DOUBT)
        try:
            self.world.deliver()
            if len(self.world.rows()) < len(self.changes):
                assert self._restores(), "a loss is noticed"
            self.world.ledger.enqueue(self.changes, self.world.clock())
            self.world.deliver()
            self.world.deliver()
        except StoreUnusable as error:
            assert "writebacks.duckdb" in str(error)
            return "refused"
        assert {row.status for row in self.world.rows()} == {Status.WRITTEN}
        return "delivered"

    def _restores(self) -> list[Any]:
        with database.Database(self._file).reading() as session:
            return session.execute("SELECT * FROM restores").fetchall()


@contextmanager
def nothing_leaves_the_log() -> Iterator[None]:
    """As if every process were killed at the end of its transaction: the log is never written into the file."""
    start = engines._started

    def started(path: Path) -> duckdb.DuckDBPyConnection:
        engine = start(path)
        engine.execute("PRAGMA disable_checkpoint_on_shutdown")
        return engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines, "_started", started)
        engines.close_all()
        yield
    engines.close_all()


@pytest.fixture
def damaged(world: World) -> Iterator[Damaged]:
    people = [world.contact() for _ in range(6)]
    Store(world.home / "writebacks.duckdb").settings()  # makes the file
    with nothing_leaves_the_log():
        made = Damaged(world, people)
        assert_each_has_exactly_one_note(world, people)
        yield made
        assert_each_has_exactly_one_note(world, people)


def test_a_log_cut_anywhere_leads_to_no_second_note_and_no_silent_loss(damaged: Damaged) -> None:
    chance = random.Random(60)
    told = Counter[str]()
    for cut in chance.sample(range(len(damaged.log)), size(10, 60)):
        damaged.spoil(log=damaged.log[:cut])
        told[damaged.goes_on()] += 1
    tell(f"write-ahead log cut {told.total()} times: {dict(told)}, duplicates 0, lost 0")
    assert told["delivered"] == told.total()


def test_a_byte_changed_anywhere_in_the_log_or_the_file_leads_to_no_second_note(damaged: Damaged) -> None:
    chance = random.Random(61)
    told = Counter[str]()
    for number in range(size(20, 60)):
        spoilt = bytearray(damaged.log if number % 3 else damaged.file)
        spoilt[chance.randrange(len(spoilt))] ^= 1 << chance.randrange(8)
        damaged.spoil(**{"log" if number % 3 else "file": bytes(spoilt)})
        told[damaged.goes_on()] += 1
    tell(f"{told.total()} bytes changed: {dict(told)}, duplicates 0, lost 0")
    damaged.spoil()
    assert damaged.goes_on() == "delivered", "with the file as it was, it works again"


def test_a_corrupt_database_is_named_with_the_remedy_and_the_last_backup_goes_on(world: World) -> None:
    people = [world.contact() for _ in range(4)]
    world.unsubscribe_all(people)
    path = world.home / "writebacks.duckdb"
    backup = Path(shutil.copy(path, world.home / "backup"))
    world.deliver()
    path.write_bytes(b"\0" * 100_000)
    with pytest.raises(StoreUnusable, match=r"writebacks\.duckdb cannot be used.*put the last backup in its place"):
        world.deliver()
    shutil.copy(backup, path)
    world.clock.advance(AFTER_ALL_DOUBT)
    world.deliver()
    world.deliver()
    assert_each_has_exactly_one_note(world, people)
