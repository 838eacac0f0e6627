"""A message by mail, through a server that is spoken to over TLS: from the start, or from STARTTLS on.

Only a server on this machine, and without a login, is spoken to in the clear.
"""

import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import format_datetime, localtime, make_msgid

from writeback_pipeline.alerting.messages import Message
from writeback_pipeline.alerting.trouble import NotSent

STEP_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Mail:
    """One server, one sender, some recipients. `tls` is from the start; without it, STARTTLS unless `in_the_clear`."""

    host: str
    port: int
    sender: str
    recipients: tuple[str, ...]
    tls: bool = False
    in_the_clear: bool = False
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    name: str = "mail"

    @property
    def target(self) -> str:
        """Where messages go, as far as it may be shown."""
        return f"{len(self.recipients)} recipients through {self.host}:{self.port}"

    def send(self, message: Message) -> None:
        """Hand it to the server once; raises NotSent, also when some recipients were refused."""
        try:
            with self._connected() as server:
                if not (self.tls or self.in_the_clear):
                    server.starttls(context=ssl.create_default_context())
                if self.user is not None:
                    server.login(self.user, self.password or "")
                refused = server.send_message(self._mail(message))
        except ssl.SSLCertVerificationError:
            raise NotSent(f"the certificate of {self.host} could not be verified") from None
        except smtplib.SMTPNotSupportedError:
            raise NotSent(f"{self.host} offers no STARTTLS, or no login: nothing was sent in the clear") from None
        except smtplib.SMTPAuthenticationError as error:
            raise NotSent(f"{self.host} refused the login, code {error.smtp_code}") from None
        except smtplib.SMTPRecipientsRefused as error:
            raise NotSent(f"{self.host} refused {len(error.recipients)} recipients") from None
        except smtplib.SMTPResponseException as error:
            raise NotSent(f"{self.host} answered with code {error.smtp_code}") from None
        except (OSError, smtplib.SMTPException) as error:
            raise NotSent(f"{self.host}:{self.port} could not be reached, or broke off ({_kind(error)})") from None
        if refused:
            raise NotSent(f"{self.host} refused {len(refused)} of {len(self.recipients)} recipients")

    def _connected(self) -> smtplib.SMTP:
        if self.tls:
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(self.host, self.port, timeout=STEP_SECONDS, context=context)
        return smtplib.SMTP(self.host, self.port, timeout=STEP_SECONDS)

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage()
        mail["Subject"] = message.subject
        mail["From"] = self.sender
        mail["To"] = ", ".join(self.recipients)
        mail["Date"] = format_datetime(localtime())
        mail["Message-ID"] = make_msgid(domain=self.sender.rpartition("@")[2])
        mail["Auto-Submitted"] = "auto-generated"  # no out-of-office answers
        mail.set_content(message.body + "\n")
        return mail


def _kind(error: Exception) -> str:
    return type(error).__name__
