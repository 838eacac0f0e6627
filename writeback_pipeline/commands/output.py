"""What every command's output keeps to: results on standard output, messages on standard error, wrong input exits 2."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import click

from writeback_pipeline.domain.writebacks import utc_text
from writeback_pipeline.hints import typed

_F = TypeVar("_F", bound=Callable[..., Any])

NEEDS_A_PERSON = 1
"""Exit code: some rows need a person, or something passing stopped the run."""

NOTHING_CHANGED = 2
"""Exit code: the input or the configuration is wrong."""


class InputError(click.ClickException):
    """The input or the configuration is wrong and nothing was changed; the message says what to do."""

    exit_code = NOTHING_CHANGED

    def format_message(self) -> str:
        """What is shown."""
        return typed(super().format_message())


def format_option(*formats: str) -> Callable[[_F], _F]:
    """`--format`, the first being the default."""
    return click.option(
        "--format",
        "format_",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        help="Form of the output.",
    )


def print_json(document: Any) -> None:
    """One JSON document on standard output; instants as ISO 8601 in UTC with Z."""
    click.echo(json.dumps(document, indent=2, default=_as_text))


def say(text: str) -> None:
    """The result in words, on standard output."""
    click.echo(typed(text))


def message(text: str) -> None:
    """A line for the person at the keyboard, where it does not mix with the result."""
    click.echo(typed(text), err=True)


def _as_text(value: Any) -> str:
    return utc_text(value) if isinstance(value, datetime) else str(value)
