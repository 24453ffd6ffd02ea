"""Files that are either whole or absent.

Writes to a temporary name beside the target, flushes it to the disk and renames it. Does not lock: two programs that
write the same file leave the later one's content, whole.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any


def explained(error: Exception) -> str | None:
    """An error of the input or of the disk as a message that says what to do; None for one that is the program's own."""
    if isinstance(error, ValueError):
        return str(error)
    # Libraries written in Rust (safetensors, tokenizers) wrap what the system said.
    wrapped = re.search(r"\(os error (\d+)\)", str(error))
    if wrapped and not isinstance(error, OSError):
        error = OSError(int(wrapped[1]), os.strerror(int(wrapped[1])))
    if not isinstance(error, OSError):
        return None
    if error.strerror is None:
        return str(error)
    where = f" at {error.filename}" if error.filename else ""
    full = error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
    do = "free some space" if full else "check the path and its permissions"
    return f"{error.strerror.lower()}{where}: {do}, or choose another folder"


def write_bytes(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content``, or leave it as it was (OSError of the disk passes through)."""
    if path.exists() and not path.is_file():
        path.write_bytes(content)  # /dev/stdout, a pipe: there is nothing to keep whole; a folder raises
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes private files; a run is meant to be passed on
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_text(path: Path, content: str) -> None:
    """Replace ``path`` by ``content`` in UTF-8 with plain line feeds."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Replace ``path`` by ``content`` as indented JSON, readable as it is (é stays é). NaN is refused (ValueError)."""
    write_text(path, json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    """Replace ``path`` by one JSON object a line."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def replace_folder(new: Path, target: Path) -> None:
    """Put the folder ``new`` at ``target``; a folder that stood there is moved aside first and removed last.

    Two renames, so a crash between them can leave ``target`` missing with the old one beside it under
    ``.NAME.replaced``; `recover_folder` puts that one back.
    """
    aside = _aside(target)
    if aside.exists():
        shutil.rmtree(aside)
    if target.exists():
        os.rename(target, aside)
    os.rename(new, target)
    if aside.exists():
        shutil.rmtree(aside)


def recover_folder(target: Path) -> None:
    """Undo a `replace_folder` that was killed between its two renames; finish one that was killed after them."""
    aside = _aside(target)
    if aside.exists() and not target.exists():
        os.rename(aside, target)
    elif aside.exists():
        shutil.rmtree(aside)


def sweep(folder: Path) -> None:
    """Remove what writes that were killed left below ``folder``."""
    for file in folder.rglob(".*.partial"):
        if file.is_file():
            file.unlink()


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}.replaced")
