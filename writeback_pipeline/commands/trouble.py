"""How a command ends that meets trouble with the whole organisation: in words, with the same exit code everywhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from writeback_pipeline.commands.output import NEEDS_A_PERSON, NOTHING_CHANGED, message
from writeback_pipeline.delivery.pinning import WrongOrganisation
from writeback_pipeline.domain.records import OrganisationUnavailable


def exit_code_of_trouble(*, passing: bool) -> int:
    """1 for what may pass by itself, 2 for what is wrong until somebody mends it, such as a refused login."""
    return NEEDS_A_PERSON if passing else NOTHING_CHANGED


@contextmanager
def ending_in_words(remedy: str = "") -> Iterator[None]:
    """Ends the command when the block meets such trouble; `remedy` is said beside what the trouble says itself."""
    try:
        yield
    except (OrganisationUnavailable, WrongOrganisation) as error:
        message(" ".join(filter(None, (f"Error: {error}", remedy))))
        passing = isinstance(error, OrganisationUnavailable) and error.passing
        sys.exit(exit_code_of_trouble(passing=passing))
