from __future__ import annotations

import datetime as dt
import email
import email.policy
import json
import logging
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from crimeguard.domain.errors import UsageError
from crimeguard.monitor import wire
from crimeguard.monitor.alerts import Alert, Alerter, ChannelError
from crimeguard.monitor.channels import Alertmanager, Email, Webhook, channels_of
from crimeguard.records.database import open_database
from crimeguard.records.ledger import Ledger
from crimeguard.settings import Settings

SECRETS = ("s3cret", "t0ken", "p4th")
CRITICAL = Alert(
    "drift", "critical", "premis_cd has drifted (0.71).",
    {"score": 0.71, "fields": ["premis_cd"], "nothing": float("nan")},
    dt.datetime(2023, 3, 20, 12, tzinfo=dt.UTC),
)  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Receiver:
    """A web server that answers what it is told to, and keeps what it got."""

    port: int = 0
    answers: list[int] = field(default_factory=list)
    delay: float = 0.0
    got: list[dict[str, Any]] = field(default_factory=list)
    heads: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    state = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            state.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            state.heads.append(dict(self.headers))
            state.paths.append(self.path)
            time.sleep(state.delay)
            self.send_response(state.answers.pop(0) if state.answers else 200)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_webhook_gets_the_alert_as_json(receiver: Receiver) -> None:
    Webhook(f"http://user:s3cret@127.0.0.1:{receiver.port}/p4th?token=t0ken").send(CRITICAL)
    assert receiver.got == [
        {
            "service": "crimeguard", "key": "drift", "severity": "critical",
            "summary": "premis_cd has drifted (0.71).", "at": "2023-03-20T12:00:00+00:00",
            "details": {"score": 0.71, "fields": ["premis_cd"], "nothing": None},
            "text": "CrimeGuard critical: premis_cd has drifted (0.71).",
        }
    ]  # fmt: skip
    assert receiver.paths == ["/p4th?token=t0ken"]
    assert receiver.heads[0]["Content-Type"] == "application/json"
    assert receiver.heads[0]["Authorization"].startswith("Basic ")


def test_a_webhook_that_stumbles_is_tried_three_times(receiver: Receiver) -> None:
    channel = Webhook(f"http://127.0.0.1:{receiver.port}/", pause=0.01)
    receiver.answers = [503, 429]
    channel.send(CRITICAL)
    assert len(receiver.got) == 3
    receiver.answers = [500, 502, 503]
    with pytest.raises(ChannelError, match=r"^It answered 503\.$"):
        channel.send(CRITICAL)
    assert len(receiver.got) == 6


@pytest.mark.parametrize("status", [302, 400, 401, 404])
def test_a_webhook_that_refuses_is_not_tried_again(receiver: Receiver, status: int) -> None:
    receiver.answers = [status]
    with pytest.raises(ChannelError, match=f"It answered {status}"):
        Webhook(f"http://127.0.0.1:{receiver.port}/", pause=0.01).send(CRITICAL)
    assert len(receiver.got) == 1


def test_a_webhook_that_is_silent_is_given_up(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert wire.TIMEOUT == 10
    monkeypatch.setattr("crimeguard.monitor.channels.TIMEOUT", 0.1)
    receiver.delay = 0.5
    with pytest.raises(ChannelError, match="It did not answer within"):
        Webhook(f"http://127.0.0.1:{receiver.port}/", pause=0.01).send(CRITICAL)
    assert len(receiver.got) == 3


def test_nothing_secret_is_told(
    receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nobody, shut = free_port(), receiver.port
    receiver.answers = [401, 500, 500, 500]
    urls = {
        "alert_webhook": f"http://user:s3cret@127.0.0.1:{shut}/p4th?token=t0ken",
        "alertmanager_url": f"http://user:s3cret@127.0.0.1:{shut}/p4th?token=t0ken",
        "alert_smtp_url": f"smtp://user:s3cret@127.0.0.1:{nobody}/p4th?token=t0ken",
    }
    settings = Settings(home=tmp_path, alert_from="a@x.org", alert_to="b@x.org", **urls)  # type: ignore[arg-type]
    database = open_database(settings)
    ledger = Ledger(database)
    with caplog.at_level(logging.DEBUG):
        alerter = Alerter(ledger, channels_of(settings), dt.timedelta(days=1), "tests")
        outcomes = alerter.notify(CRITICAL)
        httpx.get(f"http://127.0.0.1:{shut}/others-are-still-logged")
    assert len(outcomes) == 3
    assert all(outcome.error for outcome in outcomes)
    told = caplog.text + repr(outcomes) + repr(ledger.entries()) + repr(settings)
    database.close()
    assert f"http://127.0.0.1:{shut}" in told
    assert not [secret for secret in SECRETS if secret in told]
    assert "others-are-still-logged" in caplog.text


def test_an_error_of_the_network_is_told_in_words() -> None:
    port = free_port()
    with pytest.raises(ChannelError, match=r"cannot be reached \(Connection refused\)"):
        Webhook(f"http://127.0.0.1:{port}/", pause=0.01).send(CRITICAL)
    with pytest.raises(ChannelError, match=r"cannot be reached \(Connection refused\)"):
        Email(f"smtp://127.0.0.1:{port}", "a@x.org", ["b@x.org"]).send(CRITICAL)


@dataclass
class Mailbox:
    """What a mail server got, and whom it refuses."""

    mails: list[tuple[list[str], EmailMessage, bool]] = field(default_factory=list)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return "550 t0ken: nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        message = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.mails.append((envelope.rcpt_tos, message, session.ssl is not None))
        return "250 OK"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"p@ss:word", handled=False)


@contextmanager
def mail_server(mailbox: Mailbox, **options: Any) -> Iterator[int]:
    port = free_port()
    controller = Controller(mailbox, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 and its key, signed by itself."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
         "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path),
         "-out", str(path.with_suffix(".crt"))],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_text(path.read_text() + path.with_suffix(".crt").read_text())
    return path


def serving(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_a_mail_is_sent_in_the_clear_to_every_recipient() -> None:
    mailbox = Mailbox()
    lines = Alert("drift", "warning", "one\r\nBcc: spy@x.org", {"score": 0.4, "field": "area"})
    with mail_server(mailbox) as port:
        Email(f"smtp://127.0.0.1:{port}", "guard@x.org", ["a@x.org", "b@x.org"]).send(lines)
    [(recipients, message, encrypted)] = mailbox.mails
    assert recipients == ["a@x.org", "b@x.org"]
    assert message["Subject"] == "[CrimeGuard] warning: one Bcc: spy@x.org"
    assert message["From"] == "guard@x.org"
    assert message["To"] == "a@x.org, b@x.org"
    assert message["Bcc"] is None
    assert message["Date"]
    assert message["Message-ID"]
    assert "score: 0.4\nfield: area" in message.get_content().replace("\r\n", "\n")
    assert not encrypted


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
def test_a_mail_is_sent_encrypted_with_user_and_password(scheme: str, certificate: Path) -> None:
    mailbox = Mailbox()
    options: dict[str, Any] = {"authenticator": mailbox.authenticate}
    if scheme == "smtps":
        # The server does not count the TLS that it is spoken to through.
        options |= {"ssl_context": serving(certificate), "auth_require_tls": False}
    else:
        options |= {"tls_context": serving(certificate), "require_starttls": True,
                    "auth_required": True}  # fmt: skip
    trust = ssl.create_default_context(cafile=certificate.with_suffix(".crt"))
    with mail_server(mailbox, **options) as port:
        url = f"{scheme}://us%40er:p%40ss%3Aword@127.0.0.1:{port}"
        Email(url, "guard@x.org", ["a@x.org"], trust=trust).send(CRITICAL)
        wrong = Email(f"{scheme}://us%40er:s3cret@127.0.0.1:{port}", "guard@x.org", ["a@x.org"],
                      trust=trust)  # fmt: skip
        with pytest.raises(ChannelError, match=r"^It refused user and password \(535\)\.$"):
            wrong.send(CRITICAL)
        stranger = Email(url, "guard@x.org", ["a@x.org"])
        with pytest.raises(ChannelError, match=r"^TLS failed \(certificate verify failed\)\.$"):
            stranger.send(CRITICAL)
    assert mailbox.logins[0] == (b"us@er", b"p@ss:word")
    assert len(mailbox.mails) == 1
    if scheme == "smtp+starttls":
        assert mailbox.mails[0][2]


def test_a_server_without_starttls_gets_no_password() -> None:
    mailbox = Mailbox()
    with mail_server(mailbox) as port:
        channel = Email(f"smtp+starttls://user:s3cret@127.0.0.1:{port}", "g@x.org", ["a@x.org"])
        with pytest.raises(ChannelError, match="does not offer"):
            channel.send(CRITICAL)
    assert mailbox.mails == []


def test_a_recipient_that_is_refused_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    mailbox = Mailbox(refused={"gone@x.org"})
    with mail_server(mailbox) as port:
        url = f"smtp://127.0.0.1:{port}"
        Email(url, "g@x.org", ["gone@x.org", "a@x.org"]).send(CRITICAL)
        with pytest.raises(ChannelError, match=r"^It refused every recipient\.$"):
            Email(url, "g@x.org", ["gone@x.org"]).send(CRITICAL)
    assert [recipients for recipients, _, _ in mailbox.mails] == [["a@x.org"]]
    assert "refused 1 of 2 recipients" in caplog.text


def test_a_password_in_the_clear_is_refused_but_on_this_machine() -> None:
    with pytest.raises(UsageError, match="in the clear") as refused:
        Email("smtp://user:s3cret@mail.example.org", "a@x.org", ["b@x.org"])
    assert "s3cret" not in str(refused.value)
    Email("smtp://user:s3cret@localhost", "a@x.org", ["b@x.org"])


@pytest.fixture
def alertmanager(tmp_path: Path, receiver: Receiver) -> Iterator[str]:
    """A real Alertmanager that tells the receiver what fires and what is resolved."""
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if program is None:
        pytest.skip("there is no Alertmanager (apt-get install prometheus-alertmanager)")
    config = tmp_path / "alertmanager.yml"
    config.write_text(
        "route: {receiver: here, group_by: [alertname, severity, key], group_wait: 100ms,"
        " group_interval: 200ms, repeat_interval: 1h}\n"
        "receivers: [{name: here, webhook_configs: [{url: 'http://127.0.0.1:"
        f"{receiver.port}/', send_resolved: true}}]}}]\n"
    )
    url = f"http://127.0.0.1:{free_port()}"
    child = subprocess.Popen(
        [program, f"--config.file={config}", f"--storage.path={tmp_path / 'data'}",
         f"--web.listen-address={url.removeprefix('http://')}", "--cluster.listen-address="],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until(lambda: ready(url), 30)
        yield url
    finally:
        child.terminate()
        child.wait(10)


def until(holds: Any, seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready").is_success
    except httpx.TransportError:
        return False


def firing(url: str) -> list[tuple[str, str, str]]:
    return [
        (item["labels"]["alertname"], item["labels"]["severity"], item["labels"]["key"])
        for item in httpx.get(f"{url}/api/v2/alerts").json()
    ]


def test_a_real_alertmanager_fires_and_resolves(
    alertmanager: str, receiver: Receiver, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path, alertmanager_url=alertmanager + "/")
    database = open_database(settings)
    alerter = Alerter(Ledger(database), channels_of(settings), dt.timedelta(hours=24), "tests")

    def told() -> list[tuple[str, str]]:
        return [(item["status"], item["labels"]["severity"])
                for call in receiver.got for item in call["alerts"]]  # fmt: skip

    assert alerter.notify(Alert("drift", "warning", "area moves."))[0].ok
    assert firing(alertmanager) == [("CrimeGuardDrift", "warning", "drift")]
    assert alerter.notify(Alert("drift", "warning", "area moves.")) == []
    until(lambda: told() == [("firing", "warning")])

    # The other severity takes the place of the first.
    assert alerter.notify(Alert("drift", "critical", "area has moved.", {"score": 0.7}))[0].ok
    assert firing(alertmanager) == [("CrimeGuardDrift", "critical", "drift")]
    until(lambda: {("firing", "critical"), ("resolved", "warning")} <= set(told()))
    [item] = httpx.get(f"{alertmanager}/api/v2/alerts").json()
    assert item["labels"]["service"] == "crimeguard"
    assert item["annotations"] == {"summary": "area has moved.", "description": "score: 0.7"}
    left = dt.datetime.fromisoformat(item["endsAt"]) - dt.datetime.now(dt.UTC)
    assert dt.timedelta(hours=48) < left < dt.timedelta(hours=50)

    assert alerter.notify(Alert("drift", "resolved", "All is well."))[0].ok
    assert firing(alertmanager) == []
    until(lambda: ("resolved", "critical") in told())
    assert alerter.notify(Alert("drift", "resolved", "All is well.")) == []
    database.close()
    assert len(told()) == len(set(told())) == 4


def test_an_alert_of_the_past_and_of_a_fast_clock_fire_now(alertmanager: str) -> None:
    channel = Alertmanager(alertmanager)
    for days, key in ((-300, "old"), (1, "early")):
        at = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
        channel.send(Alert(key, "critical", "It holds.", {}, at))
    assert {key for _, _, key in firing(alertmanager)} == {"old", "early"}


def test_there_are_no_channels_by_default() -> None:
    assert channels_of(Settings()) == []


def test_the_settings_name_the_channels() -> None:
    settings = Settings.load(
        {
            "CRIMEGUARD_ALERT_WEBHOOK": "https://hooks.example.org/services/p4th?token=t0ken",
            "CRIMEGUARD_ALERT_SMTP_URL": "smtps://user:s3cret@mail.example.org",
            "CRIMEGUARD_ALERT_FROM": "guard@example.org",
            "CRIMEGUARD_ALERT_TO": "a@example.org, b@example.org,",
            "CRIMEGUARD_ALERTMANAGER_URL": "http://[::1]:9093/prefix",
        }
    )
    assert [channel.name for channel in channels_of(settings)] == [
        "webhook https://hooks.example.org",
        "email smtps://mail.example.org",
        "alertmanager http://[::1]:9093",
    ]


@pytest.mark.parametrize(
    ("setting", "url"),
    [
        ("alert_webhook", "ftp://user:s3cret@host/p4th"),
        ("alert_webhook", "t0ken"),
        ("alert_webhook", "https:///p4th"),
        ("alert_webhook", "http://host:s3cret/"),
        ("alertmanager_url", "http://[s3cret"),
        ("alert_smtp_url", "https://user:s3cret@host"),
        ("alert_smtp_url", "smtp://user:s3cret@mail.example.org"),
    ],
)
def test_an_address_of_no_use_is_refused_by_its_variable(setting: str, url: str) -> None:
    settings = Settings(alert_from="a@x.org", alert_to="b@x.org", **{setting: url})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=f"CRIMEGUARD_{setting.upper()}") as refused:
        channels_of(settings)
    assert refused.value.fix
    assert not [secret for secret in SECRETS if secret in str(refused.value)]
    assert refused.value.__suppress_context__


@pytest.mark.parametrize(("sender", "to"), [("", "b@x.org"), ("a@x.org", ""), ("a@x.org", " , ")])
def test_mail_without_its_ends_is_refused(sender: str, to: str) -> None:
    settings = Settings(alert_smtp_url="smtp://localhost", alert_from=sender, alert_to=to)
    with pytest.raises(UsageError, match="CRIMEGUARD_ALERT_TO"):
        channels_of(settings)
