"""What every page shares: the client, error sentences, the state of the service."""

from __future__ import annotations

import re
from collections.abc import Mapping

import streamlit as st

from crimeguard.domain.errors import CrimeGuardError
from crimeguard.domain.level import InformationLevel
from crimeguard.settings import Settings
from crimeguard.ui.answer import Card, Health
from crimeguard.ui.card import coverage_of
from crimeguard.ui.client import ApiError, Client, KeyRefusedError, Problem
from crimeguard.ui.wording import field_name

MOST_PROBLEMS = 5
_STARTING = "starting"


def client() -> Client:
    """Return the client of this process for the API that the settings name."""
    return _client(*_api())


def heading(title: str, lead: str) -> bool:
    """Begin a page, and say so at once if the service cannot answer; tell whether it can."""
    st.title(title, anchor=False)
    st.markdown(lead)
    try:
        health = _health(*_api())
        _require_key(health)
    except ApiError as error:
        show_error(error)
        st.button("Check again", key="check-again")
    else:
        if health.status == _STARTING:
            st.warning(
                "The prediction service runs, but is not ready to answer yet. Give it a few "
                "seconds; if it stays so, `crimeguard doctor` tells what is missing."
            )
            st.button("Check again", key="check-again")
        return health.status != _STARTING
    return False


def _require_key(health: Health) -> None:
    """Raise KeyRefusedError at once, and not when everything is filled in and sent."""
    if health.status != _STARTING:
        try:
            card()
        except KeyRefusedError:
            raise
        except ApiError:
            pass  # whoever needs the card says so


def show_error(error: CrimeGuardError) -> None:
    """Show an error the way all of them look: what, why, what to do, and where."""
    lines = [f"**{plain(error.what)}**"]
    lines += [plain(text) for text in (error.why, error.fix) if text]
    problems = error.problems if isinstance(error, ApiError) else ()
    bullets = [f"- {plain(problem_sentence(problem))}" for problem in problems[:MOST_PROBLEMS]]
    if len(problems) > MOST_PROBLEMS:
        bullets.append(f"- and {len(problems) - MOST_PROBLEMS:,} more")
    st.error("\n\n".join([" ".join(lines), "\n".join(bullets)]))


def problem_sentence(problem: Problem) -> str:
    """Say one problem with its row and column; a detail reads on from the value or column."""
    where = [] if problem.row is None else [f"row {problem.row:,}"]
    if problem.column:
        where.append(field_name(problem.column))
    detail = problem.detail.strip()
    reads_on = detail.startswith(("is ", "must ", "holds ", "has "))
    sentence = ", ".join(where) + ((" " if reads_on else ": ") if where else "") + detail
    return sentence[:1].upper() + sentence[1:]


def plain(text: str) -> str:
    """Keep a text from being read as markup; backticks stay, they mark our commands."""
    return re.sub(r"([\\*_\[\]<>$~|#]|:(?=[A-Za-z_+]))", r"\\\1", text)


def card() -> Card:
    """Return the served model's card; raises ApiError."""
    return _card(*_api())


def coverage(level: InformationLevel) -> float | None:
    """Return how often prediction sets of a level held the truth; None where nobody says."""
    try:
        return coverage_of(card().card, level)
    except ApiError:
        return None


def table(rows: Mapping[str, str]) -> None:
    """Show names and values side by side."""
    st.table({plain(name): plain(value) for name, value in rows.items()}, border="horizontal",
             width="content")  # fmt: skip


def ink() -> str:
    """Return the colour of text in charts and maps for the reader's theme."""
    return {"light": "#3a4755", "dark": "#c4ced8"}.get(st.context.theme.type or "", "#7b8896")


def _api() -> tuple[str, str]:
    """Return the API's address, and the key to show there."""
    settings = Settings.load()
    return settings.api_url, settings.api_key


@st.cache_resource(show_spinner=False)
def _client(url: str, key: str) -> Client:
    return Client(url, headers={"X-API-Key": key} if key else None)


@st.cache_data(ttl=5, show_spinner=False)
def _health(url: str, key: str) -> Health:
    return _client(url, key).health()


@st.cache_data(ttl=60, show_spinner=False)
def _card(url: str, key: str) -> Card:
    return _client(url, key).model_card()
