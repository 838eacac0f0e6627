"""Only the files that a window needs are read, wherever they lie; a faulty one is named and stops no other window."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pytest

from writeback_pipeline.activity.counting import no_events
from writeback_pipeline.activity.database import ActivityDataError, event_database
from writeback_pipeline.activity.files import fingerprint, window_files
from writeback_pipeline.activity.summaries import summarise
from writeback_pipeline.domain.activity import Presentation
from writeback_pipeline.domain.settings import Occurrence
from writeback_pipeline.domain.writebacks import Kind
from writeback_pipeline_tests.activity.events import SCHEMA, event, read, window, write, write_file

NOON = "2026-11-{:02}T12:00:00"


def three_days(folder: Path) -> Path:
    """An event a day on 9, 10 and 11 November."""
    write(folder, [event(f"e{day}", NOON.format(day)) for day in (9, 10, 11)])
    return folder


def events_read(location: Path | str, name: str, zone: str = "UTC") -> int:
    return read(location, window(name, zone)).counted.totals.events_read


def file_of(folder: Path, day: int) -> Path:
    return folder / f"date=2026-11-{day:02}" / "events.parquet"


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def garbage(file: Path) -> None:
    file.write_bytes(b"not a Parquet file " * 50)


def half_written(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:200])


def broken_inside(file: Path) -> None:
    """A whole footer over pages that are not what it says."""
    content = bytearray(file.read_bytes())
    content[4:400] = b"\xff" * 396
    file.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [truncate, empty, garbage, half_written, broken_inside])
def test_a_file_that_cannot_be_read_fails_its_window_by_name_and_no_other(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    three_days(tmp_path)
    damage(file_of(tmp_path, 10))
    with pytest.raises(ActivityDataError, match=r"date=2026-11-10.events\.parquet: cannot be read") as caught:
        read(tmp_path, window("2026-11-10"))
    assert caught.value.file == str(file_of(tmp_path, 10))
    assert "then run the window again" in str(caught.value)
    assert events_read(tmp_path, "2026-11-09") == 1
    assert events_read(tmp_path, "2026-11-11") == 1


def test_of_many_files_the_faulty_one_is_named(tmp_path: Path) -> None:
    three_days(tmp_path)
    for number in range(5):
        write_file(file_of(tmp_path, 10).with_name(f"{number}.parquet"), [event(f"x{number}", NOON.format(10))])
    garbage(file_of(tmp_path, 10).with_name("3.parquet"))
    with pytest.raises(ActivityDataError) as caught:
        read(tmp_path, window("2026-11-10"))
    assert caught.value.file.endswith("3.parquet")


@pytest.mark.parametrize(
    ("column", "type_", "shown"),
    [
        ("occurred_at", pa.string(), "VARCHAR, it must be TIMESTAMP"),
        ("event_id", pa.int64(), "BIGINT, it must be VARCHAR"),
        ("salesforce_id", pa.binary(), "BLOB, it must be VARCHAR"),
        ("is_machine_open", pa.int32(), "INTEGER, it must be BOOLEAN"),
    ],
)
def test_a_column_of_another_type_is_named_with_what_was_found_and_expected(
    tmp_path: Path, column: str, type_: pa.DataType, shown: str
) -> None:
    three_days(tmp_path)
    schema = SCHEMA.set(SCHEMA.get_field_index(column), pa.field(column, type_))
    write_file(file_of(tmp_path, 10), [], schema)
    with pytest.raises(ActivityDataError) as caught:
        read(tmp_path, window("2026-11-10"))
    assert f"{file_of(tmp_path, 10)}: column {column} is {shown}" in str(caught.value)
    assert caught.value.column == column
    assert events_read(tmp_path, "2026-11-09") == 1


@pytest.mark.parametrize("column", SCHEMA.names)
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    write_file(file_of(tmp_path, 10), [], SCHEMA.remove(SCHEMA.get_field_index(column)))
    with pytest.raises(ActivityDataError, match=f"column {column} is missing"):
        read(tmp_path, window("2026-11-10"))


STATISTICS: list[dict[str, Any]] = [{}, {"write_statistics": False}, {"use_deprecated_int96_timestamps": True}]
"""Of every column, of none, and of all but times, which is how Spark writes."""


@pytest.mark.parametrize("statistics", STATISTICS)
@pytest.mark.parametrize("column", ["event_id", "occurred_at"])
def test_events_without_an_id_or_a_time_are_refused_rather_than_lost(
    tmp_path: Path, column: str, statistics: dict[str, Any]
) -> None:
    rows = [event("e1", NOON.format(10)), event("e2", NOON.format(10)) | {column: None}]
    write_file(file_of(tmp_path, 10), rows, **statistics)
    with pytest.raises(ActivityDataError, match=f"1 events have no {column}"):
        read(tmp_path, window("2026-11-10"))


@pytest.mark.parametrize("statistics", STATISTICS)
def test_events_in_a_date_where_no_window_finds_them_are_refused_rather_than_lost(
    tmp_path: Path, statistics: dict[str, Any]
) -> None:
    write_file(file_of(tmp_path, 10), [event("e1", NOON.format(10)), event("e2", NOON.format(5))], **statistics)
    with pytest.raises(ActivityDataError, match="holds events from 2026-11-05 to 2026-11-10"):
        read(tmp_path, window("2026-11-10"))


def test_a_year_that_python_does_not_have_is_refused_where_it_is_and_nowhere_else(tmp_path: Path) -> None:
    three_days(tmp_path)
    duckdb.execute(
        f"COPY (SELECT * REPLACE (TIMESTAMP '58000-01-01' AS occurred_at) FROM '{file_of(tmp_path, 10)}') "
        f"TO '{tmp_path}/far.parquet'"
    )
    (tmp_path / "far.parquet").rename(file_of(tmp_path, 10))
    with pytest.raises(ActivityDataError, match="holds events from 9999-12-31 to 9999-12-31"):
        read(tmp_path, window("2026-11-10"))
    assert events_read(tmp_path, "2026-11-11") == 1


@pytest.mark.parametrize("statistics", [True, False])
def test_times_that_are_texts_are_a_fault_of_their_own_day(tmp_path: Path, statistics: bool) -> None:
    three_days(tmp_path)
    schema = SCHEMA.set(SCHEMA.get_field_index("occurred_at"), pa.field("occurred_at", pa.string()))
    rows = [event("e", NOON.format(10)) | {"occurred_at": text} for text in ("2026-11-10T12:00:00", "unknown")]
    write_file(file_of(tmp_path, 10), rows, schema, write_statistics=statistics)
    with pytest.raises(ActivityDataError, match="column occurred_at is VARCHAR"):
        read(tmp_path, window("2026-11-10"))
    assert events_read(tmp_path, "2026-11-11") == 1


@pytest.mark.parametrize(
    "type_",
    [pa.timestamp("s"), pa.timestamp("ms"), pa.timestamp("ns"), pa.timestamp("us", "UTC"), pa.timestamp("ms", "UTC")],
)
def test_times_may_be_stored_in_any_usual_way(tmp_path: Path, type_: pa.DataType) -> None:
    schema = SCHEMA.set(SCHEMA.get_field_index("occurred_at"), pa.field("occurred_at", type_))
    write_file(file_of(tmp_path, 10), [event("e1", "2026-11-10T23:59:59"), event("e2", "2026-11-10T00:00:00")], schema)
    write_file(file_of(tmp_path, 10).with_name("usual.parquet"), [event("e3", NOON.format(10))])
    summary = read(tmp_path, window("2026-11-10")).only()
    assert summary.count == 3
    assert summary.first_at.isoformat() == "2026-11-10T00:00:00+00:00"
    assert summary.last_at.isoformat() == "2026-11-10T23:59:59+00:00"


def test_further_columns_and_another_order_of_columns_do_not_matter(tmp_path: Path) -> None:
    fields = [*reversed(list(SCHEMA)), pa.field("campaign", pa.int64())]
    write_file(file_of(tmp_path, 10), [event("e1", NOON.format(10), campaign=7)], pa.schema(fields))
    write_file(file_of(tmp_path, 10).with_name("usual.parquet"), [event("e2", NOON.format(10))] * 2)
    assert read(tmp_path, window("2026-11-10")).only().count == 2


@pytest.mark.parametrize("location", ["nowhere", "nowhere/date=*", "nowhere/[ab]*"])
def test_a_place_without_files_has_no_events(tmp_path: Path, location: str) -> None:
    found = read(tmp_path / location, window("2026-11-10"))
    assert found.counted.totals.events_read == 0
    assert found.summaries == {Kind.SENT: [], Kind.OPENED: []}
    assert found.nobody == {Kind.SENT: [], Kind.OPENED: []}


def test_a_date_without_files_and_a_file_without_events_have_no_events(tmp_path: Path) -> None:
    three_days(tmp_path)
    write_file(file_of(tmp_path, 20), [])
    for name in ("2026-11-15", "2026-11-20"):
        assert read(tmp_path, window(name)).counted.totals == no_events()


@pytest.mark.parametrize("name", ['it\'s "quoted"', "a [b] c*d?", "with space", "Ünïcödé 冬", "semi;colon -- drop"])
def test_a_folder_may_be_called_anything(tmp_path: Path, name: str) -> None:
    assert events_read(three_days(tmp_path / name), "2026-11-10") == 1


def test_a_location_may_be_an_address_or_a_pattern(tmp_path: Path) -> None:
    three_days(tmp_path / "east")
    write(tmp_path / "west", [event("w1", NOON.format(10))])
    assert events_read(f"file://{tmp_path}/east", "2026-11-10") == 1
    assert events_read(f"{tmp_path}/east/", "2026-11-10") == 1
    assert events_read(f"{tmp_path}/*", "2026-11-10") == 2


def test_a_place_that_cannot_be_listed_is_an_error_and_not_an_empty_one() -> None:
    with event_database() as database:
        database.execute("SET autoinstall_known_extensions = false; SET autoload_known_extensions = false")
        with pytest.raises(ActivityDataError, match="cannot be listed"):
            window_files(database, "s3://no-such-bucket/events", window("2026-11-10"))


@pytest.mark.parametrize("setting", ["autoinstall_known_extensions", "autoload_known_extensions"])
@pytest.mark.parametrize(("place", "extension"), [("s3://bucket/events", "httpfs"), ("az://container/events", "azure")])
def test_an_extension_that_the_place_takes_and_is_not_there_is_named_with_how_to_install_it(
    tmp_path: Path, place: str, extension: str, setting: str
) -> None:
    with event_database() as database:
        database.execute(f"SET extension_directory = '{tmp_path}'; SET {setting} = false")
        with pytest.raises(ActivityDataError) as caught:
            window_files(database, place, window("2026-11-10"))
    told = str(caught.value)
    begin = f"{place}/date=2026-11-10/*.parquet: cannot be listed, DuckDB's extension {extension} is not installed ("
    assert told.startswith(begin)
    assert f"duckdb.execute('INSTALL {extension}')" in told
    assert "\n" not in told


def test_a_day_of_another_zone_takes_the_two_utc_dates_that_it_touches(tmp_path: Path) -> None:
    write(tmp_path, [event(f"e{hour}", f"2026-11-{day}T{hour:02}:30:00") for day in (10, 11) for hour in range(24)])
    with event_database() as database:
        files = window_files(database, str(tmp_path), window("2026-11-10", "America/New_York"))
    assert files == [str(file_of(tmp_path, day)) for day in (10, 11)]
    assert events_read(tmp_path, "2026-11-10", "America/New_York") == 24


@pytest.mark.parametrize("statistics", STATISTICS)
def test_an_event_filed_under_the_date_beside_its_own_is_found(tmp_path: Path, statistics: dict[str, Any]) -> None:
    three_days(tmp_path)
    write_file(file_of(tmp_path, 11).with_name("early.parquet"), [event("late", "2026-11-10T23:59:00")], **statistics)
    write_file(file_of(tmp_path, 9).with_name("late.parquet"), [event("early", "2026-11-10T00:00:00")], **statistics)
    assert events_read(tmp_path, "2026-11-10") == 3
    assert events_read(tmp_path, "2026-11-11") == 1


def test_a_week_reads_its_seven_dates(tmp_path: Path) -> None:
    write(tmp_path, [event(f"e{day}", NOON.format(day)) for day in range(1, 20)])
    with event_database() as database:
        files = window_files(database, str(tmp_path), window("2026-11-09", occurrence=Occurrence.WEEKLY))
    assert files == [str(file_of(tmp_path, day)) for day in range(9, 16)]


def test_a_fingerprint_changes_with_the_files_of_its_window_and_with_no_others(tmp_path: Path) -> None:
    three_days(tmp_path)

    def prints() -> list[str]:
        with event_database() as database:
            return [
                fingerprint(database, window_files(database, str(tmp_path), window(f"2026-11-{day:02}")))
                for day in (9, 10, 11, 12)
            ]

    before = prints()
    assert len(set(before)) == 4
    assert before[3] == ""
    assert prints() == before
    write_file(file_of(tmp_path, 10).with_name("more.parquet"), [event("more", NOON.format(10))])
    after = prints()
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, True, True]
    shutil.rmtree(tmp_path / "date=2026-11-10")
    assert prints()[1] == ""


def test_a_fault_of_the_machine_is_not_blamed_on_a_file(tmp_path: Path) -> None:
    rows = [event(f"e{number}", NOON.format(10), subject="s" * number) for number in range(5_000)]
    write_file(file_of(tmp_path, 10), rows)
    with event_database(memory_limit="2MB", threads=1) as database:
        database.execute("SET temp_directory = ''")
        with (
            pytest.raises(duckdb.OutOfMemoryException),
            summarise(database, str(tmp_path), window("2026-11-10"), Presentation("Informz", ZoneInfo("UTC"))),
        ):
            pass
