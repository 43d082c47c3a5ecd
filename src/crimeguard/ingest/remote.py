"""The DVC remote that the environment names: HTTP with basic auth, S3, or a folder.

The one module that speaks to DVC, whose transports and layout it uses: what lies there can
be had with `dvc pull` as well. The configuration is made in memory, so that no user or
password comes into a file, an argument or a log.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from crimeguard.domain.errors import RemoteError, UsageError
from crimeguard.ingest.remote_config import CONNECT_SECONDS, basic, public, remote_config
from crimeguard.settings import Settings

_NAME: Final = "crimeguard"
_WRITTEN: Final = "written to"
_REFUSED: Final = frozenset({"401", "403", "407", "AccessDenied", "InvalidAccessKeyId",
                             "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
                             "NoCredentialsError", "PartialCredentialsError"})  # fmt: skip
_UNREACHABLE: Final = frozenset({"ClientConnectorError", "ClientConnectorDNSError",
                                 "EndpointConnectionError", "ConnectTimeoutError", "gaierror",
                                 "ConnectionTimeoutError", "ConnectionRefusedError"})  # fmt: skip


class DamagedError(RemoteError):
    """The remote holds something else under a name than the name says."""


class Remote:
    """A store of files that are named by their md5.

    Parameters
    ----------
    shown
        Its address without anything secret, for people.
    database
        DVC's object database there.
    secrets
        Texts that are cut out of every message.
    """

    def __init__(self, shown: str, database: Any, secrets: tuple[str, ...] = ()) -> None:
        self.shown = shown
        self._database = database
        self._secrets = tuple(secret for secret in secrets if secret)
        self._used = False

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, which DVC leaves to the collector of garbage."""
        if not self._used:
            return
        fs = self._database.fs.fs
        # S3's client, and the session of HTTP; a folder has neither.
        opened = getattr(fs, "_s3creator", None) or getattr(fs, "_session", None)
        if opened is not None:
            from fsspec.asyn import sync

            with suppress(OSError):
                sync(fs.loop, opened.__aexit__, None, None, None, timeout=CONNECT_SECONDS)

    def size_of(self, oid: str) -> int | None:
        """Return how many bytes lie under a name, None if nothing does, -1 if it is not told."""
        with self._asking("asked"):
            try:
                found = self._database.fs.info(self._database.oid_to_path(oid))
            except FileNotFoundError as error:
                if _absent(error):
                    return None
                raise
        size = found.get("size")
        return -1 if size is None else int(size)

    def put(self, oid: str, file: Path) -> None:
        """Store a file under a name."""
        path = self._database.oid_to_path(oid)
        with self._asking(_WRITTEN):
            fs = self._database.fs
            fs.makedirs(fs.parent(path), exist_ok=True)
            fs.put_file(os.fspath(file), path)

    def get(self, oid: str, into: Path) -> None:
        """Fetch what lies under a name into a file, at once and verified or not at all."""
        into.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=into.parent, prefix=f".{into.name}.")
        os.close(handle)
        part = Path(name)
        try:
            with self._asking("read"):
                self._database.fs.get_file(self._database.oid_to_path(oid), name)
            if md5_of(part) != oid.removesuffix(".dir"):
                raise DamagedError(
                    f"What {self.shown} holds is damaged.",
                    why=f"{self._database.oid_to_path(oid)} has another md5 than its name says.",
                    fix="Push it again from where it is whole: `crimeguard data push --force`.",
                )
            part.replace(into)
        finally:
            part.unlink(missing_ok=True)

    @contextmanager
    def _asking(self, verb: str) -> Iterator[None]:
        from aiohttp import ClientError as HttpError
        from botocore.exceptions import BotoCoreError
        from botocore.exceptions import ClientError as S3Error

        self._used = True
        try:
            yield
        except (OSError, HttpError, BotoCoreError, S3Error) as error:
            # The chain of causes may show addresses with what was sent.
            raise self._explained(error, verb) from None

    def _explained(self, error: BaseException, verb: str) -> RemoteError:
        words = _words(error)
        said = self._without_secrets(_said(error))
        what = f"The remote {self.shown} could not be {verb}."
        if words & _REFUSED or isinstance(error, PermissionError):
            return RemoteError(what, why=f"It refuses who asks, or what is asked: {said}.",
                               fix=f"Check {_who(self.shown)}.")  # fmt: skip
        if words & _UNREACHABLE:
            return RemoteError(what, why=f"It cannot be reached: {said}.",
                               fix="Check CRIMEGUARD_DVC_URL and CRIMEGUARD_DVC_ENDPOINT, and "
                               "that the server runs.")  # fmt: skip
        if "NoSuchBucket" in words:
            return RemoteError(
                what,
                why="There is no such bucket.",
                fix="Check the bucket in CRIMEGUARD_DVC_URL, or make it.",
            )
        if words & {"405", "501"} or (verb == _WRITTEN and isinstance(error, FileNotFoundError)):
            return RemoteError(
                what,
                why=f"It does not take such a request there: {said}.",
                fix="Check CRIMEGUARD_DVC_URL, and set CRIMEGUARD_DVC_METHOD to PUT (WebDAV) or "
                "to POST (DagsHub).",
            )
        if isinstance(error, FileNotFoundError):
            return RemoteError(what, why=f"It does not hold what was asked for: {said}.",
                               fix="Push it from where it is: `crimeguard data push`.")  # fmt: skip
        return RemoteError(what, why=f"{type(error).__name__}: {said}.",
                           fix="Run the command again: it goes on where it was.")  # fmt: skip

    def _without_secrets(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return re.sub(r"://[^/\s]*@", "://", text).rstrip(".")[:300]


def open_remote(settings: Settings) -> Remote:
    """Open the remote that the settings name; nothing is sent yet.

    Raises
    ------
    UsageError
        If none is named, or one in a way that cannot be right.
    """
    url = settings.dvc_url
    if not url:
        raise UsageError("There is no remote for data.", why="CRIMEGUARD_DVC_URL is not set.",
                         fix="Set it to https://..., s3://BUCKET/PATH or a folder; see "
                         "docs/remotes.md.")  # fmt: skip
    config = remote_config(settings)
    try:
        database = _database(config)
    except ModuleNotFoundError as error:
        raise RemoteError("Snapshots cannot be moved here.", why=f"{error}.",
                          fix="Run this where models are trained: `make up`, or the trainer's "
                          "image.") from None  # fmt: skip
    except ValueError as error:
        raise UsageError(f"{public(url)} cannot be a remote for data.", why=f"{error}.",
                         fix="Set CRIMEGUARD_DVC_URL to https://..., s3://BUCKET/PATH or a "
                         "folder.") from None  # fmt: skip
    secrets = (settings.dvc_password, settings.aws_secret_access_key, basic(settings))
    return Remote(public(url), database, secrets)


def _database(config: dict[str, Any]) -> Any:
    """Let DVC make its object database; ValueError if it knows no such remote."""
    os.environ.setdefault("DVC_NO_ANALYTICS", "1")
    from dvc.data_cloud import Remote as DvcRemote
    from dvc.exceptions import DvcException
    from dvc.fs import get_cloud_fs
    from dvc_objects.fs.errors import ConfigError

    try:
        kind, options, path = get_cloud_fs({"remote": {_NAME: config}}, name=_NAME)
        return DvcRemote(_NAME, path, kind(**options), **options).odb
    # ImportError: a kind of remote whose package is not installed.
    except (DvcException, ConfigError, ImportError) as error:
        raise ValueError(str(error).strip().splitlines()[0]) from None


def md5_of(file: Path) -> str:
    """Return the md5 by which DVC names a file; sha256 is what a snapshot is verified with."""
    with file.open("rb") as handle:
        digest = hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False))
    return digest.hexdigest()


def _who(shown: str) -> str:
    if shown.startswith("s3:"):
        return "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and what they may do there"
    if shown.startswith("http"):
        return "CRIMEGUARD_DVC_USER and CRIMEGUARD_DVC_PASSWORD"
    return "who may read and write there"


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _words(error: BaseException) -> set[str]:
    """Return what the transports call an error: types, HTTP statuses, codes of S3."""
    words = set()
    for cause in _causes(error):
        words.add(type(cause).__name__)
        words.add(str(getattr(cause, "status", "")))
        response = getattr(cause, "response", None)
        if isinstance(response, dict):
            words.add(str(response.get("Error", {}).get("Code", "")))
    return words


def _said(error: BaseException) -> str:
    """Return in one line what was answered, or else what went wrong."""
    for cause in _causes(error):
        status = getattr(cause, "status", None)
        if isinstance(status, int):
            return f"HTTP {status} {getattr(cause, 'message', '')}".strip()
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _absent(error: FileNotFoundError) -> bool:
    """Tell whether nothing lies there, or it only could not be asked.

    Over HTTP the same error stands for both, and the cause tells them apart.
    """
    causes = list(_causes(error))
    return len(causes) == 1 or any(getattr(item, "status", None) in {404, 410} for item in causes)
