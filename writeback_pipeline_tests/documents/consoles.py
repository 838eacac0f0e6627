"""Plays a page's `console` blocks: each line behind `$ ` in one new home, in order, held to what the page shows."""

import doctest
import os
import re
import shutil
from collections.abc import Iterator

from click.testing import CliRunner

from writeback_pipeline.cli import main
from writeback_pipeline_tests.documents.pages import PROJECT, Page, page
from writeback_pipeline_tests.documents.shell import ours

LENIENT = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
TYPED = re.compile(r"\$ (.+?)(?: +# exit (\d))?")
NOT_OURS = ("SALESFORCE_", "WRITEBACK_", "DAGSTER_")

Step = tuple[int, str, int, str]


def steps(of: Page) -> Iterator[Step]:
    """What is typed: line, command, exit code and what is printed."""
    for fence in of.fences():
        if fence.language == "console":
            step: Step | None = None
            for number, line in enumerate(fence.text.splitlines(keepends=True), fence.line):
                if typed := TYPED.fullmatch(line.rstrip("\n")):
                    if step:
                        yield step
                    step = (number, typed[1], int(typed[2] or 0), "")
                elif step:
                    step = (*step[:3], step[3] + line)
            if step:
                yield step


def play(name: str, home: str) -> str:
    """The first command of that page which does not do what the page shows, and what to do; empty where all do.

    Changes the environment and the folder of its process, which is to be one of its own and sees one path of a home
    only: Dagster keeps the code location that it loaded first. The home is emptied.
    """
    shutil.rmtree(home, ignore_errors=True)
    for variable in [each for each in os.environ if each.startswith(NOT_OURS)]:
        del os.environ[variable]
    os.environ.update(WRITEBACK_HOME=home, COLUMNS="120")
    os.chdir(PROJECT)
    run_id = "RUN_ID"
    for line, command, exit_code, shown in steps(page(name)):
        for words in ours(command):
            done = CliRunner().invoke(main, [word.replace("RUN_ID", run_id) for word in words])
            run_id = next(iter(re.findall(r"^Run ([\w-]+):", done.output, re.MULTILINE)), run_id)
            expected = shown.replace("RUN_ID", run_id)
            told = f"{name}:{line}: {command}\nended with {done.exit_code} and printed:\n{done.output}\n-> "
            if done.exit_code != exit_code:
                return told + "correct the page, or write `# exit N` behind the command"
            if expected and not doctest.OutputChecker().check_output(expected, done.output, LENIENT):
                return told + "show that on the page, with ... for what differs each time"
    return ""
