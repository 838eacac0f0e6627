"""One ledger, one organisation: the first one it wrote to."""

from writeback_pipeline.domain.trouble import Trouble


class WrongOrganisation(Trouble):
    """The credentials lead to another organisation than the one this ledger belongs to."""


def check_pinned(pinned: str | None, found: str) -> None:
    """Refuse to write into another organisation than the ledger's own; raises WrongOrganisation."""
    if pinned is not None and pinned != found:
        raise WrongOrganisation(
            f"This ledger belongs to organisation {pinned}, but the credentials lead to {found}. Nothing was "
            "written. Correct SALESFORCE_URL, or use another WRITEBACK_HOME for the other organisation."
        )
