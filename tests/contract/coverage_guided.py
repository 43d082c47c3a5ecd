"""The parsers under atheris, which looks for bytes that reach code not reached before.

    pip install atheris    # into an environment that has what the tests need
    python -m tests.contract.coverage_guided json -max_total_time=600
    python -m tests.contract.coverage_guided tensors -max_total_time=600

What is found is written to a file `crash-...`. Not part of the suite: it has no end.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

with atheris.instrument_imports(include=["crimeguard.serve", "crimeguard.domain"]):
    from crimeguard.serve import tensors
    from crimeguard.serve.body import parse_json
    from crimeguard.serve.incident import read_one
    from crimeguard.serve.upload import read_upload
    from tests.contract.fuzzing import refused


def _json(content: bytes) -> None:
    if refused(lambda: parse_json(content)) is None:
        assert parse_json(content) == json.loads(content)


def _incident(content: bytes) -> None:
    refused(lambda: read_one(parse_json(content)))


def _tensors(content: bytes) -> None:
    refused(lambda: tensors.read(content))


def _csv(content: bytes) -> None:
    refused(lambda: read_upload(content, "upload.csv", most_bytes=1_000_000, most_rows=1_000,
                                level=None))  # fmt: skip


TARGETS: dict[str, Callable[[bytes], None]] = {
    "json": _json, "incident": _incident, "tensors": _tensors, "csv": _csv,
}  # fmt: skip


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        raise SystemExit(f"Name one of {', '.join(TARGETS)}.")
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
