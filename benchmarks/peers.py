"""What a user would pick instead: other clients that do the same to the same people. Runs in an environment of its own.

`build/bench/bin/python benchmarks/peers.py CLIENT WORK` reads from standard input, as JSON, where the organisation is
and whose records are meant; prints the seconds that the work took, imports and sign-in left out. simple-salesforce
speaks nothing but https: REQUESTS_CA_BUNDLE names the certificate to trust. `unsubscribe` checks Email Opt Out and
makes a Note, `task` upserts a Task by its key. Each client is used as its own documents show it, at its own defaults;
an answer that refuses a row is an error. None of them looks at what it overwrites, keeps a journal, or could tell after
a broken call what was done.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

TITLE = "Contact unsubscribed from Informz on 11/23/26 09:05:07 AM"
FLAG, KEY = "HasOptedOutOfEmail", "Writeback_Key__c"

Step = tuple[str, str, list[dict[str, Any]]]
"""What is done to so many records of an object."""


def unsubscribe(people: Sequence[str]) -> list[Step]:
    """The flag and the Note of everybody."""
    notes = [{"ParentId": person, "Title": TITLE, "Body": f"{TITLE}\nToo many e-mails"} for person in people]
    return [("update", "Contact", [{"Id": person, FLAG: True} for person in people]), ("insert", "Note", notes)]


def task(people: Sequence[str]) -> list[Step]:
    """One Task of everybody."""
    same = {"Subject": "1 mailing sent", "Status": "Completed", "ActivityDate": "2026-11-20", "Description": "News"}
    return [("upsert", "Task", [{KEY: f"peer:{person}", "WhoId": person, **same} for person in people])]


def bare(steps: list[Step], told: dict[str, Any]) -> None:
    """The least that the interface allows: five collections of 200 rows a call, one after the other, nothing else."""
    import requests

    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {told['token']}"
    base = "/services/data/v60.0/composite"
    for operation, kind, records in steps:
        url = f"{base}/sobjects/{kind}/{KEY}" if operation == "upsert" else f"{base}/sobjects"
        method = "POST" if operation == "insert" else "PATCH"
        requests_ = [
            {"method": method, "url": url, "referenceId": f"r{n}", "body": {"records": _typed(kind, part)}}
            for n, part in enumerate(_parts(records, 200))
        ]
        for part in _parts(requests_, 5):
            answer = session.post(f"{told['address']}{base}", json={"compositeRequest": part}, timeout=120)
            answer.raise_for_status()
            for each in answer.json()["compositeResponse"]:
                _insist(each["body"])


def simple_loop(steps: list[Step], told: dict[str, Any]) -> None:
    """simple-salesforce, a record at a time."""
    sf = _simple(told)
    for operation, kind, records in steps:
        for record in records:
            if operation == "insert":
                _insist([getattr(sf, kind).create(record)])
            elif operation == "update":
                getattr(sf, kind).update(record["Id"], {name: value for name, value in record.items() if name != "Id"})
            else:
                values = {name: value for name, value in record.items() if name != KEY}
                getattr(sf, kind).upsert(f"{KEY}/{record[KEY]}", values)


def simple_collections(steps: list[Step], told: dict[str, Any]) -> None:
    """simple-salesforce, collections of 200 records by `restful`."""
    sf = _simple(told)
    for operation, kind, records in steps:
        path = f"composite/sobjects/{kind}/{KEY}" if operation == "upsert" else "composite/sobjects"
        for part in _parts(_typed(kind, records), 200):
            _insist(sf.restful(path, method="POST" if operation == "insert" else "PATCH", json={"records": part}))


def simple_bulk(steps: list[Step], told: dict[str, Any]) -> None:
    """simple-salesforce's bulk2, the results of each job read."""
    sf = _simple(told)
    for operation, kind, records in steps:
        handler = getattr(sf.bulk2, kind)
        how = {"external_id_field": KEY} if operation == "upsert" else {}
        for job in getattr(handler, operation)(records=records, **how):
            handler.get_successful_records(job["job_id"])
            if handler.get_failed_records(job["job_id"]).count("\n") > 1:
                raise RuntimeError("rows were refused")


def aio_sf(steps: list[Step], told: dict[str, Any]) -> None:
    """aio-sf: collections, five calls at a time."""
    from aio_sf import SalesforceClient, StaticTokenAuth

    async def work() -> None:
        async with SalesforceClient(StaticTokenAuth(told["address"], told["token"])) as client:
            for operation, kind, records in steps:
                how = {"external_id_field": KEY} if operation == "upsert" else {}
                answers = await getattr(client.collections, operation)(
                    records, sobject_type=kind, all_or_none=False, **how
                )
                _insist(answers)

    asyncio.run(work())


def kinetic_core(steps: list[Step], told: dict[str, Any]) -> None:
    """kinetic-core: a Bulk job for each object, its results read."""
    from kinetic_core.bulk import BulkV2Client
    from kinetic_core.core.session import SalesforceSession

    client = BulkV2Client(SalesforceSession(told["address"], told["token"], "v60.0"))
    for operation, kind, records in steps:
        how = {"external_id_field": KEY} if operation == "upsert" else {}
        result = getattr(client, operation)(kind, records, **how)
        if result.failed_records:
            raise RuntimeError(f"rows were refused: {result.failed_records[0]}")


def drt_core(steps: list[Step], told: dict[str, Any]) -> None:
    """drt-core: its Bulk destination, a job for each object; it asks every 5 seconds instead of every 30."""
    from drt.config.models import SalesforceBulkDestinationConfig, SyncOptions
    from drt.destinations.salesforce_bulk import SalesforceBulkDestination

    names = {"client_id": "local", "client_secret": "local", "username": "local@local.example", "password": "local"}
    os.environ |= {f"PEER_{name.upper()}": text for name, text in names.items()}
    for operation, kind, records in steps:
        config = SalesforceBulkDestinationConfig(
            type="salesforce_bulk", instance_url=told["address"], object_name=kind, operation=operation,
            external_id_field=KEY if operation == "upsert" else "Id", poll_interval_seconds=5,
            **{f"{name}_env": f"PEER_{name.upper()}" for name in names},
        )  # fmt: skip
        destination = SalesforceBulkDestination()
        destination.stage(records, config, SyncOptions())
        result = destination.finalize(config, SyncOptions())
        if result.failed or result.success != len(records):
            raise RuntimeError(f"rows were refused: {result.row_errors[:1]}")


CLIENTS: dict[str, Callable[[list[Step], dict[str, Any]], None]] = {
    "bare": bare,
    "simple-salesforce loop": simple_loop,
    "simple-salesforce collections": simple_collections,
    "simple-salesforce bulk2": simple_bulk,
    "aio-sf": aio_sf,
    "kinetic-core": kinetic_core,
    "drt-core": drt_core,
}


def _simple(told: dict[str, Any]) -> Any:
    from simple_salesforce.api import Salesforce

    return Salesforce(session_id=told["token"], instance_url=told["secure"])


def _typed(kind: str, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"attributes": {"type": kind}, **record} for record in records]


def _parts(whole: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(whole), size):
        yield whole[start : start + size]


def _insist(answers: Sequence[Any]) -> None:
    refused = [answer for answer in answers if not answer["success"]]
    if refused:
        raise RuntimeError(f"{len(refused)} rows were refused: {refused[0]}")


def main() -> None:
    """The command line."""
    client, work = sys.argv[1:]
    told = json.load(sys.stdin)
    steps = {"unsubscribe": unsubscribe, "task": task}[work](told["people"])
    CLIENTS[client]([], told)  # so that imports and connections are not measured
    started = time.perf_counter()
    CLIENTS[client](steps, told)
    print(time.perf_counter() - started)


if __name__ == "__main__":
    main()
