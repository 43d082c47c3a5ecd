"""Starts the pipeline when drift is told: an alert channel that speaks to Jenkins."""

from __future__ import annotations

import logging
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from crimeguard.domain.errors import UsageError
from crimeguard.monitor.alerts import Alert, ChannelError
from crimeguard.monitor.wire import TIMEOUT, cause, public_address, unlogged, unreachable

if TYPE_CHECKING:
    import httpx

log = logging.getLogger(__name__)

_KEY: Final = "drift"
_ITEM: Final = re.compile(r"/queue/item/(\d+)/?$")
_WORDS: Final = {
    401: "It refused user and token (401).",
    403: "It refused the request (403): the user may not start this job, or the crumb is wrong.",
    404: "It knows no such job, or does not show it to this user (404).",
    409: "The job is disabled (409).",
}


class Jenkins:
    """Starts a job when drift is critical, and follows it until it has a number.

    Warnings, what is over and what is not about drift start nothing. A crumb is asked for
    first, since Jenkins may want one; it holds for one session, so all is said in one. The
    start itself is never repeated here: it may have succeeded although no answer came.

    Parameters
    ----------
    url : str
        The job's address, as https://jenkins.example/job/crimeguard. User and token are not
        sent anywhere but there, whatever Jenkins answers.
    user, token : str
        A user's name, and an API token of that user.
    patience : float
        For the queue to give the build a number, s. Still queued then is no error.
    """

    def __init__(
        self, url: str, user: str, token: str, *, patience: float = 30.0, pause: float = 0.5
    ) -> None:
        self.name = f"jenkins {public_address(url, 'http', 'https')}"
        root, found, _ = url.partition("/job/")
        if not found or urlsplit(url).query:
            raise UsageError("This is not the address of a job.",
                             fix="Give it as https://jenkins.example/job/crimeguard.")  # fmt: skip
        self._job = url.rstrip("/")
        self._root = root
        self._auth = (user, token)
        self._patience = patience
        self._pause = pause

    def send(self, alert: Alert) -> str | None:
        """Start the job, and return which build it became; ChannelError if it did not start."""
        import httpx

        if alert.key != _KEY or alert.severity != "critical":
            return None
        with unlogged("httpx"), httpx.Client(timeout=TIMEOUT, auth=self._auth) as client:
            call = _Caller(client)
            crumb = self._crumb(call)
            item = self._start(call, crumb)
            note = self._follow(call, item)
        log.info("%s: %s", self.name, note)
        return note

    def _crumb(self, call: _Caller) -> dict[str, str]:
        """Return the head that the start must carry; none where Jenkins wants none."""
        answer = call("GET", f"{self._root}/crumbIssuer/api/json", allowed=404)
        if answer is None:
            return {}
        return {str(answer["crumbRequestField"]): str(answer["crumb"])}

    def _start(self, call: _Caller, crumb: dict[str, str]) -> int:
        """Put the job into the queue and return the item's number."""
        tree = "buildable,property[parameterDefinitions[name]]"
        job = call("GET", f"{self._job}/api/json?tree={tree}") or {}
        takes = any(part.get("parameterDefinitions") for part in job.get("property", []))
        place = call.location(f"{self._job}/{'buildWithParameters' if takes else 'build'}", crumb)
        found = _ITEM.search(urlsplit(place).path)
        if found is None:
            raise ChannelError("It took the start, but named no place in its queue.")
        return int(found[1])

    def _follow(self, call: _Caller, item: int) -> str:
        """Say which build an item of the queue became, and how that goes."""
        until = time.monotonic() + self._patience
        while True:
            state = call("GET", f"{self._root}/queue/item/{item}/api/json") or {}
            if state.get("cancelled"):
                raise ChannelError(f"Item {item} was taken out of the queue.")
            build = state.get("executable")
            if build:
                return self._told(call, int(build["number"]))
            if time.monotonic() >= until:
                return f"queued as item {item}, not begun yet"
            time.sleep(self._pause)

    def _told(self, call: _Caller, number: int) -> str:
        build = call("GET", f"{self._job}/{number}/api/json?tree=building,result", allowed=404)
        result = (build or {}).get("result")
        return f"build {number} ended: {result}" if result else f"build {number} has begun"


@dataclass(frozen=True, slots=True)
class _Caller:
    """Asks Jenkins, and says what went wrong without what it was told."""

    client: httpx.Client

    def __call__(self, method: str, url: str, *, allowed: int = 0) -> dict[str, Any] | None:
        """Return the answer's JSON, None if its status is the allowed one."""
        answer = self._answer(method, url, {})
        if answer.status_code == allowed:
            return None
        if answer.status_code != 200:
            raise ChannelError(_words(answer.status_code))
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ChannelError("It answered with something that is not Jenkins' JSON.")
        return found

    def location(self, url: str, heads: dict[str, str]) -> str:
        """Post nothing, and return where the answer points to."""
        answer = self._answer("POST", url, heads)
        if answer.status_code != 201:
            raise ChannelError(_words(answer.status_code))
        return str(answer.headers.get("Location", ""))

    def _answer(self, method: str, url: str, heads: dict[str, str]) -> httpx.Response:
        import httpx

        try:
            return self.client.request(method, url, headers=heads)
        except httpx.TimeoutException:
            raise ChannelError(f"It did not answer within {TIMEOUT:g} s.") from None
        except httpx.TransportError as error:
            raise ChannelError(unreachable(cause(error))) from None


def _words(status: int) -> str:
    return _WORDS.get(status, f"It answered {status}.")
