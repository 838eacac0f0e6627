"""Sessions: a signed cookie says who signed in and when, and this says whether that still counts.

Of a session nothing is kept here, but the ids of those that were signed out.
"""

import hmac
import secrets
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from itsdangerous import BadSignature, Signer, URLSafeSerializer

from writeback_pipeline.console.access import Access, Account, User

IDLE = timedelta(minutes=30)
"""How long a session lasts without a request of its user."""

LONGEST = timedelta(hours=12)
"""How long a session lasts at all."""

_LONGEST_NOTICE = 1_000


@dataclass(frozen=True, slots=True)
class Session:
    """One browser's cookie. `user` is None until somebody signs in; `begun` and `seen` are seconds since 1970.

    `proof` stands for the password of that time: a changed password ends the sessions made with the old one. `notice`
    is a sentence for the next page.
    """

    id: str
    begun: float
    seen: float
    user: str | None = None
    proof: str | None = None
    notice: str | None = None

    def saying(self, notice: str | None) -> "Session":
        """The same session with that sentence for the next page."""
        return replace(self, notice=notice and notice[:_LONGEST_NOTICE])


class Sessions:
    """Makes, signs and reads sessions, and the token that ties a form to one."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._cookies = URLSafeSerializer(access.secret, salt="console session")
        self._tokens = Signer(access.secret, salt="console form")
        self._signed_out: dict[str, float] = {}

    def new(self, now: datetime) -> Session:
        """A session of nobody."""
        return Session(secrets.token_urlsafe(18), now.timestamp(), now.timestamp())

    def signed_in(self, account: Account, now: datetime) -> Session:
        """A new session of that account; the one before it is never carried on."""
        return replace(self.new(now), user=account.user.name, proof=self._proof(account))

    def sign_out(self, session: Session, now: datetime) -> None:
        """Let the session end, also where a copy of its cookie was kept."""
        horizon = (now - LONGEST).timestamp()
        self._signed_out = {id_: at for id_, at in self._signed_out.items() if at > horizon}
        self._signed_out[session.id] = now.timestamp()

    def user_of(self, session: Session) -> User | None:
        """Who is asking; None when somebody has to sign in first."""
        if not self._access.accounts:
            return self._access.local_user
        account = self._access.accounts.get(session.user or "")
        if account is None or not hmac.compare_digest(self._proof(account), session.proof or ""):
            return None
        return account.user

    def read(self, cookie: str | None, now: datetime) -> Session | None:
        """The session of that cookie; None when it is nobody's, forged, expired or signed out."""
        try:
            session = Session(**self._cookies.loads(cookie or ""))
        except (BadSignature, TypeError):
            return None
        if session.user is None:
            return session  # nobody signed in, so nothing ends
        at = now.timestamp()
        if session.id in self._signed_out or at - session.seen > IDLE.total_seconds():
            return None
        return None if at - session.begun > LONGEST.total_seconds() else session

    def cookie(self, session: Session) -> str:
        """The cookie of that session."""
        return str(self._cookies.dumps(asdict(session)))

    def token(self, session: Session) -> str:
        """What every form of that session carries."""
        return self._tokens.get_signature(session.id).decode()

    def is_token(self, session: Session, token: str) -> bool:
        """Whether a form that came back was given to this session."""
        return self._tokens.verify_signature(session.id, token)

    def _proof(self, account: Account) -> str:
        return self._tokens.get_signature(f"password {account.password_hash}").decode()
