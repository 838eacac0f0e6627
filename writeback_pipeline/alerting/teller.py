"""The channels of the environment, as whoever watches uses them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from writeback_pipeline.alerting.configuration import Alerting
from writeback_pipeline.alerting.messages import Message, message, trial_message
from writeback_pipeline.alerting.trouble import NotSent, in_time
from writeback_pipeline.domain.incidents import Notice


@dataclass(frozen=True, slots=True)
class Channels:
    """Every channel by its name."""

    alerting: Alerting

    @property
    def channels(self) -> Collection[str]:
        """Their names."""
        return [channel.name for channel in self.alerting.channels]

    @property
    def reminder(self) -> timedelta:
        """How long after it was last told what lasts is told again."""
        return self.alerting.reminder

    def tell(self, channel: str, notices: Sequence[Notice]) -> str | None:
        """Send one message of all the notices; why it did not get through, None when it did."""
        return self._send(channel, message(notices, self.alerting.installation, self.alerting.runbook))

    def test(self, channel: str) -> str | None:
        """Send a test message; why it did not get through, None when it did."""
        return self._send(channel, trial_message(self.alerting.installation))

    def _send(self, name: str, text: Message) -> str | None:
        (channel,) = [each for each in self.alerting.channels if each.name == name]
        try:
            in_time(lambda: channel.send(text))
        except NotSent as error:
            return str(error)
        return None
