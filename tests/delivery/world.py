"""What the rules on manifests are told of the program, taken from the program itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache

from streamlit.web.server.starlette.starlette_routes import ROUTE_HEALTH

from crimeguard.domain.errors import UsageError
from crimeguard.serve import leaving
from crimeguard.serve.app import create_app
from crimeguard.serve.slot import Slot
from crimeguard.settings import VARIABLES, Settings
from tests.delivery.manifests import DEPLOY, read_file
from tests.delivery.policy import API, CONSOLE, World
from tests.serve.fakes import Client


@cache
def known() -> World:
    """Ask the program for its routes, ports, settings and how long it takes to end."""
    settings = Settings()
    template = {
        item["metadata"]["name"]: frozenset(item["stringData"])
        for item in read_file(DEPLOY / "k8s/secret.template.yaml")
    }
    return World(
        ports={API: settings.port, CONSOLE: settings.ui_port}, serves=_serves(),
        grace=leaving._GRACE_SECONDS, variables=frozenset(VARIABLES.values()),
        check_settings=_check_settings, secrets=template, job=_job(),
    )  # fmt: skip


def _serves() -> Callable[[str, str], bool]:
    # Probes and Prometheus have no key, so an API that asks for one must let them in.
    locked = Settings(api_keys=f"somebody:predict:{'5' * 64}")
    api = Client(create_app(locked, Slot()))

    @cache
    def serves(image: str, path: str) -> bool:
        if image == CONSOLE:
            return path == f"/{ROUTE_HEALTH}"
        return api.get(path).status_code not in (401, 403, 404, 405)

    return serves


def _job() -> str:
    rules = "".join(path.read_text() for path in (DEPLOY / "prometheus/rules").glob("*.yml"))
    (job,) = set(re.findall(r'\bjob="([^"]+)"', rules))
    return str(job)


def _check_settings(values: Mapping[str, str]) -> str:
    try:
        Settings.load(values)
    except UsageError as error:
        return str(error)
    return ""
