"""kubectl, run so that its failures say what, why and what to do, and no secret is shown."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from crimeguard.domain.errors import CrimeGuardError

# Ownership by field: no copy of a Secret in an annotation, and what the autoscaler sets
# stays. What `kubectl rollout undo` changed is taken back without asking.
_PATIENCE: Final = "--request-timeout=30s"
APPLY: Final = (
    "apply", "--server-side", "--field-manager=crimeguard", "--force-conflicts", _PATIENCE
)  # fmt: skip


class DeployError(CrimeGuardError):
    """A deployment was refused, or did not come about."""


class _Known(NamedTuple):
    pattern: re.Pattern[str]
    what: str
    fix: str


_KNOWN: Final = (
    _Known(
        re.compile(r"logged in to the server|provide credentials|unauthorized", re.IGNORECASE),
        "The cluster does not accept the credentials.",
        "Renew the token or certificate in the file that KUBECONFIG names.",
    ),
    _Known(
        re.compile(r"forbidden|cannot \w+ resource", re.IGNORECASE),
        "The cluster does not permit this to the user that kubectl speaks for.",
        "Give that user a role in the namespace, or use the kubeconfig of another.",
    ),
    _Known(
        re.compile(r"was refused|unable to connect|no such host|i/o timeout|network is unreach"
                   r"|deadline exceeded|certificate signed by unknown", re.IGNORECASE),
        "The cluster cannot be reached.",
        "Look at `kubectl cluster-info`, and at the server in the file that KUBECONFIG names.",
    ),
    _Known(
        re.compile(r"context .*(not set|does not exist)|no configuration|error loading config",
                   re.IGNORECASE),
        "kubectl does not know a cluster.",
        "Let KUBECONFIG name the cluster's file.",
    ),
)  # fmt: skip
_LOG_LINE: Final = re.compile(r"^[EWI]\d{4} .*$\n?", re.MULTILINE)


class Kubectl:
    """Runs kubectl; `secrets` are struck out of whatever it says.

    DeployError if it is missing or fails.
    """

    def __init__(self, secrets: Iterable[str] = (), program: str = "kubectl") -> None:
        self._program = program
        encoded = (base64.b64encode(secret.encode()).decode() for secret in secrets if secret)
        self._hidden = sorted({*secrets, *encoded} - {""}, key=len, reverse=True)

    def __call__(self, *arguments: str, given: str | None = None) -> str:
        """Return what it writes; `given` is its standard input."""
        command = [self._program, *arguments]
        try:
            done = subprocess.run(  # noqa: S603 -- no shell, and no word of a stranger
                command, input=given, capture_output=True, text=True, check=False,
                stdin=subprocess.DEVNULL if given is None else None,
            )  # fmt: skip
        except FileNotFoundError:
            raise DeployError(
                f"{self._program} was not found.",
                fix="Install kubectl, of a version next to the cluster's, and put it on PATH.",
            ) from None
        if done.returncode != 0:
            raise self._failure(arguments, done.stderr or done.stdout)
        return done.stdout

    def read(self, *arguments: str) -> Any:
        """Return the JSON document that a `get` writes."""
        return json.loads(self._clean(self(*arguments, "--output=json", _PATIENCE)))

    def write(self, documents: Sequence[dict[str, Any]]) -> str:
        """Apply documents given on standard input, where no process list shows them."""
        stream = "\n".join(json.dumps(document) for document in documents)
        return self(*APPLY, "--filename=-", given=stream)

    def _failure(self, arguments: Sequence[str], said: str) -> DeployError:
        text = _LOG_LINE.sub("", self._clean(said)).strip() or self._clean(said).strip()
        words = " ".join(text.split())
        for known in _KNOWN:
            if known.pattern.search(words):
                return DeployError(known.what, why=_short(words), fix=known.fix)
        return DeployError(f"`kubectl {arguments[0]}` failed.", why=_short(words))

    def _clean(self, text: str) -> str:
        for secret in self._hidden:
            text = text.replace(secret, "***")
        return text


def _short(text: str, most: int = 600) -> str:
    return text if len(text) <= most else f"{text[:most]} ..."
