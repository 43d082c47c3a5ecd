"""A portal's data set as a source: where it is, what it has and lacks, how it is read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import polars as pl

from crimeguard.ingest.frame import Reading
from crimeguard.ingest.soda import ROW_ID, UPDATED, Query


@dataclass(frozen=True, slots=True)
class Adapted:
    """Canonical incidents, and remarks in words on what could not be carried over."""

    reading: Reading
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Portal:
    """One data set.

    Attributes
    ----------
    name, title, host, dataset : str
        What `--source` takes, what people call it, and where it is.
    city : str
        Key of `domain.city.CITIES`.
    coding : str
        How offences are coded: `lapd`, `nibrs` or `iucr`.
    columns : mapping of str to str
        The portal's columns that are read, each with the name that `adapt` knows it by.
    alternatives : mapping of str to str
        Other names of these columns, for data sets whose names differ.
    optional : frozenset of str
        Columns that may be missing.
    occurred : str
        The column with the day of occurrence, for `--since`.
    lacks : tuple of str
        What no row of it can tell.
    adapt : callable
        Makes canonical incidents of rows as text.
    """

    name: str
    title: str
    host: str
    dataset: str
    city: str
    coding: str
    columns: Mapping[str, str]
    occurred: str
    adapt: Callable[[pl.DataFrame], Adapted]
    lacks: tuple[str, ...] = ()
    alternatives: Mapping[str, str] = field(default_factory=dict)
    optional: frozenset[str] = frozenset()

    def query(self, there: Mapping[str, str], since: dt.date | None = None) -> Query:
        """Ask for what is there of the columns, of incidents since a day of occurrence."""
        other = {name: column for column, name in self.alternatives.items() if column in there}
        wanted = [
            column if column in there else other.get(column, column)
            for column in self.columns
            if column in there or column not in self.optional
        ]
        where = f"{self.occurred} >= '{since.isoformat()}T00:00:00'" if since else ""
        return Query(self.dataset, (ROW_ID, UPDATED, *wanted), where)

    def read(self, table: pl.DataFrame) -> Adapted:
        """Make canonical incidents of the rows of a pull."""
        other = {old: self.columns[new] for old, new in self.alternatives.items()}
        known = {**self.columns, **other}
        named = {column: known[column] for column in table.columns if column in known}
        return self.adapt(table.select(list(named)).rename(named))
