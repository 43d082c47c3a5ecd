"""What a pull has fetched so far, on disk: pages that a killed process goes on from.

A folder holds `state.json` and Parquet files of rows as text. A file is written before the
state that names it with its sha256, each under another name first, so that a kill at any
moment leaves a state whose files are whole. A file that is not as written is fetched again,
with all that came behind it.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import polars as pl

from crimeguard.domain.errors import CrimeGuardError
from crimeguard.ingest.digest import file_sha256
from crimeguard.ingest.soda import ROW_ID
from crimeguard.ingest.writer import replacing, write_text

STATE: Final = "state.json"
VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Part:
    """A file of rows; `last` is the :id that its next page begins behind."""

    file: str
    rows: int
    sha256: str
    last: str


@dataclass(slots=True)
class Round:
    """Rows changed after `since` ('' is all rows), fetched when the last change was `newest`."""

    since: str
    newest: str
    done: bool = False
    parts: list[Part] = field(default_factory=list)

    @property
    def after(self) -> str:
        """The :id behind which the next page begins."""
        return self.parts[-1].last if self.parts else ""


@dataclass(slots=True)
class Kept:
    """The pages of one pull in `folder`; `lost` counts rows of files found damaged."""

    folder: Path
    columns: tuple[str, ...]
    rounds: list[Round] = field(default_factory=list)
    lost: int = 0
    _number: int = 0

    @classmethod
    @contextmanager
    def opened(cls, folder: Path, columns: Sequence[str]) -> Iterator[Kept]:
        """Open a folder for one process at a time; CrimeGuardError if another has it."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / "lock").open("a")
        except OSError as error:
            raise CrimeGuardError(f"{folder} cannot be written.", why=f"{error.strerror}.",
                                  fix="Set CRIMEGUARD_HOME to a folder that you may write "
                                  "to.") from None  # fmt: skip
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CrimeGuardError("The same rows are being pulled by another process.",
                                      why=f"It holds {folder / 'lock'}.",
                                      fix="Wait until it has ended.") from None  # fmt: skip
            kept = cls(folder, tuple(columns))
            kept._load()
            yield kept

    @property
    def rows(self) -> int:
        """Rows fetched; one that changed meanwhile counts as often as it was fetched."""
        return sum(part.rows for item in self.rounds for part in item.parts)

    @property
    def files(self) -> int:
        """Number of files that the rows lie in."""
        return len(self._files())

    def begin(self, since: str, newest: str) -> None:
        """Begin a round."""
        self.rounds.append(Round(since, newest))
        self._save()

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        """Keep a page of the last round."""
        part = self._written(as_text(rows, self.columns), str(rows[-1][ROW_ID]))
        self.rounds[-1].parts.append(part)
        self._save()

    def end(self) -> None:
        """Mark the last round as fetched to its end."""
        self.rounds[-1].done = True
        self._save()

    def ids(self) -> set[str]:
        """Return the :id of every row."""
        found: set[str] = set()
        for file in self._files():
            found.update(pl.read_parquet(file, columns=[ROW_ID])[ROW_ID].to_list())
        return found

    def table(self) -> pl.DataFrame:
        """Return each row as it was fetched last, as text."""
        empty = pl.DataFrame(schema=dict.fromkeys(self.columns, pl.String()))
        every = pl.concat([empty, *(pl.read_parquet(file) for file in self._files())])
        return every.unique(ROW_ID, keep="last", maintain_order=True)

    def settle(
        self, *, without: Sequence[str] = (), rows: Sequence[dict[str, Any]] = ()
    ) -> pl.DataFrame:
        """Put all rounds into one file, without some rows and with others; return its rows."""
        table = self.table()
        if without:
            table = table.filter(~pl.col(ROW_ID).is_in(list(without)))
        if rows:
            table = pl.concat([table, as_text(rows, self.columns)])
        newest = self.rounds[-1].newest
        parts = [self._written(table, "")] if table.height else []
        self.rounds = [Round("", newest, done=True, parts=parts)]
        self._save()
        self._sweep()
        return table

    def forget(self) -> None:
        """Begin anew: no row is kept."""
        self.rounds = []
        self._save()
        self._sweep()

    def _files(self) -> list[Path]:
        return [self.folder / part.file for item in self.rounds for part in item.parts]

    def _written(self, table: pl.DataFrame, last: str) -> Part:
        self._number += 1
        path = self.folder / f"{self._number:06d}.parquet"
        with replacing(path) as file:
            table.write_parquet(file, compression="zstd")
        return Part(path.name, table.height, file_sha256(path), last)

    def _save(self) -> None:
        state = {"version": VERSION, "columns": self.columns, "number": self._number,
                 "rounds": [asdict(item) for item in self.rounds]}  # fmt: skip
        write_text(self.folder / STATE, json.dumps(state, indent=1) + "\n")

    def _load(self) -> None:
        try:
            state = json.loads((self.folder / STATE).read_text(encoding="utf-8"))
            usable = state["version"] == VERSION and tuple(state["columns"]) == self.columns
            rounds = [_round(item) for item in state["rounds"]] if usable else []
            self._number = int(state["number"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            rounds = []
        before = sum(part.rows for item in rounds for part in item.parts)
        self.rounds = self._whole(rounds)
        self.lost = before - self.rows
        self._sweep()

    def _whole(self, rounds: list[Round]) -> list[Round]:
        """Return the rounds up to the first file that is not as it was written."""
        for place, item in enumerate(rounds):
            for number, part in enumerate(item.parts):
                path = self.folder / part.file
                if not path.is_file() or file_sha256(path) != part.sha256:
                    left = Round(item.since, item.newest, parts=item.parts[:number])
                    return [*rounds[:place], left]
        return rounds

    def _sweep(self) -> None:
        """Remove files that no state names: those of a killed process, and settled ones."""
        named = {file.name for file in self._files()}
        for pattern in ("*.parquet", ".*.parquet.*", f".{STATE}.*"):
            for path in self.folder.glob(pattern):
                if path.name not in named:
                    path.unlink()


def _round(item: dict[str, Any]) -> Round:
    parts = [Part(**part) for part in item["parts"]]
    return Round(item["since"], item["newest"], done=item["done"], parts=parts)


def as_text(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> pl.DataFrame:
    """Lay out JSON rows as text; the portal leaves blanks out, so a column may be missing."""
    return pl.DataFrame(
        {
            name: pl.Series(name, [_text(row.get(name)) for row in rows], dtype=pl.String)
            for name in columns
        }
    )


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)
