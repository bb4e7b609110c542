"""Pinned files over HTTPS: each arrives whole and with the right SHA-256, or it is absent.

data/published/sources.json pins the repository, the commit, and each file's path, size and
SHA-256. The environment variable HONEY_SOURCE names another place with the same paths: an
http(s) address, or a folder to copy from.
"""

import http.client
import json
import os
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from lib.common import files, paths
from lib.common.errors import UserError
from lib.common.progress import Progress

PAUSES = (1.0, 3.0, 9.0)  # seconds before the second, third and fourth try
TIMEOUT = 30.0  # seconds without a single byte
BLOCK = 1 << 18  # bytes read at once
WORTH_A_RETRY = (408, 429)  # statuses below 500 that pass by themselves


@dataclass(frozen=True)
class Pin:
    """One published file: its path in the repository, its size in bytes and its SHA-256."""

    path: str
    bytes: int
    sha256: str


def read_sources() -> dict:
    """data/published/sources.json: repository, commit, files (pins) and rows of each table."""
    return json.loads((paths.PUBLISHED / "sources.json").read_text())


def pins(start: str) -> list[Pin]:
    """The pinned files whose path begins with ``start``, in the order of sources.json."""
    return [Pin(**file) for file in read_sources()["files"] if file["path"].startswith(start)]


def source() -> str | Path:
    """Where files come from: HONEY_SOURCE (address or folder), else the repository's raw files."""
    place = os.environ.get("HONEY_SOURCE", "").strip()
    if place.startswith(("https://", "http://")):
        return place.rstrip("/")
    if place:
        folder = paths.ROOT / Path(place).expanduser()  # notebooks run in a folder of their own
        if not folder.is_dir():
            raise UserError(
                f"HONEY_SOURCE is '{place}', which is neither an http(s) address nor a "
                "folder that exists; correct it, or unset it to download."
            )
        return folder
    pinned = read_sources()
    return f"https://raw.githubusercontent.com/{pinned['repository']}/{pinned['commit']}"


def is_whole(path: Path, pin: Pin) -> bool:
    """Whether the file is there with the pinned size and SHA-256."""
    return (
        path.is_file()
        and path.stat().st_size == pin.bytes
        and files.sha256_file(path) == pin.sha256
    )


def fetch(wanted: list[tuple[Pin, Path]], label: str) -> None:
    """Bring every (pin, target) that is not there yet, one after another.

    A file grows under ``<target>.part`` and is renamed when its size and SHA-256 are right; a part
    that an earlier run left is resumed. UserError in one sentence if a file cannot be had.
    """
    place = source()
    progress = Progress(label, len(wanted), "files", every=10.0)
    for pin, target in wanted:
        if is_whole(target, pin):
            progress.skip()
            continue
        part = target.with_name(target.name + ".part")
        with files.writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(place, Path):
            _copy(pin, part, place)
        else:
            _download(pin, part, place)
        with files.writing(target):
            os.replace(part, target)
        progress.step()


def _copy(pin: Pin, part: Path, folder: Path) -> None:
    """Copy from a folder laid out as the repository (or a CSV or JSON file that lies in it)."""
    origin = folder / pin.path
    if not origin.is_file() and origin.suffix in (".csv", ".json"):
        origin = folder / origin.name
    if not origin.is_file():
        raise UserError(
            f"{pin.path} is not in {folder}, the folder that HONEY_SOURCE names; put "
            "it there, or unset HONEY_SOURCE to download it."
        )
    with files.writing(part):
        shutil.copyfile(origin, part)
    if not is_whole(part, pin):
        raise _wrong(pin, part, str(origin))


def _download(pin: Pin, part: Path, base: str) -> None:
    """Fill ``part`` from the server, with at most ``len(PAUSES) + 1`` tries."""
    url = f"{base}/{urllib.parse.quote(pin.path)}"
    reason = ""
    for pause in (0.0, *PAUSES):
        time.sleep(pause)
        try:
            resumed = _receive(url, pin, part)
        except urllib.error.HTTPError as error:
            error.close()
            reason = f"status {error.code}"
            if error.code == 416:  # the server will not go on from here: begin again
                part.unlink(missing_ok=True)
            elif error.code < 500 and error.code not in WORTH_A_RETRY:
                raise UserError(
                    f"{pin.path} cannot be had from {base} ({reason}); check the "
                    "address in HONEY_SOURCE, or get the file elsewhere and let "
                    "HONEY_SOURCE name its folder."
                ) from None
        except (OSError, http.client.HTTPException) as error:  # URLError, time-outs and resets
            reason = str(getattr(error, "reason", "") or error or type(error).__name__)
        else:
            if is_whole(part, pin):
                return
            size = part.stat().st_size
            if size < pin.bytes:
                reason = f"the connection ended after {size:,} of {pin.bytes:,} bytes"
            elif resumed:  # what an earlier run left may be to blame: begin again
                reason = "the resumed file had a wrong SHA-256"
                part.unlink()
            else:
                raise _wrong(pin, part, base)
    raise UserError(
        f"{pin.path} did not arrive from {base} in {len(PAUSES) + 1} tries (last: "
        f"{reason}); check the network, or let HONEY_SOURCE name a folder that has it, "
        "and run the same command again (what has arrived is kept)."
    )


def _receive(url: str, pin: Pin, part: Path) -> bool:
    """One request; True if it went on from what ``part`` already held. Stops at a wrong size."""
    have = part.stat().st_size if part.exists() else 0
    if have >= pin.bytes:  # only the check is left to do; a wrong part is then begun again
        return True
    headers = {"Range": f"bytes={have}-"} if have else {}
    with urllib.request.urlopen(
        urllib.request.Request(url, headers=headers), timeout=TIMEOUT
    ) as answer:
        resumed = answer.status == 206
        if resumed and not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            with files.writing(part):
                part.unlink(missing_ok=True)
            raise http.client.HTTPException("the server answered with another range")
        size = have if resumed else 0
        length = answer.headers.get("Content-Length", "")
        if length.isdigit() and size + int(length) != pin.bytes:
            raise _wrong(pin, part, url, size + int(length))
        with files.writing(part):
            file = open(part, "ab" if resumed else "wb", buffering=0)
        with file:
            while block := answer.read(BLOCK):
                size += len(block)
                if size > pin.bytes:
                    raise _wrong(pin, part, url, size)
                with files.writing(part):
                    if file.write(block) < len(block):
                        raise OSError("the disk is full")
    return resumed


def _wrong(pin: Pin, part: Path, where: str, size: int | None = None) -> UserError:
    """Delete the wrong file and say what was expected and found."""
    if size is None:
        size = part.stat().st_size
    if size != pin.bytes:
        expected, found = f"{pin.bytes:,} bytes", f"{size:,}"
    else:
        expected, found = f"SHA-256 {pin.sha256[:12]}…", f"{files.sha256_file(part)[:12]}…"
    part.unlink(missing_ok=True)
    return UserError(
        f"{pin.path} from {where} is not the pinned file: expected {expected}, found "
        f"{found}; check the address or folder in HONEY_SOURCE and try again."
    )
