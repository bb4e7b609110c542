"""Files that are whole or absent: atomic writes, hashes, and friendly words where reading fails."""

import hashlib
import io
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from lib.common.errors import UserError
from lib.common.paths import shown


def sha256_bytes(data: bytes) -> str:
    """Hexadecimal SHA-256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read block by block."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def key_of(settings: object) -> str:
    """Eight hexadecimal digits that change whenever a setting changes (JSON with sorted keys)."""
    text = json.dumps(settings, sort_keys=True, ensure_ascii=False)
    return sha256_bytes(text.encode())[:8]


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a full disk or a protected folder into a UserError that names ``path``."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"Cannot write {shown(path)}: {error.strerror or error}; free space or make the folder "
            "writable, then run the same command again (finished work is kept)."
        ) from error


def write_bytes(path: Path, data: bytes) -> Path:
    """Write atomically: a temporary file beside the target, flushed, then renamed over it.

    An identical file is left untouched. UserError as in ``writing``.
    """
    path = Path(path)
    if path.is_file() and path.read_bytes() == data:
        return path
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # tempfile's files are their owner's alone; these get the usual mode (umask)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    return path


def usual_modes(folder: Path) -> None:
    """Give the files of a folder the mode of new files (umask): libraries such as safetensors leave
    them to their owner alone."""
    mask = os.umask(0o022)
    os.umask(mask)
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o666 & ~mask)


def write_text(path: Path, text: str) -> Path:
    """Write a text file (UTF-8) atomically."""
    return write_bytes(path, text.encode())


def write_json(path: Path, value: object) -> Path:
    """Write a JSON file atomically, keys in the order given."""
    return write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_csv(path: Path, table) -> Path:
    """Write a DataFrame as CSV at full precision, atomically, without its index."""
    return write_text(path, table.to_csv(index=False))


def write_parquet(path: Path, table) -> Path:
    """Write a DataFrame as parquet, atomically, without its index."""
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return write_bytes(path, buffer.getvalue())


def read_text(path: Path) -> str:
    """A text file in UTF-8, without a byte-order mark; UserError if it is in another encoding."""
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{shown(path)} is not UTF-8 (at byte {error.start + 1}); save it as UTF-8."
        ) from None


def read_jsonl(path: Path) -> dict[int, object]:
    """What the lines of a JSONL file hold, by their numbers; UserError names one that is not JSON.

    Only line feeds end a line: U+2028 and U+0085 may stand in a JSON text.
    """
    rows = {}
    for number, line in enumerate(read_text(path).split("\n"), 1):
        try:
            if line.strip():
                rows[number] = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(
                f"{shown(path)} line {number} is not JSON ({error.msg}); each line must be "
                "one whole JSON object."
            ) from None
    return rows


def read_yaml(path: Path) -> dict:
    """A YAML file of keys and values; UserError says near which line it is broken."""
    try:
        text = read_text(path)
        found = yaml.safe_load(text)
        twice = repeated(yaml.compose(text, yaml.SafeLoader))
        if twice:
            raise UserError(f"{shown(path)}: '{twice}' stands twice; keep one of them.")
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        raise UserError(f"{shown(path)}: not valid YAML near line {line}; correct it.") from None
    if not isinstance(found, dict):
        raise UserError(f"{shown(path)}: expected 'key: value' lines; write some.")
    return found


def repeated(node: yaml.Node | None) -> str:
    """A key that stands twice in a mapping of a YAML document, of which YAML keeps the last; or
    an empty text."""
    within = []
    if isinstance(node, yaml.MappingNode):
        keys = [str(key.value) for key, _ in node.value]
        twice = [key for key in keys if keys.count(key) > 1]
        if twice:
            return twice[0]
        within = [value for _, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        within = node.value
    return next(filter(None, map(repeated, within)), "")


def read_json(path: Path, made_by: str) -> dict:
    """Read a JSON file; UserError names what makes it if it is absent or broken."""
    try:
        return json.loads(read_text(path))
    except FileNotFoundError:
        raise UserError(f"{shown(path)} is missing; run {made_by} first.") from None
    except json.JSONDecodeError as error:
        raise UserError(
            f"{shown(path)} is damaged ({error.msg} in line {error.lineno}); delete it and run "
            f"{made_by} again."
        ) from None
