"""Print how large each image is and how long its build takes, cold: nothing cached.

Usage: python benchmarks/images.py [NAME ...]   (by default all four)

Needs a container engine (DOCKER_HOST) that holds or can pull the base image. The build cache
is not used but stays; what was downloaded before is not downloaded again only where the
builder keeps package caches, so they are emptied: expect what the network gives.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
NAMES = ("backend", "frontend", "trainer", "mlflow")


def docker(*words: str) -> str:
    """Run the engine's client and return what it says."""
    client = os.environ.get("DOCKER", "docker")
    return subprocess.run(
        [client, *words], check=True, capture_output=True, text=True
    ).stdout.strip()


def build(name: str) -> tuple[int, int, float]:
    """Return the bytes of the image, those of our layers in it, and the seconds it took."""
    docker("builder", "prune", "--force", "--filter", "type=exec.cachemount")
    began = time.perf_counter()
    subprocess.run(
        [ROOT / "deploy/docker/build", name, "--no-cache", "--quiet"], check=True,
        stdout=subprocess.DEVNULL, env={**os.environ, "TAG": "measured"},
    )  # fmt: skip
    took = time.perf_counter() - began
    image = f"crimeguard-{name}:measured"
    size = int(docker("image", "inspect", "--format", "{{.Size}}", image))
    base = int(docker("image", "inspect", "--format", "{{.Size}}", "python:3.11-slim-bookworm"))
    docker("image", "rm", image)
    return size, size - base, took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME")
    names = parser.parse_args().names
    print(f"{os.cpu_count()} cores of {platform.machine()}, {dt.datetime.now(dt.UTC):%d %B %Y}, "
          f"engine {docker('version', '--format', '{{.Server.Version}}')}\n")  # fmt: skip
    print("| image | MB on disk | of it over the base | build without cache, s |")
    print("| --- | --- | --- | --- |")
    for name in names:
        size, own, took = build(name)
        print(f"| {name} | {size / 1e6:.0f} | {own / 1e6:.0f} | {took:.0f} |", flush=True)


if __name__ == "__main__":
    main()
