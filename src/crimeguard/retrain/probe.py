"""After a promotion: what is in production has to answer as it did when it was made."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import httpx
import numpy as np

from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.errors import BundleError, UsageError
from crimeguard.domain.incident import Incident
from crimeguard.features.columns import Columns, Floats
from crimeguard.registry.bundle import Bundle
from crimeguard.registry.golden import TOLERANCE, check_golden

_PAUSE: Final = 0.1
_ONE_REQUEST: Final = 10.0
# Too much to do, or nothing loaded yet: both pass.
_ASK_AGAIN: Final = (429, 503)
_NOT_LET_IN: Final = (401, 403)
_SUM_TOLERANCE: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Probe:
    """What was looked at, in words, and why it failed if it did."""

    passed: bool
    checks: list[str] = field(default_factory=list)
    why: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the probe as JSON types: the evidence for the ledger."""
        return {"passed": self.passed, "checks": list(self.checks), "why": self.why}


def probe(
    bundle: Bundle, api_url: str | None, timeout: float, *, was_running: bool = False,
    headers: Mapping[str, str] | None = None,
) -> Probe:  # fmt: skip
    """Ask a bundle, and the API that should serve it by now, for the golden rows.

    Parameters
    ----------
    bundle
        What was promoted.
    api_url
        Address of the API; None if there is none to ask.
    timeout
        Seconds in which the API has to change over and to answer.
    was_running
        Whether the API was seen before the promotion. One that refuses connections passes
        as not running, but not if it did run: a bundle may have brought it down.
    headers
        Sent with every request: the API key, where one is needed.
    """
    checks: list[str] = []
    try:
        expected = _golden(bundle)
        checks.append(f"{len(expected)} golden rows answered from the bundle")
        if api_url is None:
            checks.append("no API is named: nothing to ask")
        else:
            with _opened(api_url, headers) as http:
                _ask_api(bundle, expected, http, timeout, was_running, checks)
    except (_FailedError, BundleError) as error:
        return Probe(False, checks, str(error))
    return Probe(True, checks)


def is_running(api_url: str) -> bool:
    """Tell whether anything at all listens at an API's address."""
    try:
        with httpx.Client(base_url=api_url, trust_env=False, timeout=_ONE_REQUEST) as http:
            http.get("/livez")
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol, httpx.InvalidURL):
        return False
    except httpx.HTTPError:
        return True  # it answers badly, or not in time; but it is there
    return True


def require_admitted(api_url: str, headers: Mapping[str, str] | None) -> None:
    """UsageError if the API answers and does not let us ask.

    No probe could then tell a good bundle from a bad one. An API that does not answer, or
    not as it should, is the probe's own concern.
    """
    try:
        with httpx.Client(
            base_url=api_url, trust_env=False, timeout=_ONE_REQUEST, headers=headers
        ) as http:
            status = http.get("/model").status_code
    except (httpx.HTTPError, httpx.InvalidURL):
        return
    if status in _NOT_LET_IN:
        raise UsageError(
            "The API does not let the probe ask, so nothing can be promoted.",
            why="CRIMEGUARD_API_KEY is not set, not known there, or lacks the scope `predict`.",
            fix="Make a key with `crimeguard key --name retrain --scope predict`.",
        )


class _FailedError(Exception):
    """The probe failed; its text is the reason."""


class _NotYetError(Exception):
    """The API may still answer as it should; the text is what it does now."""


def _golden(bundle: Bundle) -> Floats:
    check_golden(bundle.model, bundle.golden)
    incidents = [Incident.from_record(record) for record in bundle.golden["records"]]
    table = bundle.model.probabilities(Columns.from_incidents(incidents))
    for row in table:
        _require_distribution(row, "the bundle")
    return table


def _opened(api_url: str, headers: Mapping[str, str] | None) -> httpx.Client:
    try:
        return httpx.Client(base_url=api_url, trust_env=False, headers=headers)
    except httpx.InvalidURL:
        raise _FailedError("The API's address is not a URL.") from None


def _ask_api(
    bundle: Bundle, expected: Floats, http: httpx.Client, timeout: float, was_running: bool,
    checks: list[str],
) -> None:  # fmt: skip
    began = time.monotonic()
    name = f"{http.base_url.scheme}://{http.base_url.netloc.decode()}"
    api = _Api(http, name, began + timeout)
    if not was_running and api.is_absent():
        checks.append(f"the API at {name} is not running: nothing to ask")
        return
    api.until(partial(api.require_served, bundle.sha256))
    checks.append(f"{name} serves {bundle.version} after {time.monotonic() - began:.1f} s")
    for record, row in zip(bundle.golden["records"], expected, strict=True):
        api.until(partial(api.require_answer, record, row, bundle.sha256))
    checks.append(f"{len(expected)} golden rows answered by {name}")


@dataclass(frozen=True, slots=True)
class _Api:
    """One API, until a moment of the monotonic clock."""

    http: httpx.Client
    name: str
    deadline: float

    def is_absent(self) -> bool:
        try:
            self._ask("GET", "/health")
        except httpx.TransportError as error:
            return _is_refusal(error)
        return False

    def until(self, step: Callable[[], None]) -> None:
        """Repeat a step while it may still go well; what it says last is the failure."""
        while True:
            try:
                step()
            except _NotYetError as error:
                now = str(error)
            except httpx.UnsupportedProtocol:
                raise _FailedError("The API's address does not begin with http:// or https://."
                                   ) from None  # fmt: skip
            except httpx.HTTPError as error:
                now = f"could not be asked ({type(error).__name__})"
            else:
                return
            if time.monotonic() >= self.deadline:
                raise _FailedError(f"The API at {self.name} {now} when the time was up.")
            time.sleep(_PAUSE)

    def require_served(self, sha256: str) -> None:
        answer = self._ask("GET", "/health")
        if not answer.is_success:
            raise _NotYetError(f"answered /health with HTTP {answer.status_code}")
        _require_version(_object(answer), sha256)

    def require_answer(self, record: Mapping[str, Any], expected: Floats, sha256: str) -> None:
        answer = self._ask("POST", "/predict", json=dict(record))
        if answer.status_code in _ASK_AGAIN:
            raise _NotYetError(f"answered /predict with HTTP {answer.status_code}")
        if not answer.is_success:
            raise _FailedError(
                f"The API at {self.name} answered /predict with HTTP {answer.status_code}."
            )
        said = _object(answer)
        # Of several processes behind one address, some may still serve the one before.
        _require_version(said, sha256)
        _require_same(said, expected, f"the API at {self.name}")

    def _ask(self, method: str, path: str, **body: Any) -> httpx.Response:
        left = self.deadline - time.monotonic()
        return self.http.request(method, path, timeout=min(max(left, 0.5), _ONE_REQUEST), **body)


def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        said = answer.json()
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise _NotYetError("does not speak like CrimeGuard")
    return said


def _require_version(said: Mapping[str, Any], sha256: str) -> None:
    info = said.get("model_info")
    served = info.get("sha256") if isinstance(info, dict) else None
    if served != sha256:
        shown = "nothing" if served is None else str(served)[:12]
        raise _NotYetError(f"still served {shown} and not {sha256[:12]}")


def _require_same(said: Mapping[str, Any], expected: Floats, who: str) -> None:
    table, category = said.get("probabilities"), said.get("prediction")
    if not isinstance(table, dict) or set(table) != set(CATEGORIES):
        raise _FailedError(f"The probabilities from {who} are not those of the 15 categories.")
    try:
        found = np.array([float(table[name]) for name in CATEGORIES])
    except (TypeError, ValueError):
        raise _FailedError(f"A probability from {who} is no number.") from None
    _require_distribution(found, who)
    gap = float(np.abs(found - expected).max())
    if not gap <= TOLERANCE:
        raise _FailedError(f"A probability from {who} differs by {gap:.2g} from the bundle's.")
    best = [CATEGORIES[place] for place in np.flatnonzero(found == found.max())]
    if category not in best:
        raise _FailedError(f"The prediction from {who} is not its most probable category.")


def _require_distribution(row: Floats, who: str) -> None:
    if not np.isfinite(row).all():
        raise _FailedError(f"A probability from {who} is not finite.")
    if (row < 0).any() or abs(float(row.sum()) - 1) > _SUM_TOLERANCE:
        raise _FailedError(f"The probabilities from {who} do not sum to 1.")


def _is_refusal(error: BaseException | None) -> bool:
    """Tell whether nobody listens there, as against a name or a network that is wrong."""
    while error is not None:
        if isinstance(error, ConnectionRefusedError):
            return True
        error = error.__cause__ or error.__context__
    return False
