"""How trouble that concerns everything becomes a failed run: in our words, and retried only where it can pass."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from writeback_pipeline.delivery.activity import LeaseLost
from writeback_pipeline.delivery.pinning import WrongOrganisation
from writeback_pipeline.domain.records import OrganisationUnavailable
from writeback_pipeline.redaction import redacted

WRONG_ORGANISATION = "wrong_organisation"
"""The metadata that tells whether the credentials lead to another organisation than the ledger's."""


@contextmanager
def failing_in_words() -> Iterator[None]:
    """Trouble with the organisation, or a lost lease, as the run's failure; `passing` says whether it can pass."""
    try:
        yield
    except (OrganisationUnavailable, WrongOrganisation, LeaseLost) as error:
        passing = error.passing if isinstance(error, OrganisationUnavailable) else isinstance(error, LeaseLost)
        metadata = {"passing": passing, WRONG_ORGANISATION: isinstance(error, WrongOrganisation)}
        raise dg.Failure(redacted(str(error)), metadata=metadata, allow_retries=passing) from error
