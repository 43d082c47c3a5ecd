from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crimeguard.domain.errors import BundleError, CrimeGuardError, UsageError
from crimeguard.pipeline import Trained
from crimeguard.registry.bundle import MANIFEST, Bundle
from crimeguard.registry.folder import SIGNATURE
from crimeguard.registry.golden import load_checked
from crimeguard.registry.signature import (
    Signers,
    SigningKey,
    make_signing_key,
    signing_key,
    trusted,
)
from crimeguard.registry.store import PRODUCTION, Run, open_registry
from crimeguard.settings import Settings


@pytest.fixture
def ours(tmp_path: Path) -> SigningKey:
    return make_signing_key(tmp_path / "ours.pem")


@pytest.fixture
def copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    shutil.copytree(tiny_bundle, folder)
    return folder


def signers(*keys: SigningKey) -> Signers:
    found = trusted(Settings(bundle_public_keys=", ".join(key.public for key in keys)))
    assert found is not None
    return found


def refuse(folder: Path, trusts: Signers, match: str) -> None:
    with pytest.raises(BundleError, match=match):
        load_checked(folder, trusts)


def test_a_signed_bundle_is_read_and_an_unsigned_one_is_not(copy: Path, ours: SigningKey) -> None:
    refuse(copy, signers(ours), "not signed")
    ours.sign(copy)
    assert load_checked(copy, signers(ours)).sha256 == Bundle.load(copy).sha256


def test_without_public_keys_nobody_is_asked(copy: Path) -> None:
    assert trusted(Settings()) is None
    load_checked(copy)
    (copy / SIGNATURE).write_text("nonsense")
    load_checked(copy)


def test_another_key_is_refused_and_several_let_keys_be_changed(
    copy: Path, ours: SigningKey, tmp_path: Path
) -> None:
    new = make_signing_key(tmp_path / "new.pem")
    ours.sign(copy)
    refuse(copy, signers(new), "not among those")
    load_checked(copy, signers(new, ours))
    new.sign(copy)  # in place of the first
    load_checked(copy, signers(new))
    refuse(copy, signers(ours), "not among those")


def test_who_claims_another_key_is_refused(copy: Path, ours: SigningKey, tmp_path: Path) -> None:
    other = make_signing_key(tmp_path / "other.pem")
    ours.sign(copy)
    claimed = json.loads((copy / SIGNATURE).read_text())["key"]
    other.sign(copy)
    forged = {**json.loads((copy / SIGNATURE).read_text()), "key": claimed}
    (copy / SIGNATURE).write_text(json.dumps(forged))
    refuse(copy, signers(ours, other), "is not that of the key")


def test_a_signature_is_of_one_manifest(copy: Path, ours: SigningKey) -> None:
    ours.sign(copy)
    text = (copy / MANIFEST).read_text()
    (copy / MANIFEST).write_text(text + " ")
    Bundle.load(copy)  # the manifest says the same of every file
    refuse(copy, signers(ours), "is not that of the key")


def test_a_file_that_was_changed_under_a_good_signature_is_refused(
    copy: Path, ours: SigningKey
) -> None:
    ours.sign(copy)
    (copy / "pool.json").write_text("{}")
    refuse(copy, signers(ours), "not what the manifest says")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "{}", '{"algorithm": "ed25519", "key": "x"}', "[" * 3_000, "x" * 9_000,
     '{"algorithm": "ed25519", "key": "x", "signature": "%%%"}',
     '{"algorithm": "ed25519", "key": "x", "signature": 3}', "\udcff\udc80"],
)  # fmt: skip
def test_what_is_no_signature_is_refused(copy: Path, ours: SigningKey, text: str) -> None:
    (copy / SIGNATURE).write_text(text, errors="surrogateescape")
    refuse(copy, signers(ours), "no signature")


@pytest.mark.parametrize(
    "change",
    [{"algorithm": "none"}, {"signature": ""}, {"signature": base64.b64encode(b"x").decode()},
     {"key": None}],
)  # fmt: skip
def test_a_signature_of_another_kind_is_refused(
    copy: Path, ours: SigningKey, change: dict[str, Any]
) -> None:
    ours.sign(copy)
    signed = json.loads((copy / SIGNATURE).read_text())
    (copy / SIGNATURE).write_text(json.dumps({**signed, **change}))
    refuse(copy, signers(ours), "not from anybody who is trusted")


@pytest.mark.parametrize("keys", [",", "x", "AAAA", "A" * 43 + "=," + "B" * 10, "é"])
def test_public_keys_that_are_none_end_the_start(keys: str) -> None:
    with pytest.raises(UsageError, match="CRIMEGUARD_BUNDLE_PUBLIC_KEYS"):
        trusted(Settings(bundle_public_keys=keys))


def test_a_private_key_is_for_its_owner_alone_and_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    made = make_signing_key(file)
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_bytes()
    with pytest.raises(CrimeGuardError, match="there already"):
        make_signing_key(file)
    assert file.read_bytes() == before
    read = signing_key(Settings(bundle_signing_key_file=str(file)))
    assert read is not None
    assert read.public == made.public
    assert signing_key(Settings()) is None


@pytest.mark.parametrize("text", ["", "x", None])
def test_a_file_without_a_key_is_said_before_anything_is_trained(
    tmp_path: Path, text: str | None
) -> None:
    file = tmp_path / "key.pem"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UsageError, match="no private Ed25519 key"):
        signing_key(Settings(bundle_signing_key_file=str(file)))


def test_a_key_of_another_kind_is_none(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    key = generate_private_key(SECP256R1())
    (tmp_path / "ec.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    with pytest.raises(UsageError, match="another kind"):
        signing_key(Settings(bundle_signing_key_file=str(tmp_path / "ec.pem")))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_a_program_that_we_did_not_write_verifies_it(
    copy: Path, ours: SigningKey, tmp_path: Path
) -> None:
    ours.sign(copy)
    signed = json.loads((copy / SIGNATURE).read_text())
    (tmp_path / "raw").write_bytes(base64.b64decode(signed["signature"]))
    public = tmp_path / "public.pem"
    subprocess.run(["openssl", "pkey", "-in", str(tmp_path / "ours.pem"), "-pubout", "-out",
                    str(public)], check=True)  # fmt: skip
    verify = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(public), "-rawin",
              "-sigfile", str(tmp_path / "raw"), "-in"]  # fmt: skip
    assert subprocess.run([*verify, str(copy / MANIFEST)], check=False).returncode == 0
    assert subprocess.run([*verify, str(copy / "pool.json")], check=False).returncode != 0


def test_a_link_in_place_of_a_signature_is_refused(
    copy: Path, ours: SigningKey, tmp_path: Path
) -> None:
    ours.sign(copy)
    (copy / SIGNATURE).rename(tmp_path / "elsewhere")
    (copy / SIGNATURE).symlink_to(tmp_path / "elsewhere")
    refuse(copy, signers(ours), "It is a link")
    (copy / SIGNATURE).unlink()
    os.mkfifo(copy / SIGNATURE)
    refuse(copy, signers(ours), "no plain file")


def test_a_signature_goes_through_mlflow(
    empty_home: Path, use_home: Callable[[Path], Settings], trained: Trained, copy: Path,
    ours: SigningKey, tmp_path: Path,
) -> None:  # fmt: skip
    registry = open_registry(use_home(empty_home))
    ours.sign(copy)
    registry.promote(registry.register(Bundle.load(copy), Run({}, {}, {})))
    folder = registry.fetch(PRODUCTION, into=tmp_path / "served")
    assert folder is not None
    assert load_checked(folder, signers(ours)).sha256 == trained.bundle.sha256
