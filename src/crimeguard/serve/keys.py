"""API keys: who may ask for what.

The server knows only digests. A key is 32 bytes from the system's random source, so its
plain SHA-256 is enough: slow hashes (scrypt, Argon2) and salts protect secrets that people
choose and that can be guessed; nobody guesses one of 2**256. A slow hash here would only
let strangers spend our processor.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import logging
import os
import re
import secrets
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from crimeguard.domain.errors import CrimeGuardError, UsageError
from crimeguard.serve.limits import Rate
from crimeguard.settings import API_KEY, Settings

log = logging.getLogger(__name__)

PREFIX: Final = "cg_"
_RANDOM_BYTES: Final = 32
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_RATE: Final = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)(?:/([1-9][0-9]{0,5}))?", re.ASCII)
_EVERY: Final = 1.0  # seconds between looks at the file
_MOST_BYTES: Final = 1_000_000
_VARIABLES: Final = "CRIMEGUARD_API_KEYS and CRIMEGUARD_API_KEYS_FILE"


class Scope(StrEnum):
    """What a key may do; none of them includes another."""

    PREDICT = "predict"
    LABEL = "label"
    ADMIN = "admin"


class KeysError(CrimeGuardError):
    """The entries of API keys cannot be read; never shows what stands there."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key as the server knows it: its name, its scopes, the SHA-256 of the secret.

    `rate` is what it may ask, if not as much as every other.
    """

    name: str
    scopes: frozenset[Scope]
    digest: str
    rate: Rate | None = None

    def entry(self) -> str:
        """Return the key in the form that the settings take."""
        scopes = "+".join(scope for scope in Scope if scope in self.scopes)
        entry = f"{self.name}:{scopes}:{self.digest}"
        if self.rate is None:
            return entry
        burst = f"/{self.rate.burst}" if self.rate.burst else ""
        return f"{entry}:{self.rate.per_second:.12g}{burst}"


def make_key(name: str, scopes: Collection[Scope], rate: str = "") -> tuple[str, Key]:
    """Make a secret, and the key that knows only its digest.

    UsageError if the name is none, there is no scope, or `rate` is not a number of requests
    a second, with a slash and how many at once if need be.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name[:80]!r} is no name for a key.",
                         why="It is 1 to 64 letters, digits, dots, dashes and underscores, and "
                         "begins with a letter or digit.", fix="Choose another name.")  # fmt: skip
    if not scopes:
        raise UsageError("A key without a scope may do nothing.",
                         fix=f"Name at least one of {', '.join(Scope)}.")  # fmt: skip
    own = _rate(rate) if rate else None
    if rate and own is None:
        raise UsageError(f"{rate[:80]!r} is no rate.",
                         why="It is requests a second, and how many may come at once: 20/40.",
                         fix="Give such a rate, 0 for no limit, or none at all.")  # fmt: skip
    secret = PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    return secret, Key(name, frozenset(scopes), digest_of(secret), own)


def digest_of(secret: str) -> str:
    """Return the SHA-256 of a key in hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()


def parse_entry(text: str, place: str) -> Key:
    """Read `name:scope+scope:sha256[:rate]`; KeysError names the place and never the text."""
    name, _, rest = text.partition(":")
    scopes, _, rest = rest.partition(":")
    digest, limited, rate = rest.partition(":")
    if API_KEY.search(text):
        raise _broken(place, "holds a key itself; only its entry belongs there", lost=True)
    if not _NAME.fullmatch(name):
        raise _broken(place, "does not begin with a name and a colon")
    if not set(scopes.split("+")) <= {*Scope}:
        raise _broken(place, f"names a scope that is none of {', '.join(Scope)}")
    if not _DIGEST.fullmatch(digest):
        raise _broken(place, "has no SHA-256 of 64 hexadecimal digits behind the scopes")
    own = _rate(rate) if limited else None
    if limited and own is None:
        raise _broken(place, "ends with a rate that is none, such as 20 or 20/40")
    return Key(name, frozenset(map(Scope, scopes.split("+"))), digest, own)


def _rate(text: str) -> Rate | None:
    """Read `per_second` or `per_second/burst`; None if it is neither."""
    match = _RATE.fullmatch(text)
    return Rate(float(match[1]), int(match[2] or 0)) if match else None


def parse_lines(text: str, source: str) -> tuple[Key, ...]:
    """Read one entry a line; blank lines and lines that begin with # are left out."""
    return tuple(
        parse_entry(line.strip(), f"Line {number} of {source}")
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    )


def parse_list(text: str, source: str) -> tuple[Key, ...]:
    """Read entries separated by commas."""
    parts = [part.strip() for part in text.split(",")]
    return tuple(
        parse_entry(part, f"Entry {number} of {source}")
        for number, part in enumerate(parts, start=1)
        if part
    )


def read_file(path: Path) -> str:
    """Read a file of entries; KeysError if that cannot be done."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise KeysError(f"The API keys in {path} cannot be read.", why=f"{error.strerror}.",
                        fix="Make the file with `crimeguard key --file`.") from None  # fmt: skip
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise _broken(str(path), "is not text in UTF-8") from None
    if len(content) > _MOST_BYTES:
        raise _broken(str(path), "is too large for a file of keys")
    return text


def append_key(path: Path, key: Key) -> None:
    """Add a key to a file of entries, which only its owner may then read; at once or not at all.

    Who does so at the same time waits. UsageError if the file has a key of that name already.
    """
    with _locked(path):
        _append(path, key)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep a file to ourselves; by one beside it, for it is replaced itself.

    The file beside it stays: whoever waits for it must not be left with one that is gone.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path.parent / f".{path.name}.lock", os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise _unwritable(path, error) from None
    with os.fdopen(lock) as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
        except OSError as error:
            raise _unwritable(path, error) from None
        yield


def _append(path: Path, key: Key) -> None:
    text = read_file(path) if path.exists() else ""
    if any(other.name == key.name for other in parse_lines(text, str(path))):
        raise UsageError(f"{path} has a key {key.name!r} already.",
                         fix="Choose another name; the old line can be deleted once nobody uses "
                         "that key.")  # fmt: skip
    gap = "" if text.endswith("\n") or not text else "\n"
    try:
        # Made with mode 0600.
        number, new = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise _unwritable(path, error) from None
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(f"{text}{gap}{key.entry()}\n")
            file.flush()
            os.fsync(number)
        Path(new).replace(path)
    except OSError as error:
        Path(new).unlink(missing_ok=True)
        raise _unwritable(path, error) from None


def require_distinct(keys: Iterable[Key]) -> None:
    """KeysError if two entries have one name or one digest: the caller would not be known."""
    names: set[str] = set()
    digests: set[str] = set()
    for key in keys:
        if key.name in names:
            raise _broken(_VARIABLES, f"name the key {key.name!r} twice")
        if key.digest in digests:
            raise _broken(_VARIABLES, f"hold the digest of {key.name!r} under two names")
        names.add(key.name)
        digests.add(key.digest)


class KeyRing:
    """The keys that are accepted now.

    Those in a file can be changed without a restart: it is read again when a key is looked
    up, once a second at most. A file that cannot be read leaves the last good keys in place.

    Parameters
    ----------
    fixed
        Keys that stay as they are.
    file
        Where further keys are; None if there is no file.
    clock
        Tells seconds; tests put their own here.

    Raises
    ------
    KeysError
        If the file cannot be read at the start, or there is no key at all.
    """

    def __init__(
        self, fixed: Sequence[Key], file: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._fixed = tuple(fixed)
        self._file = file
        self._clock = clock
        self._complaint = ""
        self._text = "" if file is None else read_file(file)
        self._keys = self._joined(self._text)
        self._due = clock() + _EVERY
        if not self._keys:
            raise KeysError("There is no API key.", why=f"{_VARIABLES} hold no entry.",
                            fix="Make a key with `crimeguard key`, or unset both.")  # fmt: skip

    @property
    def keys(self) -> tuple[Key, ...]:
        """The keys as they were read last."""
        return self._keys

    def find(self, secret: str) -> Key | None:
        """Return the key that a caller showed, None if there is no such key."""
        self._look()
        if not API_KEY.fullmatch(secret):
            return None
        shown, found = digest_of(secret), None
        # All are compared, whichever fits: the time taken tells nothing of the entries.
        for key in self._keys:
            if hmac.compare_digest(key.digest, shown):
                found = key
        return found

    def _look(self) -> None:
        now = self._clock()
        if self._file is None or now < self._due:
            return
        self._due = now + _EVERY
        # The content itself is compared: times of change are too coarse on some systems.
        try:
            text = read_file(self._file)
            if text == self._text and not self._complaint:
                return
            keys = self._joined(text)
        except KeysError as error:
            if str(error) != self._complaint:
                log.warning("the last good API keys stay in use: %s", error)
            self._complaint = str(error)
            return
        if keys != self._keys:
            log.info("the API keys have changed: %s", ", ".join(key.name for key in keys) or "none")
        self._keys, self._text, self._complaint = keys, text, ""

    def _joined(self, text: str) -> tuple[Key, ...]:
        keys = (*self._fixed, *parse_lines(text, str(self._file)))
        require_distinct(keys)
        return keys


def open_keys(settings: Settings) -> KeyRing | None:
    """Read the keys that the settings name; None if they name none.

    Whoever sets one of the variables means to have keys: an entry that cannot be read, or
    no entry at all, is a KeysError and never an API without keys.
    """
    if not (settings.api_keys or settings.api_keys_file):
        return None
    fixed = parse_list(settings.api_keys, "CRIMEGUARD_API_KEYS")
    return KeyRing(fixed, Path(settings.api_keys_file) if settings.api_keys_file else None)


def _broken(place: str, why: str, *, lost: bool = False) -> KeysError:
    fix = "Write entries as `crimeguard key` prints them: name:scope+scope:sha256[:rate]."
    if lost:
        fix = f"Take that key out of use and make another. {fix}"
    return KeysError("The API keys cannot be read.", why=f"{place} {why}.", fix=fix)


def _unwritable(path: Path, error: OSError) -> KeysError:
    return KeysError(f"The API key cannot be written to {path}.", why=f"{error.strerror}.",
                     fix="Choose a file in a folder that you may write to.")  # fmt: skip
