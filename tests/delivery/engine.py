"""A container engine of the tests' own, and a base image where none can be pulled.

A private dockerd, as root, that touches nothing of the machine's network: one uses the
host's (builds reach the package index), another lives in a network namespace, where it may
make bridges and publish ports. CRIMEGUARD_TEST_ENGINE and CRIMEGUARD_TEST_NETWORK_ENGINE
(with CRIMEGUARD_TEST_NETNS) name engines that run already.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BASE: Final = "python:3.11-slim-bookworm"
_QUIET: Final = ("--iptables=false", "--ip6tables=false")
_HOST_ONLY: Final = (*_QUIET, "--bridge=none", "--ip-forward=false", "--ip-masq=false",
                     "--exec-opt", "native.cgroupdriver=cgroupfs")  # fmt: skip


class UnavailableError(Exception):
    """No container engine can be had here; the text says why."""


@dataclass(frozen=True)
class Engine:
    """A running dockerd; `folder` is a place for files beside it."""

    address: str
    folder: Path
    namespace: str | None = None
    private: bool = True

    @property
    def env(self) -> dict[str, str]:
        """The environment in which `docker` speaks to this engine and to no other."""
        path = f"{_own_client(self.folder)}:{os.environ.get('PATH', '')}"
        return {
            **os.environ, "PATH": path, "DOCKER_HOST": self.address,
            "DOCKER_BUILDKIT": "1", "DOCKER_CONFIG": str(self.folder / "config"),
        }  # fmt: skip

    def docker(
        self, *arguments: str, check: bool = True, timeout: float = 900, text: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """Run `docker`; an AssertionError with its output if it fails and `check` is set."""
        return run(["docker", *arguments], env={**self.env, **(env or {})}, check=check,
                   timeout=timeout, text=text)  # fmt: skip

    def inside(
        self, *command: str, check: bool = True, timeout: float = 120, text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command where the engine's published ports are on 127.0.0.1."""
        return run([*self.enter, *command], env=self.env, check=check, timeout=timeout, text=text)

    @property
    def enter(self) -> list[str]:
        """What a command begins with that is to run in the engine's network namespace."""
        return [] if self.namespace is None else ["nsenter", f"--net=/run/netns/{self.namespace}"]

    def has(self, image: str) -> bool:
        """Whether the engine holds an image."""
        return self.docker("image", "inspect", image, check=False).returncode == 0

    def identity(self, image: str) -> str:
        """Return the content address of an image."""
        return self.docker("image", "inspect", "--format", "{{.Id}}", image).stdout.strip()

    def give(self, image: str, other: Engine) -> None:
        """Copy an image to another engine, unless it holds that very image."""
        if other.has(image) and other.identity(image) == self.identity(image):
            return
        with tempfile.NamedTemporaryFile(dir=self.folder, suffix=".tar") as file:
            self.docker("save", "--output", file.name, image)
            other.docker("load", "--input", file.name)


def run(
    command: list[str], *, env: Mapping[str, str], check: bool = True, timeout: float = 900,
    text: str | None = None, cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """Run a command with its output kept; what it said is in the AssertionError if it fails."""
    done = subprocess.run(
        command, env=dict(env), capture_output=True, text=True, timeout=timeout, input=text,
        cwd=cwd, check=False,
    )  # fmt: skip
    if check:
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done


@contextmanager
def open_engine(*, network: bool) -> Iterator[Engine]:
    """Yield the engine that the environment names, or one of our own until the end.

    UnavailableError if there is none and none can be started.
    """
    named = os.environ.get(
        "CRIMEGUARD_TEST_NETWORK_ENGINE" if network else "CRIMEGUARD_TEST_ENGINE"
    )
    with tempfile.TemporaryDirectory(prefix="crimeguard-engine-", ignore_cleanup_errors=True) as at:
        folder = Path(at)
        if named:
            space = os.environ.get("CRIMEGUARD_TEST_NETNS") if network else None
            yield _answering(Engine(named, folder, space, private=False))
            return
        _require_tools()
        with _namespace(folder.name) if network else _host() as space, _dockerd(folder, space) as e:
            yield e


def _own_client(folder: Path) -> Path:
    """Return a folder with Debian's client: another may lack its builder."""
    place = folder / "bin"
    if not place.exists() and Path("/usr/bin/docker").exists():
        place.mkdir()
        (place / "docker").symlink_to("/usr/bin/docker")
    return place


def _answering(engine: Engine) -> Engine:
    asked = engine.docker("info", check=False, timeout=30)
    if asked.returncode != 0:
        raise UnavailableError(f"{engine.address} does not answer: {asked.stderr.strip()}")
    return engine


def _require_tools() -> None:
    if os.geteuid() != 0:
        raise UnavailableError("only root can start one; CRIMEGUARD_TEST_ENGINE may name one")
    for tool in ("dockerd", "nsenter", "ip"):
        if shutil.which(tool) is None:
            raise UnavailableError(f"{tool} is not installed (`apt-get install docker.io`)")


@contextmanager
def _host() -> Iterator[None]:
    yield None


@contextmanager
def _namespace(name: str) -> Iterator[str]:
    """Yield a network namespace with nothing but its own loopback."""
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise UnavailableError(f"no network namespace can be made: {made.stderr.strip()}")
    try:
        subprocess.run(["nsenter", f"--net=/run/netns/{name}", "ip", "link", "set", "lo", "up"],
                       check=True)  # fmt: skip
        yield name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


@contextmanager
def _dockerd(folder: Path, namespace: str | None) -> Iterator[Engine]:
    socket = folder / "docker.sock"
    engine = Engine(f"unix://{socket}", folder, namespace)
    # nsenter and not `ip netns exec`: the latter mounts /sys anew, without the control groups.
    command = [
        *engine.enter, "dockerd", "--host", engine.address, "--data-root", str(folder / "data"),
        "--exec-root", str(folder / "exec"), "--pidfile", str(folder / "dockerd.pid"),
        "--storage-driver", "overlay2", *(_HOST_ONLY if namespace is None else _QUIET),
    ]  # fmt: skip
    with (folder / "dockerd.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        for _ in range(120):
            if process.poll() is not None:
                break
            if socket.exists() and engine.docker("info", check=False).returncode == 0:
                break
            time.sleep(0.5)
        else:
            raise UnavailableError("dockerd did not answer within a minute")
        if process.poll() is not None:
            last = (folder / "dockerd.log").read_text().splitlines()[-3:]
            raise UnavailableError("dockerd ended: " + " | ".join(last))
        yield engine
    finally:
        _remove_containers(engine)
        process.terminate()
        process.wait(timeout=60)
        _unmount(folder)


def _unmount(folder: Path) -> None:
    """Let go of the namespaces that dockerd leaves mounted: nobody could remove the folder."""
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for place in reversed(mounted):
        if Path(place).is_relative_to(folder):
            subprocess.run(["umount", place], check=True)


def _remove_containers(engine: Engine) -> None:
    listed = engine.docker("ps", "--all", "--quiet", check=False)
    if listed.returncode == 0 and listed.stdout.split():
        engine.docker("rm", "--force", *listed.stdout.split(), check=False)


def ensure_base(engine: Engine) -> str:
    """Return the base image's name once the engine holds it.

    Pulled where that is possible; a private engine has no registry to pull from, so
    there it is put together from Debian's packages under the same name.
    """
    if engine.has(BASE):
        return BASE
    if not engine.private or os.geteuid() != 0 or shutil.which("debootstrap") is None:
        engine.docker("pull", BASE)
        return BASE
    rootfs = engine.folder / "rootfs"
    _bootstrap(rootfs)
    packed = engine.folder / "base.tar"
    run(["tar", "-C", str(rootfs), "--numeric-owner", "-cf", str(packed), "."], env=os.environ)
    shutil.rmtree(rootfs)
    changes = [
        "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "ENV LANG=C.UTF-8",
        "ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt",
        "ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt", 'CMD ["python3"]',
    ]  # fmt: skip
    options = [part for change in changes for part in ("--change", change)]
    engine.docker("import", *options, str(packed), BASE)
    packed.unlink()
    return BASE


def _bootstrap(rootfs: Path) -> None:
    """Install a Debian with Python that looks as the official image does."""
    wanted = "python3,python3-venv,python3-pip,ca-certificates,libgomp1"
    run(["debootstrap", "--variant=minbase", f"--include={wanted}", "bookworm", str(rootfs),
         _mirror()], env=os.environ, timeout=900)  # fmt: skip
    for marker in rootfs.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        marker.unlink()
    for name in ("python", "python3"):
        (rootfs / "usr/local/bin" / name).symlink_to("/usr/bin/python3")
    # Builds reach the package index through whatever this machine trusts.
    own = sorted(Path("/usr/local/share/ca-certificates").glob("*.crt"))
    for certificate in own:
        shutil.copy(certificate, rootfs / "usr/local/share/ca-certificates")
    if own:
        run(["chroot", str(rootfs), "update-ca-certificates"], env=os.environ)
    for waste in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man",
                  "usr/share/locale"):  # fmt: skip
        shutil.rmtree(rootfs / waste, ignore_errors=True)
    (rootfs / "var/cache/apt/archives/partial").mkdir(parents=True)
    (rootfs / "var/lib/apt/lists/partial").mkdir(parents=True)


def _mirror() -> str:
    """Return the mirror that apt uses on this machine."""
    listed = run(["apt-get", "indextargets", "--format", "$(REPO_URI)"], env=os.environ)
    plain = [line for line in listed.stdout.splitlines() if "security" not in line]
    if not plain:
        raise UnavailableError("apt knows no mirror to make a base image from")
    return plain[0]
