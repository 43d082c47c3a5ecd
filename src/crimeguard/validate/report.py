"""The outcome of a validation, for a terminal, a browser and a machine."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from crimeguard.validate.finding import Finding, Severity

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Findings, errors first; `ok` unless one of them is an error.

    `passed` names the checks that ran and found nothing, `skipped` those that could
    not be run for want of a column or of rows.
    """

    findings: tuple[Finding, ...]
    rows: int
    passed: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    source: str = ""

    @classmethod
    def of(
        cls,
        findings: Iterable[Finding],
        rows: int,
        *,
        ran: Sequence[str] = (),
        skipped: Sequence[str] = (),
        source: str = "",
    ) -> Report:
        """Sort findings by severity and leave their names out of what passed."""
        ordered = tuple(sorted(findings, key=lambda item: item.severity is not Severity.ERROR))
        fired = {finding.check for finding in ordered}
        return cls(
            findings=ordered, rows=rows, source=source, skipped=tuple(skipped),
            passed=tuple(name for name in ran if name not in fired),
        )  # fmt: skip

    @property
    def ok(self) -> bool:
        """Whether nothing was found that stops the pipeline."""
        return not self.errors

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings of severity error."""
        return tuple(item for item in self.findings if item.severity is Severity.ERROR)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings of severity warning."""
        return tuple(item for item in self.findings if item.severity is Severity.WARNING)

    @property
    def verdict(self) -> str:
        """One sentence on the whole."""
        what = "passes the data contract" if self.ok else "breaks the data contract"
        return (
            f"{self.source or 'The data'} {what}: {_plural(self.rows, 'row')}, "
            f"{_plural(len(self.errors), 'error')}, {_plural(len(self.warnings), 'warning')}, "
            f"{_plural(len(self.passed), 'check')} passed, {len(self.skipped)} skipped."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON types."""
        return {
            "ok": self.ok,
            "source": self.source,
            "rows": self.rows,
            "errors": len(self.errors),
            "warnings": len(self.warnings),
            "findings": [finding.to_dict() for finding in self.findings],
            "passed": list(self.passed),
            "skipped": list(self.skipped),
        }

    def to_json(self) -> str:
        """Write the report as one JSON document."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n"

    def to_html(self) -> str:
        """Write the report as one page that needs nothing from anywhere."""
        import jinja2

        template = (files("crimeguard.validate") / "report.html.j2").read_text(encoding="utf-8")
        environment = jinja2.Environment(
            autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        return environment.from_string(template).render(report=self)

    def to_table(self) -> Table:
        """Lay the findings out for a terminal."""
        from rich.table import Table
        from rich.text import Text

        table = Table(title_justify="left", show_lines=True, expand=False)
        for heading in ("severity", "check", "count", "share", "what it means and what to do"):
            table.add_column(heading, justify="right" if heading in {"count", "share"} else "left")
        for finding in self.findings:
            style = "bold red" if finding.severity is Severity.ERROR else "yellow"
            table.add_row(
                Text(finding.severity.value, style), Text(finding.check),
                f"{finding.count:,}", f"{finding.share:.2%}", Text(_explain(finding)),
            )  # fmt: skip
        return table

    def to_text(self, *, width: int = 100) -> str:
        """Write the report as plain text, `width` characters wide."""
        from rich.console import Console

        out = io.StringIO()
        console = Console(file=out, width=width, highlight=False, color_system=None)
        if self.findings:
            console.print(self.to_table())
        console.print(self.verdict, markup=False)
        return out.getvalue()


def _explain(finding: Finding) -> str:
    lines = [finding.meaning]
    if finding.values:
        lines.append("Values: " + ", ".join(f"{value} ({n:,})" for value, n in finding.values[:10]))
    for item in finding.evidence[:3]:
        row = "" if item.row is None else f"row {item.row}, "
        number = "" if item.dr_no is None else f"DR_NO {item.dr_no}: "
        lines.append(f"  {row}{number}{item.value}")
    return "\n".join([*lines, f"Fix: {finding.fix}"])


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
