"""What DVC is told of the remote that the environment names."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from crimeguard.domain.errors import RemoteError, UsageError
from crimeguard.settings import Settings

CONNECT_SECONDS: Final = 15
_READ_SECONDS: Final = 60


def remote_config(settings: Settings) -> dict[str, Any]:
    """Return what DVC wants to know of the remote that the settings name.

    UsageError if it is named in a way that cannot be right, RemoteError if it is a folder
    that is not there.
    """
    address = urlsplit(settings.dvc_url)
    if address.username is not None or address.password is not None:
        raise UsageError("CRIMEGUARD_DVC_URL holds a user or a password.",
                         why="Addresses are shown, passwords are not.",
                         fix="Set CRIMEGUARD_DVC_USER and CRIMEGUARD_DVC_PASSWORD "
                         "instead.")  # fmt: skip
    if address.scheme in {"http", "https"}:
        return _http(settings)
    if address.scheme == "s3":
        return _s3(settings)
    folder = Path(settings.dvc_url.removeprefix("file://"))
    if "://" not in settings.dvc_url.removeprefix("file://") and not folder.is_dir():
        raise RemoteError(f"There is no folder {folder}.", why="CRIMEGUARD_DVC_URL names it.",
                          fix="Make or mount it, or name another.")  # fmt: skip
    return {"url": str(folder.resolve()) if folder.is_dir() else settings.dvc_url}


def _http(settings: Settings) -> dict[str, Any]:
    if bool(settings.dvc_user) != bool(settings.dvc_password):
        raise _half("CRIMEGUARD_DVC_USER", "CRIMEGUARD_DVC_PASSWORD")
    method = settings.dvc_method.upper()
    if method not in {"POST", "PUT"}:
        raise UsageError(f"CRIMEGUARD_DVC_METHOD is {settings.dvc_method!r}.",
                         fix="Set it to POST (DagsHub) or PUT (WebDAV).")  # fmt: skip
    config = {"url": settings.dvc_url.rstrip("/"), "method": method,
              "connect_timeout": CONNECT_SECONDS, "read_timeout": _READ_SECONDS}  # fmt: skip
    if settings.dvc_user:
        # DVC's own way for basic auth ends with the next aiohttp, and knows Latin 1 only.
        config |= {"auth": "custom", "custom_auth_header": "Authorization",
                   "password": basic(settings)}  # fmt: skip
    return config


def basic(settings: Settings) -> str:
    """Return the header that says who asks, for HTTP."""
    pair = f"{settings.dvc_user}:{settings.dvc_password}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _s3(settings: Settings) -> dict[str, Any]:
    if bool(settings.aws_access_key_id) != bool(settings.aws_secret_access_key):
        raise _half("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    # Without keys here the S3 client looks where it always does: profile, role, machine.
    config: dict[str, Any] = {"url": settings.dvc_url, "connect_timeout": CONNECT_SECONDS,
                              "read_timeout": _READ_SECONDS}  # fmt: skip
    if settings.aws_access_key_id:
        config |= {"access_key_id": settings.aws_access_key_id,
                   "secret_access_key": settings.aws_secret_access_key}  # fmt: skip
        if token := os.environ.get("AWS_SESSION_TOKEN"):
            config["session_token"] = token
    if settings.dvc_endpoint:
        config["endpointurl"] = settings.dvc_endpoint
    return config


def _half(one: str, other: str) -> UsageError:
    return UsageError(f"Of {one} and {other} only one is set.", fix="Set both, or none.")


def public(url: str) -> str:
    """Return an address without what may be secret in it."""
    parts = urlsplit(url)
    if not parts.scheme:
        return url
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))
