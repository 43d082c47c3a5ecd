"""Where alerts go: a webhook, e-mail, Prometheus' Alertmanager, Jenkins.

Addresses may carry passwords (`user:password@`) and tokens (in the query, and with some
chat services in the path). They are used and never told: of an address only scheme, host
and port are named in errors, logs and the ledger.
"""

from __future__ import annotations

import datetime as dt
import email.message
import email.utils
import logging
import smtplib
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from crimeguard.domain.errors import UsageError
from crimeguard.monitor.alerts import Alert, Channel, ChannelError
from crimeguard.monitor.jenkins import Jenkins
from crimeguard.monitor.wire import TIMEOUT, cause, public_address, unlogged, unreachable
from crimeguard.settings import VARIABLES, Settings

if TYPE_CHECKING:
    import httpx

log = logging.getLogger(__name__)

RETRIES: Final = 2
_SMTP_PORTS: Final = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Webhook:
    """Posts an alert as JSON: key, severity, summary, details, at, service, text.

    `text` is one readable line, which is what chat services show. Tried again twice when
    the other side cannot be reached, does not answer in 10 s, or answers 429 or 5xx.
    """

    def __init__(self, url: str, *, pause: float = 0.5) -> None:
        self._url = url
        self._pause = pause
        self.name = f"webhook {public_address(url, 'http', 'https')}"

    def send(self, alert: Alert) -> None:
        """Deliver, or raise ChannelError."""
        content = {
            "service": "crimeguard",
            "key": alert.key,
            "severity": alert.severity,
            "summary": alert.summary,
            "details": dict(alert.details),
            "at": alert.at.isoformat(),
            "text": f"CrimeGuard {alert.severity}: {alert.summary}",
        }
        _post(self._url, content, self._pause)


class Alertmanager:
    """Posts an alert to Alertmanager's API (v2).

    Alertmanager takes an alert for resolved when nobody repeats it in time, so each
    carries an end: `holds` from now, which should be longer than the time between two
    sendings. An alert is known there by its labels, and severity is one of them, so the
    other severity of the same key is ended in the same call.
    """

    def __init__(
        self, url: str, *, holds: dt.timedelta = dt.timedelta(hours=49), pause: float = 0.5
    ) -> None:
        self.name = f"alertmanager {public_address(url, 'http', 'https')}"
        parts = urlsplit(url)
        self._url = parts._replace(path=parts.path.rstrip("/") + "/api/v2/alerts").geturl()
        self._holds = holds
        self._pause = pause

    def send(self, alert: Alert) -> None:
        """Deliver, or raise ChannelError."""
        now = dt.datetime.now(dt.UTC)
        content = []
        for severity in ("warning", "critical"):
            form = _alertmanager_form(alert, severity)
            if severity == alert.severity:
                form["startsAt"] = min(alert.at, now).isoformat()
                form["endsAt"] = (now + self._holds).isoformat()
            else:
                form["endsAt"] = now.isoformat()
            content.append(form)
        _post(self._url, content, self._pause)


class Email:
    """Sends an alert as a plain mail.

    Parameters
    ----------
    url : str
        smtps:// (TLS from the start), smtp+starttls:// (TLS before anything is told) or
        smtp:// (in the clear). User and password only here, percent-encoded; in the clear
        they are refused except on this machine.
    sender, recipients
        Addresses as in a mail's head.
    trust : ssl.SSLContext, optional
        What certificates to accept; the system's by default.
    """

    def __init__(
        self, url: str, sender: str, recipients: Sequence[str],
        *, trust: ssl.SSLContext | None = None,
    ) -> None:  # fmt: skip
        self.name = f"email {public_address(url, *_SMTP_PORTS)}"
        self._url = urlsplit(url)
        self._sender = sender
        self._recipients = list(recipients)
        self._trust = trust
        in_the_clear = self._url.scheme == "smtp" and self._url.hostname not in _LOOPBACK
        if in_the_clear and self._url.username is not None:
            raise UsageError(
                f"{self.name} would get the password in the clear.",
                why="smtp:// is not encrypted.",
                fix="Use smtp+starttls:// or smtps://.",
            )

    def send(self, alert: Alert) -> None:
        """Deliver to at least one recipient, or raise ChannelError."""
        message = _mail(alert, self._sender, self._recipients)
        try:
            with self._connected() as server:
                refused = server.send_message(message)
        except smtplib.SMTPException as error:
            raise ChannelError(_smtp_words(error)) from None
        except OSError as error:
            raise ChannelError(unreachable(error)) from None
        if refused:
            log.warning("%s refused %d of %d recipients", self.name, len(refused),
                        len(self._recipients))  # fmt: skip

    @contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        host, scheme = self._url.hostname or "", self._url.scheme
        port = self._url.port or _SMTP_PORTS[scheme]
        trust = self._trust or ssl.create_default_context()
        connect = (
            smtplib.SMTP_SSL(host, port, timeout=TIMEOUT, context=trust)
            if scheme == "smtps"
            else smtplib.SMTP(host, port, timeout=TIMEOUT)
        )
        with connect as server:
            if scheme == "smtp+starttls":
                server.starttls(context=trust)
            if self._url.username is not None:
                server.login(unquote(self._url.username), unquote(self._url.password or ""))
            yield server


def channels_of(settings: Settings) -> list[Channel]:
    """Return the channels that the settings name, none by default.

    UsageError if an address is of no kind that is known here, or mail lacks its ends.
    """
    channels: list[Channel] = []
    if settings.alert_webhook:
        with _named("alert_webhook"):
            channels.append(Webhook(settings.alert_webhook))
    if settings.alert_smtp_url:
        recipients = [text.strip() for text in settings.alert_to.split(",") if text.strip()]
        if not (settings.alert_from and recipients):
            raise UsageError(
                f"{VARIABLES['alert_smtp_url']} is set, but not who writes to whom.",
                fix=f"Set {VARIABLES['alert_from']} and {VARIABLES['alert_to']}.",
            )
        with _named("alert_smtp_url"):
            channels.append(Email(settings.alert_smtp_url, settings.alert_from, recipients))
    if settings.alertmanager_url:
        # The next sending may come a whole interval after the one that was just too early.
        holds = dt.timedelta(hours=2 * settings.alert_repeat_hours + 1)
        with _named("alertmanager_url"):
            channels.append(Alertmanager(settings.alertmanager_url, holds=holds))
    if settings.jenkins_url:
        if not (settings.jenkins_user and settings.jenkins_token):
            raise UsageError(
                f"{VARIABLES['jenkins_url']} is set, but not who starts the pipeline there.",
                fix=f"Set {VARIABLES['jenkins_user']} and {VARIABLES['jenkins_token']}.",
            )
        with _named("jenkins_url"):
            channels.append(
                Jenkins(settings.jenkins_url, settings.jenkins_user, settings.jenkins_token)
            )
    return channels


@contextmanager
def _named(setting: str) -> Iterator[None]:
    """Say which variable holds the address that was refused."""
    try:
        yield
    except UsageError as error:
        why = f"{error.what} {error.why}".strip()
        raise UsageError(f"{VARIABLES[setting]} cannot be used.", why=why,
                         fix=error.fix) from None  # fmt: skip


def _alertmanager_form(alert: Alert, severity: str) -> dict[str, Any]:
    words = alert.key.replace("_", " ").replace("-", " ").replace(":", " ").split()
    return {
        "labels": {
            "alertname": f"CrimeGuard{words[0].capitalize() if words else ''}",
            "severity": severity,
            "service": "crimeguard",
            "key": alert.key,
        },
        "annotations": {"summary": alert.summary, "description": _lines(alert.details)},
    }


def _mail(alert: Alert, sender: str, recipients: Sequence[str]) -> email.message.EmailMessage:
    message = email.message.EmailMessage()
    # A line break in a head could start another head.
    summary = " ".join(alert.summary.split())
    message["Subject"] = f"[CrimeGuard] {alert.severity}: {summary}"
    message["From"] = sender
    message["To"] = ", ".join(recipients)
    message["Date"] = email.utils.format_datetime(alert.at)
    message["Message-ID"] = email.utils.make_msgid(domain="crimeguard.invalid")
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(
        f"{alert.summary}\n\n{_lines(alert.details)}\n\n"
        f"{alert.key}, {alert.severity}, {alert.at.isoformat(timespec='seconds')}\n"
    )
    return message


def _lines(details: Mapping[str, Any]) -> str:
    return "\n".join(
        f"{name}: {value if isinstance(value, str) else _json(value).decode()}"
        for name, value in details.items()
    )


def _json(value: Any) -> bytes:
    """Write JSON; NaN and infinite numbers become null, as in the ledger."""
    import orjson

    options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    return orjson.dumps(value, default=str, option=options)


@dataclass(frozen=True, slots=True)
class _Failure:
    words: str
    lasting: bool


def _post(url: str, content: Any, pause: float) -> None:
    import httpx

    body = _json(content)
    with unlogged("httpx"), httpx.Client(timeout=TIMEOUT) as client:
        for attempt in range(RETRIES + 1):
            failure = _attempt(client, url, body)
            if failure is None:
                return
            if failure.lasting or attempt == RETRIES:
                raise ChannelError(failure.words)
            time.sleep(pause * 2**attempt)


def _attempt(client: httpx.Client, url: str, body: bytes) -> _Failure | None:
    import httpx

    try:
        answer = client.post(url, content=body, headers={"Content-Type": "application/json"})
    except httpx.TimeoutException:
        return _Failure(f"It did not answer within {TIMEOUT:g} s.", lasting=False)
    except httpx.TransportError as error:
        return _Failure(unreachable(cause(error)), lasting=False)
    if answer.is_success:
        return None
    lasting = answer.status_code != 429 and answer.status_code < 500
    return _Failure(f"It answered {answer.status_code}.", lasting=lasting)


def _smtp_words(error: smtplib.SMTPException) -> str:
    """Say what a mail server did, without what it said: that may repeat what it was told."""
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return f"It refused user and password ({error.smtp_code})."
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return "It refused every recipient."
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return "It does not offer what the address asks for (STARTTLS or a password)."
    if isinstance(error, smtplib.SMTPResponseException):
        return f"It answered {error.smtp_code}."
    return f"The conversation broke off ({type(error).__name__})."
