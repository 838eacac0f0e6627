"""What pages show in `console` blocks is what happens: each page's commands run in a new home and print that.

The organisation is the embedded one, over HTTP, and runs are Dagster's. A line that begins with `$ ` is typed, and what
follows it must be printed; `...` stands for anything, and blanks do not count. `# exit 1` behind a command says that it
does not end with 0. Blocks in another language (`sh`) are not run; `test_commands` looks at what they name.
"""

import doctest
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from writeback_pipeline.cli import main
from writeback_pipeline_tests.documents.pages import PROJECT, Page, pages
from writeback_pipeline_tests.documents.shell import ours

LENIENT = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
TYPED = re.compile(r"\$ (.+?)(?: +# exit (\d))?")


def steps(page: Page) -> Iterator[tuple[int, str, int, str]]:
    """What is typed: line, command, exit code and what is printed."""
    for fence in page.fences():
        if fence.language == "console":
            step: tuple[int, str, int, str] | None = None
            for number, line in enumerate(fence.text.splitlines(keepends=True), fence.line):
                if typed := TYPED.fullmatch(line.rstrip("\n")):
                    if step:
                        yield step
                    step = (number, typed[1], int(typed[2] or 0), "")
                elif step:
                    step = (*step[:3], step[3] + line)
            if step:
                yield step


@pytest.mark.parametrize("page", [page for page in pages() if any(steps(page))], ids=lambda each: each.name)
def test_what_a_page_shows_is_what_happens(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(PROJECT)
    names = ("SALESFORCE_URL", "WRITEBACK_DATABASE", "WRITEBACK_ACTIVITY", "WRITEBACK_ALERT_WEBHOOK")
    environment = {**dict.fromkeys(names), "WRITEBACK_HOME": str(tmp_path / "home"), "COLUMNS": "120", "USER": "olga"}
    for line, command, exit_code, printed in steps(page):
        where = f"{page.name}:{line}: {command}"
        for words in ours(command):
            done = CliRunner().invoke(main, list(words), env=environment)
            told = f"{where}\nit ended with {done.exit_code} and printed:\n{done.output}\n"
            if done.exit_code != exit_code:
                pytest.fail(told + "-> correct the page, or say `# exit N` behind the command", pytrace=False)
            if printed and not doctest.OutputChecker().check_output(printed, done.output, LENIENT):
                pytest.fail(told + "-> show that on the page, with ... for what differs each time", pytrace=False)
