"""/local/faults: arming, listing and clearing faults over HTTP. No part of Salesforce, and open to this machine only.

There is no sign-in: the server listens on loopback, and a request that a web page might have sent is turned away.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from writeback_pipeline.local_org import faults, records
from writeback_pipeline.local_org.api.http import Response
from writeback_pipeline.local_org.fault_kinds import KINDS
from writeback_pipeline.local_org.faults import FaultError

_OURSELVES = {"127.0.0.1", "localhost", "::1"}


def answer(
    connection: sqlite3.Connection, method: str, fault_id: str, headers: Mapping[str, str], document: Any
) -> Response:
    """GET what is armed, what has struck and what there is; POST a fault to arm; DELETE one or all.

    `document` is the parsed body.
    """
    if urlsplit(f"//{headers.get('host', '')}").hostname not in _OURSELVES or "origin" in headers:
        return _refused(403, "faults are armed from this machine only, and not by web pages")
    if method == "GET" and not fault_id:
        return Response(200, _all(connection))
    if method == "POST" and not fault_id:
        return _arm(connection, document)
    if method == "DELETE" and (not fault_id or fault_id.isdecimal()):
        cleared = faults.clear(connection, int(fault_id) if fault_id else None)
        return Response(200, {"cleared": cleared}) if cleared or not fault_id else _refused(404, "no such fault")
    return _refused(405, "GET and POST /local/faults, DELETE /local/faults and /local/faults/ID")


def _all(connection: sqlite3.Connection) -> dict[str, Any]:
    with records.reading(connection):
        armed = [faults.as_told(connection, fault) for fault in faults.armed(connection)]
        injected = faults.injected(connection)
    return {"faults": armed, "injected": injected, "kinds": {name: asdict(kind) for name, kind in KINDS.items()}}


def _arm(connection: sqlite3.Connection, document: Any) -> Response:
    if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
        return _refused(400, 'the body is a JSON object such as {"kind": "unavailable", "times": 1}')
    try:
        options = {name: value for name, value in document.items() if name != "kind"}
        return Response(201, faults.as_told(connection, faults.arm(connection, document["kind"], **options)))
    except FaultError as error:
        return _refused(400, str(error))


def _refused(status: int, why: str) -> Response:
    return Response(status, {"error": why})
