"""A message to a webhook: what it looks like, and what every wrong kind of answer is called."""

import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from writeback_pipeline.alerting.messages import Message, message
from writeback_pipeline.alerting.trouble import NotSent, in_time
from writeback_pipeline.alerting.webhook import Webhook
from writeback_pipeline.domain.alerts import Severity
from writeback_pipeline.domain.incidents import Incident, News, Notice
from writeback_pipeline_tests.alerting.receivers import SECRET_PATH, Hooks, webhook

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
TEXT = Message("[page] Trouble", "words")


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    with webhook() as made:
        yield made


def notice(
    words: str = "3 rows failed", severity: Severity = Severity.WARNING, news: News = News.OPENED, id_: int = 1
) -> Notice:
    closed_at = NOW + timedelta(hours=5) if news is News.OVER else None
    incident = Incident(id_, "key", "rows_need_a_person", severity, words, NOW, NOW, closed_at)
    return Notice(incident, "webhook", news, 1)


def refusal(hooks: Hooks) -> str:
    with pytest.raises(NotSent) as caught:
        Webhook(hooks.url).send(TEXT)
    assert "canary" not in str(caught.value)
    return str(caught.value)


def test_it_says_what_is_wrong_since_when_and_what_to_do(hooks: Hooks) -> None:
    Webhook(hooks.url).send(message([notice()], "bridge one"))
    assert hooks.paths == [SECRET_PATH]
    assert hooks.texts == [
        "[warning] Rows need a person - bridge one\n"
        "[warning] Rows need a person: 3 rows failed.\n"
        "Since 2026-11-23 12:00 UTC. Look: writebacks list --status failed\n"
        "What to do: docs/runbook.md#rows-need-a-person"
    ]


def test_several_incidents_are_one_message_the_worst_first() -> None:
    many = [notice(f"words {n}", id_=n) for n in range(30)]
    told = message([notice(news=News.OVER), *many, notice("late", Severity.RED, News.WORSE)], "bridge one", "wiki")
    assert told.subject == "[red] Rows need a person (and 31 more) - bridge one"
    assert told.body.startswith("[red] Rows need a person: worse: late.\nSince 2026-11-23 12:00 UTC. Look: writebacks ")
    assert "\nWhat to do: wiki#rows-need-a-person\n" in told.body
    assert told.body.endswith("and 12 more: writebacks alerts check")
    over = message([notice(news=News.OVER)], "bridge one")
    assert over.subject == "[over] Rows need a person - bridge one"
    assert over.body == "[over] Rows need a person: over after 5 h 0 min. It was: 3 rows failed."


def test_nothing_in_it_is_obeyed_or_personal(hooks: Hooks) -> None:
    hostile = "<!channel> & \x1b[31m\nFrom: x\n jo.doe@mail.example 00D000000000001!AQcanaryToken"
    Webhook(hooks.url).send(message([notice(hostile)], "one\r\nBcc: x"))
    (text,) = hooks.texts
    assert "&lt;!channel&gt; &amp; \\x1b[31m\\nFrom: x\\n *** ***" in text
    assert text.count("\n") == 3


def test_what_is_no_success_is_told_by_its_kind_and_never_with_the_address(hooks: Hooks) -> None:
    hooks.status = 500
    assert refusal(hooks) == "127.0.0.1 answered HTTP 500"
    hooks.status, hooks.body = 200, b"  <!DOCTYPE html><p>Please sign in</p>"
    assert "web page" in refusal(hooks)
    hooks.status, hooks.headers = 302, {"Location": hooks.url.replace("services", "elsewhere")}
    assert "redirects" in refusal(hooks)
    assert set(hooks.paths) == {SECRET_PATH}, "nobody followed"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        hooks.url = f"http://127.0.0.1:{taken.getsockname()[1]}{SECRET_PATH}"
        assert "no connection" in refusal(hooks)


def test_what_never_ends_is_given_up() -> None:
    forever = threading.Event()
    with pytest.raises(NotSent, match="within 0 seconds"):
        in_time(lambda: (forever.wait(), None)[1], 0.05)
    forever.set()


def test_an_error_that_nobody_foresaw_is_told_by_its_class_alone() -> None:
    def break_down() -> None:
        raise KeyError("canary")

    with pytest.raises(NotSent) as caught:
        in_time(break_down)
    assert str(caught.value) == "KeyError, which nobody foresaw"
