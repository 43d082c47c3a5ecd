"""The console's only way out: HTTP to the CrimeGuard API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import httpx

from crimeguard.domain.errors import CrimeGuardError
from crimeguard.ui.answer import Answer, BatchAnswer, Card, Health, UnreadableAnswerError

T = TypeVar("T")
QUICK: Final = httpx.Timeout(10.0, connect=3.0)
PROBE: Final = httpx.Timeout(3.0, connect=1.5)
PATIENT: Final = httpx.Timeout(300.0, connect=3.0)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a request: a JSON pointer to the place, and why.

    For a file `row` (from 1) and `column` say the place; for JSON the pointer alone does.
    """

    pointer: str
    detail: str
    row: int | None = None
    column: str = ""

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Problem:
        """Read one element of `errors`; what is not there is left open."""
        pointer, row = str(body.get("pointer") or ""), body.get("row")
        parts = [part for part in pointer.lstrip("#").split("/") if part]
        column = str(body.get("column") or (parts[-1] if parts else ""))
        return cls(
            pointer,
            str(body.get("detail") or ""),
            row if isinstance(row, int) else None,
            "" if column.isdecimal() else column.replace("~1", "/").replace("~0", "~"),
        )


class ApiError(CrimeGuardError):
    """The API could not be asked, or said no; `problems` names the values it refused."""

    def __init__(
        self, what: str, *, why: str = "", fix: str = "", problems: tuple[Problem, ...] = ()
    ) -> None:
        super().__init__(what, why=why, fix=fix)
        self.problems = problems


class ApiDownError(ApiError):
    """Nobody answers at the API's address, or not in time."""


class NotReadyError(ApiError):
    """The API runs, but cannot predict just now: no model yet, or too much to do."""


class KeyRefusedError(ApiError):
    """The API asks for a key, or for another one."""


class Client:
    """Asks the API; every failure is an ApiError that a person can act on.

    Parameters
    ----------
    url : str
        The API's address, for example http://127.0.0.1:5000.
    headers : Mapping[str, str], optional
        Sent with every request: the API key, where one is needed.
    transport : httpx.BaseTransport, optional
        What carries the requests; tests put their own here.
    """

    def __init__(
        self, url: str, transport: httpx.BaseTransport | None = None,
        *, headers: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.url = url.rstrip("/")
        # A proxy of the environment must not see what people type here.
        self._http = httpx.Client(
            base_url=self.url, transport=transport, trust_env=False, headers=headers
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def health(self) -> Health:
        """Ask whether the API can predict; raises ApiError."""
        return self._read(self._ask("GET", "/health", PROBE), Health.read)

    def model_card(self) -> Card:
        """Fetch the model card; raises ApiError."""
        return self._read(self._ask("GET", "/model", QUICK), Card.read)

    def predict(self, record: Mapping[str, Any]) -> Answer:
        """Ask for one incident, keyed by canonical field names; raises ApiError."""
        return self._read(self._ask("POST", "/predict", QUICK, json=dict(record)), Answer.read)

    def predict_file(self, name: str, content: bytes) -> BatchAnswer:
        """Ask for a file of incidents; raises ApiError."""
        files = {"file": (name, content, "application/octet-stream")}
        answer = self._ask("POST", "/predict/batch", PATIENT, files=files)
        return self._read(answer, BatchAnswer.read)

    def _ask(self, method: str, path: str, timeout: httpx.Timeout, **body: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, timeout=timeout, **body)
        except httpx.TimeoutException:
            raise ApiDownError(
                f"The prediction service at {self.url} did not answer in time.",
                why="It may be busy or still starting.", fix="Wait a moment and try again.",
            ) from None  # fmt: skip
        except (httpx.HTTPError, httpx.InvalidURL):
            raise ApiDownError(
                f"The prediction service at {self.url} cannot be reached.",
                fix="Start it with `crimeguard serve` and try again. If it runs elsewhere, "
                "set CRIMEGUARD_API_URL to its address and restart the console.",
            ) from None
        if not answer.is_success:
            raise _refusal(answer)
        return answer

    def _read(self, answer: httpx.Response, reader: Callable[[Any], T]) -> T:
        try:
            return reader(answer.json())
        except (ValueError, UnicodeDecodeError) as error:
            reason = f"{error}." if isinstance(error, UnreadableAnswerError) else ""
            raise ApiError(
                f"What answers at {self.url} does not speak like CrimeGuard.",
                why=reason[:1].upper() + reason[1:],
                fix="Check that CRIMEGUARD_API_URL names a CrimeGuard service of this version.",
            ) from None


def _refusal(answer: httpx.Response) -> ApiError:
    problem = _problem(answer)
    detail = str(problem.get("detail") or problem.get("title") or "")
    if answer.status_code in (429, 503):
        return NotReadyError(
            "The prediction service is not ready to answer.", why=_sentence(detail),
            fix="Try again in a few seconds. If it stays so, `crimeguard doctor` tells what is "
            "missing.",
        )  # fmt: skip
    if answer.status_code in (401, 403):
        return KeyRefusedError(
            "The prediction service asks for a key.", why=_sentence(detail),
            fix="Whoever runs this console should make one with `crimeguard key --name console "
            "--scope predict`, set CRIMEGUARD_API_KEY to it and restart the console.",
        )  # fmt: skip
    if answer.status_code < 500 and problem:
        return ApiError(_sentence(detail) or "The request was refused.",
                        problems=tuple(_problems(problem)))  # fmt: skip
    return ApiError(
        f"The prediction service failed to answer (HTTP {answer.status_code}).",
        fix="Try again; if it happens again, its log says why.",
    )


def _problem(answer: httpx.Response) -> Mapping[str, Any]:
    """Return the problem document; {} where the answer is none (never a foreign text)."""
    if "application/problem+json" not in answer.headers.get("content-type", ""):
        return {}
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _problems(problem: Mapping[str, Any]) -> list[Problem]:
    listed = problem.get("errors")
    return [
        Problem.read(item)
        for item in (listed if isinstance(listed, list) else [])
        if isinstance(item, dict)
    ]


def _sentence(text: str) -> str:
    text = text.strip()
    return text if not text or text[-1] in ".!?" else f"{text}."
