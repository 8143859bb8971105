"""The file of Inception's weights: found, or downloaded once, and refused unless it is the published one."""

import hashlib
import os
import shutil
import urllib.request
from pathlib import Path

from . import cache

NAME = "pt_inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{NAME}"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
VARIABLE = "EQUIPOISE_INCEPTION"


def find(weights: str | None) -> Path:
    """The path given, else that of EQUIPOISE_INCEPTION, else the user's cache, filled on first use; then checked."""
    given = weights or os.environ.get(VARIABLE)
    path = Path(given).expanduser() if given else cached()
    if not given and not path.exists():
        download(path)
    if not path.is_file():
        raise ValueError(f"no such file: {path}; it should be {NAME} from {URL}")
    check(path, path)
    return path


def cached() -> Path:
    """Where the download is kept."""
    return cache.folder() / NAME


def download(path: Path) -> None:
    """Fetches the published file, written beside `path` and renamed once it is complete."""
    part = path.with_name(f"{NAME}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(URL, timeout=60) as response, part.open("wb") as file:
            shutil.copyfileobj(response, file)
        check(part, URL)
        part.rename(path)
    except OSError as error:
        raise ValueError(
            f"cannot download {NAME} (no network?): {error}; fetch {URL} elsewhere and set {VARIABLE} to the file's "
            "path, or use the features builtin, random or pixels"
        ) from None
    finally:
        part.unlink(missing_ok=True)


def check(path: Path, source: Path | str) -> None:
    """Raises ValueError unless the file's SHA-256 is that of the published weights."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != SHA256:
        raise ValueError(
            f"{source} is not {NAME}: its SHA-256 is {digest[:8]}..., not {SHA256[:8]}... (incomplete? delete it and "
            f"get it again from {URL})"
        )
