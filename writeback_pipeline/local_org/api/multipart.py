"""multipart/form-data, as far as creating a Bulk job with its data needs it."""

from __future__ import annotations

import re

_BOUNDARY = re.compile(r'boundary="?([^";]+)"?', re.IGNORECASE)
_NAME = re.compile(rb'name="?([^";\r\n]+)"?', re.IGNORECASE)


def parts(content_type: str, body: bytes) -> dict[str, bytes] | None:
    """The content of each named part, byte for byte; None when the body is not what its header says."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        return None
    delimiter = b"\r\n--" + found[1].encode()
    _, *pieces = (b"\r\n" + body).split(delimiter)
    if not pieces or not pieces[-1].startswith(b"--"):
        return None
    read: dict[str, bytes] = {}
    for piece in pieces[:-1]:
        headers, separator, content = piece.partition(b"\r\n\r\n")
        name = _NAME.search(headers)
        if not separator or name is None:
            return None
        read[name[1].decode(errors="replace")] = content
    return read
