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

from crimeguard import __version__
from crimeguard.domain.category import CATEGORIES
from crimeguard.domain.errors import BundleError
from crimeguard.evaluate.reference import SAMPLE, TABLE, Reference
from crimeguard.features.featurizer import FEATURES_VERSION, Featurizer
from crimeguard.train.boosters import LightgbmMember, XgboostMember
from crimeguard.train.conformal import Conformal
from crimeguard.train.linear import LinearMember
from crimeguard.train.model import POOLED, Members, Model
from crimeguard.train.neural import NeuralMember
from crimeguard.train.pool import Pool

FORMAT: Final = 2
NAME: Final = "crimeguard"
MANIFEST: Final = "manifest.json"
FILES: Final = (
    "card.json", "conformal.json", "featurizer.json", "golden.json", "lightgbm.txt",
    "linear.npy", "neural.npz", "pool.json", TABLE, SAMPLE, "xgboost.ubj",
)  # fmt: skip
MAX_BYTES: Final = 200_000_000
MAX_MANIFEST_BYTES: Final = 1_000_000


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
        except Exception as error:
            # Readers of three libraries meet bytes here; whatever they raise, the bundle
            # is not one, and the old one stays.
            raise BundleError(f"The bundle in {path} cannot be read.",
                              why=f"{type(error).__name__}: {error}".splitlines()[0],
                              fix="Train or fetch it again.") from error  # fmt: skip


def verify(path: Path) -> tuple[dict[str, Any], str]:
    """Check manifest, sizes and sha256 without reading a model; return manifest and sha256."""
    raw = _bytes(path / MANIFEST, MAX_MANIFEST_BYTES)
    try:
        manifest = json.loads(raw)
        entries = {
            name: (int(e["bytes"]), str(e["sha256"])) for name, e in manifest["files"].items()
        }
        stated = (manifest["format"], manifest["features_version"], tuple(manifest["categories"]))
        name = manifest["name"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{path / MANIFEST} is no manifest.", why=f"{type(error).__name__}.",
                          fix="Train or fetch the bundle again.") from None  # fmt: skip
    if stated != (FORMAT, FEATURES_VERSION, CATEGORIES) or name != NAME:
        raise BundleError(f"The bundle in {path} is not for this version of CrimeGuard.",
                          why="Its format, features or categories are others.",
                          fix="Train it again with this version.")  # fmt: skip
    if set(entries) != set(FILES):
        raise BundleError(f"The manifest in {path} lists other files than a bundle has.",
                          why=f"Expected {', '.join(FILES)}.")  # fmt: skip
    if sum(size for size, _ in entries.values()) > MAX_BYTES:
        raise BundleError(f"The bundle in {path} is larger than {MAX_BYTES:,} bytes.")
    for file, (size, sha256) in entries.items():
        content = _bytes(path / file, size)
        if len(content) != size or hashlib.sha256(content).hexdigest() != sha256:
            raise BundleError(f"{path / file} is not what the manifest says.",
                              why=f"Size or sha256 differ ({len(content):,} of {size:,} bytes).",
                              fix="Train or fetch the bundle again.")  # fmt: skip
    return manifest, hashlib.sha256(raw).hexdigest()


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
    model.members.xgboost.save(work / "xgboost.ubj")
    model.members.lightgbm.save(work / "lightgbm.txt")
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


def _bytes(path: Path, limit: int) -> bytes:
    """Read at most one byte more than `limit`: enough to see that a file is too large."""
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        raise BundleError(f"{path} cannot be read.", why=f"{error.strerror}.",
                          fix="Name a folder that `crimeguard train` wrote.") from None  # fmt: skip


def _json(path: Path, file: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((path / file).read_text())
    return data


def _read_model(path: Path) -> Model:
    featurizer = Featurizer.from_json(_json(path, "featurizer.json"))
    weights = np.load(path / "linear.npy", allow_pickle=False)
    model = Model(
        featurizer,
        Members(
            LinearMember(weights),
            XgboostMember.load(path / "xgboost.ubj"),
            LightgbmMember.load(path / "lightgbm.txt"),
            NeuralMember.load(path / "neural.npz"),
        ),
        Pool.from_json(_json(path, "pool.json")),
        Conformal.from_json(_json(path, "conformal.json")),
    )
    _check_shapes(model)
    model.members.xgboost.use_threads(1)
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
    columns = len(model.featurizer.table.names)
    facts: tuple[tuple[str, Callable[[], bool]], ...] = (
        ("linear weights", lambda: model.members.linear.weights.shape == (size, classes)),
        ("XGBoost columns", lambda: model.members.xgboost.booster.num_features() == columns),
        (
            "LightGBM columns",
            lambda: model.members.lightgbm.booster.num_feature() == columns + classes,
        ),
        ("neural rows", lambda: _neural_fits(model.members.neural, size, classes)),
        ("pool weights", lambda: model.pool.weights.shape == (3, POOLED)),
        ("pool offsets", lambda: model.pool.offsets.shape == (classes,)),
        ("conformal thresholds", lambda: model.conformal.thresholds.shape == (3,)),
    )
    for what, holds in facts:
        if not holds():
            raise BundleError(f"The parts of the bundle do not fit: {what}.",
                              fix="Train it again.")  # fmt: skip
