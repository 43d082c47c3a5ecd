"""Signatures: who made a bundle, where the registry that names it is not trusted alone.

The manifest, which names every file with its sha256, is signed with Ed25519; the signature
stands beside it. A server that was given public keys serves nothing that none of them signed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Final

from crimeguard.domain.errors import BundleError, CrimeGuardError, UsageError
from crimeguard.registry.folder import MANIFEST, MAX_MANIFEST_BYTES, SIGNATURE, read_plain
from crimeguard.settings import Settings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

ALGORITHM: Final = "ed25519"
_KEY_BYTES: Final = 32
_MAX_BYTES: Final = 4_000
_KEYS: Final = "CRIMEGUARD_BUNDLE_PUBLIC_KEYS"
_FILE: Final = "CRIMEGUARD_BUNDLE_SIGNING_KEY_FILE"


@dataclass(frozen=True, slots=True)
class Signers:
    """The public keys by their ids; whoever has one of the private keys may sign."""

    keys: Mapping[str, Ed25519PublicKey]

    def require(self, folder: Path) -> str:
        """Return the sha256 of a bundle's manifest; BundleError unless one of them signed it.

        Nothing of the bundle but these two files is looked at.
        """
        from cryptography.exceptions import InvalidSignature

        manifest = read_plain(folder / MANIFEST, MAX_MANIFEST_BYTES)
        name, signature = _parsed(folder)
        key = self.keys.get(name)
        if key is None:
            raise _refused(folder, f"It is signed with the key {name}, which is not among those "
                           f"in {_KEYS}.")  # fmt: skip
        try:
            key.verify(signature, manifest)
        except InvalidSignature:
            raise _refused(folder, f"The signature is not that of the key {name} on this "
                           "manifest.") from None  # fmt: skip
        return hashlib.sha256(manifest).hexdigest()


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key."""

    key: Ed25519PrivateKey

    @property
    def public(self) -> str:
        """The public key as the settings of a server hold it."""
        return base64.b64encode(self.key.public_key().public_bytes_raw()).decode()

    def sign(self, folder: Path) -> None:
        """Put the signature beside the manifest of a bundle; one that is there is replaced."""
        manifest = read_plain(folder / MANIFEST, MAX_MANIFEST_BYTES)
        signed = {
            "algorithm": ALGORITHM,
            "key": key_id(self.key.public_key().public_bytes_raw()),
            "signature": base64.b64encode(self.key.sign(manifest)).decode(),
        }
        # Beside the folder: within it, it would be a file too many.
        new = folder.with_name(f".{folder.name}.{token_hex(4)}.sig")
        try:
            new.write_text(json.dumps(signed) + "\n", encoding="utf-8")
            new.replace(folder / SIGNATURE)
        except OSError as error:
            raise CrimeGuardError(f"{folder / SIGNATURE} cannot be written.",
                                  why=f"{error.strerror}.") from None  # fmt: skip
        finally:
            new.unlink(missing_ok=True)


def trusted(settings: Settings) -> Signers | None:
    """Return who may have signed what is served; None if that is not asked.

    UsageError if a key is none: then nothing may be served.
    """
    if not settings.bundle_public_keys:
        return None
    with _cryptography(_KEYS):
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    found = {}
    for text in settings.bundle_public_keys.split(","):
        try:
            raw = base64.b64decode(text.strip(), validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        if len(raw) != _KEY_BYTES:
            raise UsageError(f"{_KEYS} holds {text.strip()[:60]!r}, which is no public key.",
                             why="A public key is 44 characters of base64.",
                             fix="Take what `crimeguard key --signing FILE` printed; separate "
                             "several by commas.")  # fmt: skip
        found[key_id(raw)] = Ed25519PublicKey.from_public_bytes(raw)
    return Signers(found)


def signing_key(settings: Settings) -> SigningKey | None:
    """Return what new bundles are signed with; None if they are not."""
    if not settings.bundle_signing_key_file:
        return None
    path = Path(settings.bundle_signing_key_file)
    with _cryptography(_FILE):
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise _no_key(path, f"{error.strerror}.") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _no_key(path, "It is no PEM without a password.") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise _no_key(path, "It is a key of another kind.")
    return SigningKey(key)


def make_signing_key(path: Path) -> SigningKey:
    """Write a new private key that only its owner can read; an existing file is left alone."""
    with _cryptography("--signing"):
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
        )
    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(number, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise CrimeGuardError(f"{path} is there already.",
                              why="It may hold the only copy of a key that is in use.",
                              fix="Move it away, or name another file.") from None  # fmt: skip
    except OSError as error:
        raise CrimeGuardError(f"{path} cannot be written.", why=f"{error.strerror}.",
                              fix="Choose a folder that can be written to.") from None  # fmt: skip
    return SigningKey(key)


def key_id(public: bytes) -> str:
    """Return what tells keys apart: the first 16 digits of the sha256 of a public key."""
    return hashlib.sha256(public).hexdigest()[:16]


def _parsed(folder: Path) -> tuple[str, bytes]:
    path = folder / SIGNATURE
    if not path.is_symlink() and not path.exists():
        raise _refused(folder, "It is not signed.")
    try:
        signed = json.loads(read_plain(path, _MAX_BYTES))
        name, algorithm = str(signed["key"])[:64], signed["algorithm"]
        signature = base64.b64decode(signed["signature"], validate=True)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _refused(folder, f"{SIGNATURE} is no signature.") from None
    if algorithm != ALGORITHM:
        raise _refused(folder, f"{SIGNATURE} is of another kind.")
    return name, signature


def _refused(folder: Path, why: str) -> BundleError:
    return BundleError(f"The bundle in {folder} is not from anybody who is trusted.", why=why,
                       fix=f"Train it where {_FILE} is set to the private key of one of {_KEYS}."
                       )  # fmt: skip


def _no_key(path: Path, why: str) -> UsageError:
    return UsageError(f"{path} holds no private Ed25519 key.", why=why,
                      fix=f"Make one with `crimeguard key --signing FILE`, or unset {_FILE}."
                      )  # fmt: skip


@contextmanager
def _cryptography(variable: str) -> Iterator[None]:
    try:
        yield
    except ImportError:
        raise UsageError(f"{variable} needs the package cryptography.",
                         fix="Install it; requirements/serve.txt names it.") from None  # fmt: skip
