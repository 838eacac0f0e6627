"""The Note that an opt-out change leaves on a person: its sentence, its reason, its limits.

The sentence is a contract, character by character. The timestamp never depends on the machine's locale or zone.
"""

from base64 import b64encode
from datetime import datetime
from zoneinfo import ZoneInfo

from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.writebacks import Kind, local_time

BODY_LIMIT = 32_000
"""Largest Note.Body in UTF-8 bytes. Salesforce counts characters; bytes are the stricter reading."""

REASON_LIMIT = 32_768
"""Longest reason accepted into the queue, in characters; what does not fit the body is cut with a mark."""

# Salesforce refuses a ContentNote with any other named entity, &apos; among them, and with unprintable characters.
_IN_HTML = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;", "\t": " "}
    | dict.fromkeys(map(chr, range(0x80, 0xA0)), "\ufffd")
)
_CUT_MARK = "… [cut]"
_TWO_DIGITS = [f"{number:02}" for number in range(100)]
_SENTENCES = {
    Kind.UNSUBSCRIBE: "{object_type} unsubscribed from {platform} on {timestamp}",
    Kind.RESUBSCRIBE: "{object_type} resubscribed to {platform} on {timestamp}",
}


def note_timestamp(instant: datetime, zone: ZoneInfo) -> str:
    """`mm/dd/yy hh:mm:ss tt` in that zone: zero-padded, 12-hour, AM or PM; midnight is 12:00:00 AM."""
    local = local_time(instant, zone)
    half = "AM" if local.hour < 12 else "PM"
    two = _TWO_DIGITS
    return (
        f"{two[local.month]}/{two[local.day]}/{two[local.year % 100]} "
        f"{two[(local.hour - 1) % 12 + 1]}:{two[local.minute]}:{two[local.second]} {half}"
    )


def note_title(kind: Kind, object_type: ObjectType, instant: datetime, zone: ZoneInfo, platform: str) -> str:
    """The sentence, such as `Contact unsubscribed from Informz on 11/23/26 09:05:07 AM`; at most 80 characters."""
    return _SENTENCES[kind].format(
        object_type=object_type.value, platform=platform, timestamp=note_timestamp(instant, zone)
    )


def note_body(title: str, reason: str | None) -> str:
    """The sentence and, on the line below it, the reason; cut with a visible mark at BODY_LIMIT bytes."""
    text = clean_text(reason) if reason else ""
    if not text.strip():
        return title
    return cut(f"{title}\nReason: {text}", BODY_LIMIT)


def content_note(body: str) -> str:
    """The body as ContentNote.Content takes it: HTML in base64, every character of the text for itself, lines kept."""
    lines = (line.translate(_IN_HTML) for line in body.splitlines())
    return b64encode(f"<p>{'<br>'.join(lines)}</p>".encode()).decode()


def clean_text(text: str) -> str:
    """The text without what no store or API carries: control characters and lone surrogates become U+FFFD."""
    if text.isprintable():
        return text
    return "".join(
        "\ufffd" if (character < " " and character not in "\t\n\r") or "\ud800" <= character <= "\udfff" else character
        for character in text.replace("\x7f", "\ufffd")
    )


def cut(text: str, limit: int) -> str:
    """The text in at most `limit` UTF-8 bytes, cut between characters and marked where it was longer."""
    if len(text.encode()) <= limit:
        return text
    room = limit - len(_CUT_MARK.encode())
    return text.encode()[:room].decode(errors="ignore") + _CUT_MARK
