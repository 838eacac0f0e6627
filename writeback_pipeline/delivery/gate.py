"""The gate before every call of Salesforce: each is reserved in the ledger first, none is made while trouble lasts.

How many calls there may be is decided in `domain.budget`, how long trouble lasts in `domain.breaker`; the ledger keeps
both for all processes. What the calls are is the gateway's work.
"""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol
from uuid import uuid4

from writeback_pipeline.domain.breaker import common_trouble
from writeback_pipeline.domain.budget import Admission, CallAhead, Caller, Purpose
from writeback_pipeline.domain.holds import HeldBack, Hold
from writeback_pipeline.domain.ledger import StoreBusy
from writeback_pipeline.domain.records import Answer, ApiUsage, OrganisationUnavailable, RowResult
from writeback_pipeline.domain.settings import WritebackSettings

_NOTHING_HEARD = ApiUsage(calls=0)
_BUSY_FOR = timedelta(seconds=30)


class CallLedger(Protocol):
    """The store, as far as calls need it."""

    def settings(self) -> WritebackSettings:
        """The settings now."""

    def admit(self, caller: Caller, heard: ApiUsage, now: datetime, *, calls: int) -> Admission | Hold:
        """Reserve that many calls, none for a login, or say why they may not be made now."""

    def not_made(self, purpose: Purpose, admitted_at: datetime) -> None:
        """Give one call back that was admitted then and never left."""

    def hear(self, heard: ApiUsage, now: datetime) -> None:
        """Remember what the organisation said of its own count."""

    def trip(self, caller: Caller, trouble: OrganisationUnavailable, now: datetime, jitter: random.Random) -> None:
        """Let no call be made for a while."""

    def recover(self, caller: Caller, *, proven: bool) -> None:
        """Let calls be made again."""


@dataclass
class Gate:
    """Whom one run asks before each call it makes. Settings are read once; safe between threads.

    A `manual` run was started by a person: it need not wait for a breaker, but its first call is a probe all the same.
    Trouble that an `impatient` one meets is its own: it waits less long than deliveries do, and must not hold them up.
    """

    ledger: CallLedger
    purpose: Purpose
    now: Callable[[], datetime]
    manual: bool = False
    impatient: bool = False
    jitter: random.Random = field(default_factory=random.Random)
    _settings: WritebackSettings = field(init=False)
    _name: str = field(init=False, default_factory=lambda: uuid4().hex)
    _heard: ApiUsage = field(init=False, default=_NOTHING_HEARD)
    _here: threading.local = field(init=False, default_factory=threading.local)

    def __post_init__(self) -> None:
        self._settings = self.ledger.settings()

    def admit(self, heard: ApiUsage) -> None:
        """Reserve a call before it leaves, unless that was done ahead; raises HeldBack when it may not be made."""
        if not self._take_ahead():
            self._enter(heard, calls=1)

    def ahead(self, heard: ApiUsage) -> CallAhead:
        """This thread's next call, to be reserved with what the ledger enters before it."""
        now = self.now()

        def answered(answer: Admission | Hold) -> None:
            if isinstance(answer, Admission):
                self._admitted(answer, now)
                self._here.ahead = True

        return CallAhead(self._caller(), self._news(heard), now, answered)

    def forgo(self) -> None:
        """Give the call back that was reserved ahead in this thread, if it was not made."""
        if self._take_ahead():
            self.not_made()

    def admit_login(self) -> None:
        """A login costs no call, but there is none either while Salesforce is in trouble; raises HeldBack."""
        self._enter(_NOTHING_HEARD, calls=0)

    def not_made(self) -> None:
        """Give the call back that this thread was admitted for last."""
        with suppress(StoreBusy):  # then it counts, although it was not made
            self.ledger.not_made(self.purpose, self._here.admitted_at)

    @property
    def limit_known(self) -> bool:
        """Whether the organisation ever said how many requests it has."""
        return self._admission is not None and self._admission.limit_known

    @contextmanager
    def work(self) -> Iterator[None]:
        """A piece of work: trouble that leaves it lets nobody call for a while; none, and they may again."""
        try:
            yield
        except HeldBack:
            raise
        except OrganisationUnavailable as trouble:
            self._trip(trouble)
            raise
        self._went_well(proven=False)

    def wrote(self, results: Sequence[RowResult]) -> None:
        """Too many rows refused alike are trouble for the next write; else, answers prove that all is well."""
        trouble = common_trouble(results)
        if trouble is not None:
            self._trip(trouble)
        elif any(result.answer in (Answer.OK, Answer.REJECTED) for result in results):
            self._went_well(proven=True)

    def leave(self, heard: ApiUsage) -> None:
        """The run ends: what it heard last is for the next."""
        if heard != self._heard:
            with suppress(StoreBusy):
                self.ledger.hear(heard, self.now())

    def _trip(self, trouble: OrganisationUnavailable) -> None:
        if self.impatient:
            return
        with suppress(StoreBusy):
            self.ledger.trip(self._caller(), trouble, self.now(), self.jitter)

    def _went_well(self, *, proven: bool) -> None:
        admission = self._admission
        if admission is not None and (admission.probe or (proven and admission.failures)):
            with suppress(StoreBusy):
                self.ledger.recover(self._caller(), proven=proven)

    @property
    def _admission(self) -> Admission | None:
        admission: Admission | None = getattr(self._here, "admission", None)
        return admission

    def _caller(self) -> Caller:
        # Each thread is a caller: while one makes the probe the others wait.
        return Caller(f"{self._name} {threading.get_ident()}", self.purpose, self._settings, self.manual)

    def _enter(self, heard: ApiUsage, *, calls: int) -> None:
        now = self.now()
        try:
            answer = self.ledger.admit(self._caller(), self._news(heard), now, calls=calls)
        except StoreBusy as busy:
            advice = "Nothing is sent that could not be counted; it is tried again by itself."
            raise HeldBack(Hold(now + _BUSY_FOR, "LEDGER_BUSY", str(busy), advice, passing=True), now) from None
        if isinstance(answer, Hold):
            raise HeldBack(answer, now)
        self._admitted(answer, now)

    def _admitted(self, admission: Admission, now: datetime) -> None:
        self._here.admission, self._here.admitted_at = admission, now
        if admission.probe:
            self.manual = False

    def _take_ahead(self) -> bool:
        ahead: bool = getattr(self._here, "ahead", False)
        self._here.ahead = False
        return ahead

    def _news(self, heard: ApiUsage) -> ApiUsage:
        news, self._heard = (_NOTHING_HEARD if heard == self._heard else heard), heard
        return news
