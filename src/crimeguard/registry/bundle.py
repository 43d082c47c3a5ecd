"""The bundle: what is served, as files that can be checked byte by byte.

A folder of native booster files, JSON tables, plain arrays and a sample of what the model
was made from, with a manifest that names the size and sha256 of each. Nothing in it is
code or can become code.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from polars.exceptions import PanicException

from crimeguard import __version__
from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.errors import BundleError
from crimeguard.evaluate.reference import SAMPLE, TABLE, Reference
from crimeguard.features.featurizer import FEATURES_VERSION, Featurizer
from crimeguard.registry.folder import (
    MANIFEST as MANIFEST,
)
from crimeguard.registry.folder import (
    MAX_MANIFEST_BYTES as MAX_MANIFEST_BYTES,
)
from crimeguard.registry.folder import (
    SIGNATURE,
    entries,
    read_plain,
)
from crimeguard.train.conformal import Conformal
from crimeguard.train.linear import LinearMember
from crimeguard.train.model import POOLED, Members, Model
from crimeguard.train.neural import NeuralMember
from crimeguard.train.pool import Pool
from crimeguard.train.trees import Boosters, LightgbmTrees, XgboostTrees

FORMAT: Final = 3
NAME: Final = "crimeguard"
FILES: Final = (
    "card.json", "conformal.json", "featurizer.json", "golden.json", "lightgbm.txt",
    "linear.npy", "neural.npz", "pool.json", TABLE, SAMPLE, "xgboost.json",
)  # fmt: skip
MAX_BYTES: Final = 200_000_000


@dataclass(frozen=True)
class Bundle:
    """A verified bundle and the model in it.

    `sha256` is that of the manifest, so it stands for every byte of the bundle.
    """

    path: Path
    sha256: str
    manifest: dict[str, Any]
    card: dict[str, Any]
    golden: dict[str, Any]
    model: Model
    reference: Reference

    @property
    def name(self) -> str:
        """The name of the registered model."""
        return str(self.manifest["name"])

    @property
    def version(self) -> str:
        """The first twelve digits of the sha256: the same bytes have the same version."""
        return self.sha256[:12]

    @property
    def size(self) -> int:
        """The number of bytes of all its files."""
        return sum(int(entry["bytes"]) for entry in self.manifest["files"].values())

    @classmethod
    def load(cls, path: Path) -> Bundle:
        """Verify every file of a bundle, then read it; BundleError says what is wrong."""
        manifest, sha256 = verify(path)
        try:
            return cls(path, sha256, manifest, _json(path, "card.json"),
                       _json(path, "golden.json"), _read_model(path),
                       Reference.load(path))  # fmt: skip
        except BundleError:
            raise
        except (Exception, PanicException) as error:
            # Readers of three libraries meet bytes here; whatever they raise, the bundle
            # is not one, and the old one stays.
            raise BundleError(f"The bundle in {path} cannot be read.",
                              why=f"{type(error).__name__}: {error}".splitlines()[0][:300],
                              fix="Train or fetch it again.") from error  # fmt: skip


def verify(path: Path) -> tuple[dict[str, Any], str]:
    """Check manifest, sizes and sha256 without reading a model; return manifest and sha256."""
    raw = read_plain(path / MANIFEST, MAX_MANIFEST_BYTES)
    try:
        manifest = json.loads(raw)
        files = {name: (int(e["bytes"]), str(e["sha256"])) for name, e in manifest["files"].items()}
        stated = (manifest["format"], manifest["features_version"], tuple(manifest["categories"]))
        name = manifest["name"]
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError,
            RecursionError) as error:  # fmt: skip
        raise BundleError(f"{path / MANIFEST} is no manifest.", why=f"{type(error).__name__}.",
                          fix="Train or fetch the bundle again.") from None  # fmt: skip
    if stated != (FORMAT, FEATURES_VERSION, CATEGORIES) or name != NAME:
        raise BundleError(f"The bundle in {path} is not for this version of CrimeGuard.",
                          why="Its format, features or categories are others.",
                          fix="Train it again with this version.")  # fmt: skip
    _check_names(path, set(files))
    if sum(size for size, _ in files.values()) > MAX_BYTES or min(files.values())[0] < 0:
        raise BundleError(f"The bundle in {path} is larger than {MAX_BYTES:,} bytes.")
    for file, (size, sha256) in files.items():
        content = read_plain(path / file, size)
        if len(content) != size or hashlib.sha256(content).hexdigest() != sha256:
            raise BundleError(f"{path / file} is not what the manifest says.",
                              why=f"Size or sha256 differ ({len(content):,} of {size:,} bytes).",
                              fix="Train or fetch the bundle again.")  # fmt: skip
    return manifest, hashlib.sha256(raw).hexdigest()


def _check_names(path: Path, listed: set[str]) -> None:
    if listed != set(FILES):
        raise BundleError(f"The manifest in {path} lists other files than a bundle has.",
                          why=f"Expected {', '.join(FILES)}.")  # fmt: skip
    strangers = entries(path) - {MANIFEST, SIGNATURE, *FILES}
    if strangers:
        raise BundleError(f"The folder {path} holds more than a bundle.",
                          why=f"{min(strangers)[:100]!r} belongs to none.",
                          fix="Train or fetch the bundle again.")  # fmt: skip


def write_bundle(
    model: Model,
    folder: Path,
    *,
    card: dict[str, Any],
    golden: dict[str, Any],
    reference: Reference,
) -> Bundle:
    """Write a bundle below `folder`, under its version; verified before it gets its name."""
    folder.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".bundle-", dir=folder))
    try:
        _write_files(model, work, card, golden, reference)
        written = Bundle.load(work)
        # Files of a finished bundle are not meant to change.
        target = folder / written.version
        if target.exists():
            try:
                return Bundle.load(target)
            except BundleError:
                shutil.rmtree(target)  # damaged since; what was written now is the same bundle
        work.chmod(0o755)
        work.replace(target)
        return Bundle.load(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _write_files(
    model: Model, work: Path, card: dict[str, Any], golden: dict[str, Any], reference: Reference
) -> None:
    tables: dict[str, Any] = {
        "card.json": card,
        "golden.json": golden,
        "featurizer.json": model.featurizer.to_json(),
        "pool.json": model.pool.to_json(),
        "conformal.json": model.conformal.to_json(),
    }
    for file, table in tables.items():
        (work / file).write_text(json.dumps(table, indent=1 if file == "card.json" else None,
                                            sort_keys=True, allow_nan=False))  # fmt: skip
    for file, content in reference.files().items():
        (work / file).write_bytes(content)
    np.save(work / "linear.npy", model.members.linear.weights, allow_pickle=False)
    model.members.boosters.xgboost.save(work / "xgboost.json")
    model.members.boosters.lightgbm.save(work / "lightgbm.txt")
    model.members.neural.save(work / "neural.npz")
    manifest = {
        "format": FORMAT,
        "name": NAME,
        "features_version": FEATURES_VERSION,
        "crimeguard": __version__,
        "categories": list(CATEGORIES),
        "files": {file: _entry(work / file) for file in FILES},
    }
    (work / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True))


def _entry(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _json(path: Path, file: str) -> dict[str, Any]:
    data = json.loads((path / file).read_text(encoding="utf-8"))
    if not isinstance(data, dict):
        raise BundleError(f"{path / file} holds no table.", fix="Train it again.")
    return data


def _read_model(path: Path) -> Model:
    featurizer = Featurizer.from_json(_json(path, "featurizer.json"))
    weights = np.load(path / "linear.npy", allow_pickle=False)
    model = Model(
        featurizer,
        Members(
            LinearMember(weights),
            Boosters.of(
                XgboostTrees.read((path / "xgboost.json").read_bytes()),
                LightgbmTrees.read((path / "lightgbm.txt").read_bytes()),
            ),
            NeuralMember.load(path / "neural.npz"),
        ),
        Pool.from_json(_json(path, "pool.json")),
        Conformal.from_json(_json(path, "conformal.json")),
    )
    _check_shapes(model)
    return model


def _neural_fits(net: NeuralMember, size: int, classes: int) -> bool:
    plain, units = net.hidden.shape
    return (
        net.rows.shape == (size,)
        and int(net.rows.max()) < plain
        and net.bias.shape == (units,)
        and net.output.shape == (units, classes)
        and net.output_bias.shape == (classes,)
    )


def _check_shapes(model: Model) -> None:
    size, classes = len(model.featurizer.vocabulary), len(CATEGORIES)
    table = len(model.featurizer.table.names) + classes
    facts: tuple[tuple[str, Callable[[], bool]], ...] = (
        ("linear weights", lambda: model.members.linear.weights.shape == (size, classes)),
        ("boosters' columns", lambda: model.members.boosters.forest.columns == table),
        ("neural rows", lambda: _neural_fits(model.members.neural, size, classes)),
        ("pool weights", lambda: model.pool.weights.shape == (3, POOLED)),
        ("pool offsets", lambda: model.pool.offsets.shape == (classes,)),
        ("conformal thresholds", lambda: model.conformal.thresholds.shape == (3,)),
    )
    for what, holds in facts:
        if not holds():
            raise BundleError(f"The parts of the bundle do not fit: {what}.",
                              fix="Train it again.")  # fmt: skip
