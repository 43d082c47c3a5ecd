"""Writes the PrometheusRule from the rules in deploy/prometheus.

Run it from anywhere after a change of those: `python deploy/k8s/prometheus_rule.py`. A test
fails while the two differ.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

_HERE: Final = Path(__file__).parent
RULES: Final = _HERE.parent / "prometheus/rules"
TARGET: Final = _HERE / "components/observability/prometheus-rule.yaml"
_HEAD: Final = (
    "# Made from deploy/prometheus/rules by deploy/k8s/prometheus_rule.py: change those.\n"
)


class _Dumper(yaml.SafeDumper):
    """Writes YAML as people do here."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 -- the base's signature
        """Repeat what stands twice."""
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        """Indent lists below their key, as in every other file here."""
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def document() -> dict[str, Any]:
    """Return the PrometheusRule: the groups of all files, in the order of their names."""
    groups = [
        group
        for path in sorted(RULES.glob("*.yml"))
        for group in yaml.safe_load(path.read_text())["groups"]
    ]
    labels = {
        "app.kubernetes.io/name": "crimeguard",
        "release": "kube-prometheus-stack",
    }
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "crimeguard", "labels": labels},
        "spec": {"groups": groups},
    }


def text() -> str:
    """Return the file's content."""
    return _HEAD + yaml.dump(document(), Dumper=_Dumper, sort_keys=False, width=1000)


if __name__ == "__main__":
    TARGET.write_text(text())
