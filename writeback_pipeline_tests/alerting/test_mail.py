"""A message by mail, through real servers: with STARTTLS and a login, with TLS from the start, in the clear."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import pytest

from writeback_pipeline.alerting.configuration import read_alerting
from writeback_pipeline.alerting.mail import Mail
from writeback_pipeline.alerting.messages import Message
from writeback_pipeline.alerting.trouble import NotSent
from writeback_pipeline_tests.alerting.receivers import PASSWORD, USER, certificate_for_loopback, mail_server

TEXT = Message("[page] Trüb — subject", "first line\nsecond line with ü")
LOGIN = f"{quote(USER)}:{quote(PASSWORD, safe='')}@"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return certificate_for_loopback(tmp_path)


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The certificate, where this process trusts it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    return certificate


def mail(url: str, to: str = "ops@example.org") -> Mail:
    variables: Mapping[str, str] = {
        "WRITEBACK_ALERT_SMTP_URL": url,
        "WRITEBACK_ALERT_MAIL_FROM": "writebacks@example.org",
        "WRITEBACK_ALERT_MAIL_TO": to,
    }
    (channel,) = read_alerting(variables).channels
    assert isinstance(channel, Mail)
    return channel


def refusal(channel: Mail) -> str:
    with pytest.raises(NotSent) as caught:
        channel.send(TEXT)
    assert PASSWORD not in f"{caught.value} {channel!r}"
    return str(caught.value)


def test_with_starttls_and_a_login(trusted: Path) -> None:
    with mail_server(trusted, login=True) as mails:
        mail(f"smtp://{LOGIN}127.0.0.1:{mails.port}", "ops@example.org, boss@example.org").send(TEXT)
    assert [right for _, right in mails.logins] == [True]
    assert mails.recipients == [["ops@example.org", "boss@example.org"]]
    assert mails.bodies == ["first line\nsecond line with ü\n"]
    assert mails.subjects == [TEXT.subject]


def test_with_tls_from_the_start(trusted: Path) -> None:
    with mail_server(trusted, tls=True) as mails:
        mail(f"smtps://127.0.0.1:{mails.port}").send(TEXT)
    assert len(mails.subjects) == 1


def test_a_certificate_that_nobody_vouches_for_is_refused_before_the_login(certificate: Path) -> None:
    with mail_server(certificate, login=True) as mails:
        assert "certificate" in refusal(mail(f"smtp://{LOGIN}127.0.0.1:{mails.port}"))
    assert mails.logins == []


def test_a_password_never_travels_in_the_clear() -> None:
    with mail_server(login=True) as mails:
        assert "no STARTTLS" in refusal(mail(f"smtp://{LOGIN}127.0.0.1:{mails.port}"))
    assert mails.logins == []


def test_a_server_of_this_machine_without_a_login_is_spoken_to_in_the_clear() -> None:
    with mail_server() as mails:
        mail(f"smtp://127.0.0.1:{mails.port}").send(TEXT)
    assert len(mails.subjects) == 1


def test_what_the_server_refuses_is_told(trusted: Path) -> None:
    with mail_server(trusted, login=True) as mails:
        wrong = f"smtp://{quote(USER)}:canary-wrong@127.0.0.1:{mails.port}"
        assert refusal(mail(wrong)) == "127.0.0.1 refused the login, code 535"
    with mail_server() as mails:
        some = refusal(mail(f"smtp://127.0.0.1:{mails.port}", "ops@example.org,nobody@example.org"))
        assert some == "127.0.0.1 refused 1 of 2 recipients"
        assert "refused 1 recipients" in refusal(mail(f"smtp://127.0.0.1:{mails.port}", "nobody@example.org"))
    assert "could not be reached" in refusal(mail(f"smtp://127.0.0.1:{mails.port}"))
