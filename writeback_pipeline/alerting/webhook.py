"""A message to a webhook that takes Slack's JSON. Its address is a secret: it appears in no error."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

import requests

from writeback_pipeline.alerting.messages import Message
from writeback_pipeline.alerting.trouble import NotSent

CONNECT_SECONDS, READ_SECONDS = 5, 10
_ANSWER_BYTES = 512


@dataclass(frozen=True, slots=True)
class Webhook:
    """Posts to one address, which is never followed elsewhere."""

    url: str = field(repr=False)
    name: str = "webhook"

    @property
    def target(self) -> str:
        """Where messages go, as far as it may be shown."""
        return f"{urlsplit(self.url).hostname}"

    def send(self, message: Message) -> None:
        """Post it once; raises NotSent."""
        try:
            answer = requests.post(
                self.url,
                json={"text": f"{_plain(message.subject)}\n{_plain(message.body)}"},
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                allow_redirects=False,  # the message and the address are meant for that host alone
                stream=True,
            )
            with answer:
                begin = next(answer.iter_content(_ANSWER_BYTES), b"")
        except requests.Timeout:
            raise NotSent(f"{self.target} did not answer in time") from None
        except requests.exceptions.SSLError:
            raise NotSent(f"the certificate of {self.target} could not be verified") from None
        except requests.RequestException:
            raise NotSent(f"no connection to {self.target} could be made, or it broke") from None
        if answer.is_redirect or 300 <= answer.status_code < 400:
            raise NotSent(f"{self.target} redirects, which is never followed: set the address it has now")
        if not answer.ok:
            raise NotSent(f"{self.target} answered HTTP {answer.status_code}")
        if begin.lstrip().startswith(b"<"):
            raise NotSent(f"{self.target} answered with a web page: something else than the webhook is there")


def _plain(text: str) -> str:
    """Without what Slack reads as a mention, a channel or a link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
