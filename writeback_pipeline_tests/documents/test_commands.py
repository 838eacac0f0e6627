"""Every `writebacks` command that a page names is one that there is, with options and values that it takes."""

import pytest

from writeback_pipeline.domain.alerts import RULES
from writeback_pipeline_tests.documents.pages import hold, pages
from writeback_pipeline_tests.documents.shell import Named, named_commands, trouble


def test_the_command_line_takes_every_command_that_a_page_names() -> None:
    named = [command for page in pages() for command in named_commands(page)]
    assert len(named) > 50
    hold(
        (f"{command.where}: {trouble(command)}" for command in named if trouble(command)),
        "write what can be typed, and in capitals what the reader puts in: writebacks why ID",
    )


def test_the_command_line_takes_what_an_alert_says_to_type() -> None:
    commands = [rule.command.removeprefix("writebacks ") for rule in RULES.values()]
    assert [trouble(Named("an alert", 1, tuple(words.split()), whole=True)) for words in commands] == [""] * len(RULES)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("enque unsubscribe", "there is no enque"),
        ("run opt-outs --dryrun", "--dry-run"),
        ("list --status open", "--status takes pending"),
        ("list --limit", "requires an argument"),
        ("settings set frequency=never", "frequency takes"),
        ("settings set unsubscribe_enabled=false", "cannot be turned off"),
        ("undo", "is missing"),
        ("check everything", "takes no everything"),
    ],
)
def test_what_the_command_line_would_not_take_is_found(words: str, told: str) -> None:
    assert told in trouble(Named("page.md", 1, tuple(words.split()), whole=True))


@pytest.mark.parametrize(
    "words", ["why ID", "list --status S", "settings set NAME=VALUE", "enqueue --file changes.csv"]
)
def test_capitals_stand_for_what_the_reader_puts_in(words: str) -> None:
    assert trouble(Named("page.md", 1, tuple(words.split()), whole=True)) == ""
