"""A client for the SODA interface of open-data portals (Socrata): metadata, counts, pages.

Pages are asked for by key and not by offset: `$order=:id` and `$where=:id > 'the last one'`.
A row that is added or removed meanwhile then moves no other row across a page's border.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import ipaddress
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from crimeguard.domain.errors import PortalError, UsageError

ROW_ID: Final = ":id"
UPDATED: Final = ":updated_at"
_TRIES: Final = 8
_FIRST_WAIT: Final = 0.5  # seconds; doubled with every try
_LONGEST_WAIT: Final = 60.0
# A portal that asks for more than this is left alone until the next run.
_LONGEST_ASKED: Final = 300.0
_AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})
_TIMEOUT: Final = httpx.Timeout(120.0, connect=15.0)
_SHOWN: Final = 200  # characters of a portal's own words


def portal_address(address: str) -> str:
    """Check where a portal is: https, or plain http on this machine. UsageError otherwise."""
    parts = urlsplit(address)
    plain = parts.scheme == "http" and _is_loopback(parts.hostname or "")
    if parts.username or not parts.hostname or not (parts.scheme == "https" or plain):
        raise UsageError(f"{address!r} is no address of a portal.",
                         why="Rows and the token travel over https; plain http is for this "
                         "machine only.", fix="Give https://HOST.")  # fmt: skip
    return address.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True, slots=True)
class Query:
    """Rows of one data set: which columns of it, and a condition in SoQL ('' is all rows)."""

    dataset: str
    columns: tuple[str, ...]
    where: str = ""

    def narrowed(self, condition: str) -> Query:
        """Return the rows that meet another condition as well."""
        both = f"({self.where}) AND {condition}" if self.where else condition
        return Query(self.dataset, self.columns, both)


@dataclass(slots=True)
class Soda:
    """A portal at `address`; `token` is sent as X-App-Token and never shown.

    Throttling (429), failures of the portal (5xx) and connections that are cut are tried
    again, up to 8 times, with growing pauses; `Retry-After` is honoured up to five minutes.
    Every other refusal is a PortalError. Redirects are not followed, so that the token goes
    nowhere else.
    """

    address: str
    token: str = field(default="", repr=False)
    sleep: Callable[[float], None] = time.sleep
    _http: httpx.Client = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.address = portal_address(self.address)
        headers = {"X-App-Token": self.token} if self.token else {}
        self._http = httpx.Client(base_url=self.address, headers=headers, timeout=_TIMEOUT)

    def __enter__(self) -> Soda:
        return self

    def __exit__(self, *error: object) -> None:
        self._http.close()

    def columns(self, dataset: str) -> dict[str, str]:
        """Return the types of a data set's columns by their API names."""
        view = self._get(f"/api/views/{dataset}.json", {})
        try:
            return {item["fieldName"]: item["dataTypeName"] for item in view["columns"]}
        except (KeyError, TypeError):
            raise self._strange(f"the description of {dataset}") from None

    def count(self, query: Query) -> int:
        """Return how many rows the portal says there are."""
        return int(self._single(query, "count(*)", "rows") or 0)

    def newest(self, query: Query) -> str:
        """Return the last moment at which a row was changed, '' if there is no row."""
        return self._single(query, f"max({UPDATED})", "newest")

    def page(self, query: Query, after: str, rows: int) -> list[dict[str, Any]]:
        """Return the next rows behind the :id `after` ('' is the beginning), in order of :id.

        That order is the portal's own; it is not that of the ids as texts.
        """
        asked = query if not after else query.narrowed(f"{ROW_ID} > {quoted(after)}")
        given = {"$select": ",".join(asked.columns), "$order": ROW_ID, "$limit": str(rows)}
        found = self._get(f"/resource/{query.dataset}.json", _with_where(given, asked.where))
        ids = [row.get(ROW_ID) if isinstance(row, dict) else None for row in _listed(found)]
        if not isinstance(found, list) or not _goes_on(ids, after):
            raise self._strange("a page of rows")
        return found

    def _single(self, query: Query, what: str, name: str) -> str:
        given = _with_where({"$select": f"{what} AS {name}"}, query.where)
        found = self._get(f"/resource/{query.dataset}.json", given)
        try:
            return str(found[0].get(name) or "")
        except (IndexError, KeyError, TypeError, AttributeError):
            raise self._strange(f"{what} of {query.dataset}") from None

    def _get(self, path: str, given: dict[str, str]) -> Any:
        wait = _FIRST_WAIT
        for tries in range(1, _TRIES + 1):
            try:
                answer = self._http.get(path, params=given)
                if answer.status_code == 200:
                    return answer.json()
                if answer.status_code not in _AGAIN:
                    raise self._refused(answer)
                reason, asked = f"it answered {answer.status_code}", self._asked(answer)
            except (httpx.TransportError, httpx.DecodingError, ValueError) as error:
                reason, asked = f"{type(error).__name__}: {error}"[:_SHOWN], None
            if tries < _TRIES:
                self.sleep(wait * (1 + random.random()) if asked is None else asked)  # noqa: S311
                wait = min(2 * wait, _LONGEST_WAIT)
        raise PortalError(f"{self.address} does not answer.",
                          why=f"After {_TRIES} tries {reason}.",
                          fix="Run the same command later: it goes on where it was. A token "
                          "(CRIMEGUARD_SODA_TOKEN) raises the portal's limits.")  # fmt: skip

    def _asked(self, answer: httpx.Response) -> float | None:
        """Return the seconds of Retry-After, None without one that can be read."""
        text = answer.headers.get("Retry-After", "")
        try:
            seconds = float(text) if text.isdecimal() else _until(text)
        except (TypeError, ValueError):
            return None
        if seconds > _LONGEST_ASKED:
            raise PortalError(f"{self.address} asks for a pause of {seconds:,.0f} s.",
                              why="Too much was asked of it.",
                              fix="Run the same command later: it goes on where it was. A token "
                              "(CRIMEGUARD_SODA_TOKEN) raises the portal's limits.")  # fmt: skip
        return max(0.0, seconds)

    def _refused(self, answer: httpx.Response) -> PortalError:
        try:
            words = answer.json().get("message") or answer.text
        except (ValueError, AttributeError):
            words = answer.text
        fix = "Check CRIMEGUARD_SODA_TOKEN, or unset it." if answer.status_code in {401, 403} else (
            "Check on the portal whether the data set has moved or changed."
        )  # fmt: skip
        return PortalError(f"{self.address} refuses with {answer.status_code}.",
                           why=str(words)[:_SHOWN], fix=fix,
                           status=answer.status_code)  # fmt: skip

    def _strange(self, what: str) -> PortalError:
        return PortalError(f"{self.address} does not speak as expected.",
                           why=f"Its answer is not {what}.",
                           fix="Check the address, and try again later.")  # fmt: skip


def quoted(text: str) -> str:
    """Write a text as SoQL does."""
    return "'" + text.replace("'", "''") + "'"


def _with_where(given: dict[str, str], where: str) -> dict[str, str]:
    return {**given, "$where": where} if where else given


def _listed(found: Any) -> Sequence[Any]:
    return found if isinstance(found, list) else ()


def _goes_on(ids: Sequence[Any], after: str) -> bool:
    """Tell whether a page lies behind `after`; else paging would repeat rows or never end."""
    return all(isinstance(item, str) for item in ids) and len({after, *ids}) == len(ids) + 1


def _until(text: str) -> float:
    moment = email.utils.parsedate_to_datetime(text)
    return (moment - dt.datetime.now(dt.UTC)).total_seconds()
