"""The lines of a text file, and which of them are not UTF-8; CSV and JSON Lines are read through here."""

from collections.abc import Iterator
from io import TextIOWrapper
from typing import BinaryIO


def text_lines(file: BinaryIO) -> Iterator[tuple[str, str | None]]:
    """Each line with its ending, and what is wrong with its encoding, if anything.

    A byte order mark at the beginning is skipped. Bytes that are not UTF-8 come as lone surrogates U+DC80 to U+DCFF.
    The file is closed with the last line.
    """
    with TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
        for number, line in enumerate(lines, start=1):
            yield line, None if line.isascii() else _damage(line, number)


def _damage(line: str, number: int) -> str | None:
    try:
        line.encode()
    except UnicodeEncodeError as error:
        position = len(line[: error.start].encode()) + 1
        byte = ord(line[error.start]) - 0xDC00
        return f"not UTF-8: byte {position} of line {number} is 0x{byte:02X}; save the file as UTF-8"
    return None
