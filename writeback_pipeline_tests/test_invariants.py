"""The table of invariants names what is there: twenty of them, each checked by functions that exist."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
TABLE = (TESTS.parent / "docs" / "invariants.md").read_text()
ROWS = re.findall(r"^\| (\d+) \| (.+?) \| (.+) \|$", TABLE, re.MULTILINE)


def functions_in(path: str) -> set[str]:
    tree = ast.parse((TESTS / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_invariant_is_checked_by_what_there_is() -> None:
    assert [int(number) for number, _, _ in ROWS] == list(range(1, 21))
    for number, _, checks in ROWS:
        named = [each.split("::") for each in re.findall(r"`(.+?)`", checks)]
        assert named, number
        assert [name for path, name in named if name not in functions_in(path)] == []
