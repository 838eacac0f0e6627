"""How trouble that concerns everything becomes a failed run: in our words, and retried only where it can pass."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

import dagster as dg

from writeback_pipeline.delivery.pinning import WrongOrganisation
from writeback_pipeline.domain.records import OrganisationUnavailable
from writeback_pipeline.domain.trouble import Trouble
from writeback_pipeline.redaction import redacted

WRONG_ORGANISATION = "wrong_organisation"
"""The metadata that tells whether the credentials lead to another organisation than the ledger's."""

Body = TypeVar("Body", bound=Callable[..., Any])


def failing_in_words(body: Body) -> Body:
    """The body of an asset or of a check, whose trouble is the run's failure; `passing` says whether it can pass."""

    @wraps(body)
    def results(*given: Any, **named: Any) -> Iterator[Any]:
        with _in_words():
            yield from body(*given, **named)

    @wraps(body)
    def result(*given: Any, **named: Any) -> Any:
        with _in_words():
            return body(*given, **named)

    return results if inspect.isgeneratorfunction(body) else result  # type: ignore[return-value]


@contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except (Trouble, OrganisationUnavailable) as error:
        metadata = {"passing": error.passing, WRONG_ORGANISATION: isinstance(error, WrongOrganisation)}
        raise dg.Failure(redacted(str(error)), metadata=metadata, allow_retries=error.passing) from error
