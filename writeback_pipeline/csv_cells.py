"""Texts as cells of a CSV file that people open in a spreadsheet: shown as they are, never run as a formula."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def formula_safe(text: str) -> str:
    """The text, with an apostrophe before it where a spreadsheet would otherwise take it for a formula."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
