"""Write what an image holds as a CycloneDX document; runs in the image while it is built."""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

_INSTALLED = "${db:Status-Abbrev}|${Package}|${Version}|${Architecture}\n"


def main() -> None:
    """Describe the environments named, Debian's packages and Python itself."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="name of the image")
    parser.add_argument("--version", default="", help="version of the image")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    parser.add_argument("environments", nargs="+", type=Path, help="folders of environments")
    args = parser.parse_args()
    bom = describe(args.name, args.version, args.environments)
    # Validating takes longer than all the rest, so the tests do it. A random number and a
    # clock would make every build another one.
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    document.pop("serialNumber", None)
    document["metadata"].pop("timestamp", None)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def describe(name: str, version: str, environments: list[Path]) -> Bom:
    """Put the document together; a package in two environments is listed once."""
    bom = Bom()
    bom.metadata.component = Component(
        name=name, version=version or None, type=ComponentType.CONTAINER, bom_ref=name
    )
    found = {str(part.purl): part for folder in environments for part in _python(folder)}
    bom.components.update(found.values())
    bom.components.update(_system())
    bom.register_dependency(bom.metadata.component, bom.components)
    return bom


def _python(folder: Path) -> Iterator[Component]:
    document = subprocess.run(  # noqa: S603 -- our own interpreter, fixed arguments
        [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible",
         "--short-PURLs", "--sv", "1.6", "--no-validate", str(folder / "bin" / "python")],
        check=True, stdout=subprocess.PIPE, text=True,
    ).stdout  # fmt: skip
    for part in json.loads(document).get("components", ()):
        component: Component = Component.from_json(data=part)  # type: ignore[attr-defined]
        yield component


def _system() -> Iterator[Component]:
    """Yield the distribution, its packages, and Python, which may be none of these."""
    release = platform.freedesktop_os_release()
    yield Component(
        name=release["ID"], version=release.get("VERSION_ID"), bom_ref="os",
        type=ComponentType.OPERATING_SYSTEM,
    )  # fmt: skip
    version = platform.python_version()
    yield Component(
        name="python", version=version, type=ComponentType.PLATFORM, bom_ref="interpreter",
        purl=PackageURL("generic", None, "python", version),
    )  # fmt: skip
    listed = subprocess.run(  # noqa: S603
        ["dpkg-query", "--show", f"--showformat={_INSTALLED}"],  # noqa: S607 -- of the image
        check=True, stdout=subprocess.PIPE, text=True,
    ).stdout  # fmt: skip
    for line in listed.splitlines():
        status, package, version, architecture = line.split("|")
        if status.startswith("ii"):
            purl = PackageURL("deb", release["ID"], package, version, {"arch": architecture})
            yield Component(name=package, version=version, type=ComponentType.LIBRARY,
                            bom_ref=purl.to_string(), purl=purl)  # fmt: skip


if __name__ == "__main__":
    main()
