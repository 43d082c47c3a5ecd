"""The dashboards as they are committed, and their queries as Grafana would send them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from deploy.grafana.dashboards import FOLDER

# What Grafana puts in place of its variables: the only job, all namespaces, a usual range.
_CHOSEN = {"$job": "crimeguard", "$namespace": ".*", "$__rate_interval": "1m"}


def committed(name: str) -> dict[str, Any]:
    """Return a dashboard as it lies in the repository."""
    document: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return document


def panels(name: str) -> list[dict[str, Any]]:
    """Return the panels that show something."""
    return [panel for panel in committed(name)["panels"] if panel["type"] != "row"]


def queries(name: str) -> Iterator[tuple[str, str]]:
    """Yield every query of panels and annotations with the title of what asks it."""
    for panel in panels(name):
        for target in panel["targets"]:
            yield panel["title"], _chosen(target["expr"])
    for event in committed(name)["annotations"]["list"]:
        yield event["name"], _chosen(event["expr"])


def _chosen(expr: str) -> str:
    for name, value in _CHOSEN.items():
        expr = expr.replace(name, value)
    assert "$" not in expr, expr
    return expr
