"""Model folders that this project makes, in the user's cache. A folder there is whole, or it is made again.

A record in each folder lists every file with its size and sha256. One process at a time makes a folder. Does not know
where weights come from; `data.packaged` and `data.adapted` do.
"""

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from data import atomic

RECORD = "made.json"
"""The file that lists the other files of a folder. It is written last."""

_WORK = ".work-"


def cache_folder() -> Path:
    """Return the folder for everything made here: ``flaneur`` in $XDG_CACHE_HOME, by default in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flaneur"


def file_sha256(path: Path) -> str:
    """Return the hex digest of a file's bytes. A process reads a file again only after a change of size or time.

    path: the file. Raises OSError when it can't be read.
    """
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


@cache
def _sha256(path: Path, size: int, time: int) -> str:
    # size and time are only part of the key
    return atomic.sha256(path)


def key_of(files: Iterable[Path]) -> str:
    """Return 8 hex digits that change with the names or the bytes of ``files``.

    files: files that exist. Raises OSError when one can't be read.
    """
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name} {file_sha256(file)}\n".encode())
    return digest.hexdigest()[:8]


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor in the safetensors files of ``folder``, by name. Reads no weights.

    folder: a model folder or an adapter's. Raises ValueError when a file is damaged or truncated.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        size = path.stat().st_size
        try:
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                header: Any = json.loads(file.read(length)) if 0 < length <= size - 8 else None
            tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
            expected = 8 + length + max(int(entry["data_offsets"][1]) for entry in tensors.values())
            shapes |= {name: tuple(int(n) for n in entry["shape"]) for name, entry in tensors.items()}
        except (ValueError, AttributeError, KeyError, IndexError, TypeError) as error:
            raise ValueError(f"{path} is not a safetensors file") from error
        if size != expected:
            raise ValueError(f"{path} has {size} bytes, but its header asks for {expected}")
    return shapes


def damage(folder: Path) -> str | None:
    """Return what is wrong with a folder that `make` wrote, in words. None: every file is as it was written.

    folder: a folder of the cache; it need not exist.
    """
    try:
        files = json.loads((folder / RECORD).read_text("utf-8"))["files"]
        for name, written in files.items():
            found = (folder / name).stat().st_size
            if found != written["bytes"]:
                return f"{name} has {found} bytes and not {written['bytes']}"
            if file_sha256(folder / name) != written["sha256"]:
                return f"the content of {name} has changed"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"{RECORD} can't be read"
    return None


def make(
    folder: Path, write: Callable[[Path, Path], None], *, room: int, outdated: str | None = None
) -> Path:
    """Make a model folder of the cache unless it is whole already, and return it.

    folder: where it goes, directly in `cache_folder`.
    write: writes the model; gets a folder for its own temporary files, and the path of the model folder to create.
    room: bytes of disk space that ``write`` needs at most.
    outdated: pattern of folder names. The other folders of the cache that match it are removed afterwards.
    Raises ValueError when there is too little space, and OSError when the disk refuses. Then nothing is left behind.
    """
    parent = folder.parent
    parent.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(parent):
        wrong = damage(folder)
        if wrong is None:
            return folder  # another process was first
        if folder.exists():
            print(f"the base in {folder} is damaged: {wrong}. It is made again.", file=sys.stderr)
        _check_room(folder, room)
        with tempfile.TemporaryDirectory(dir=parent, prefix=_WORK) as work:
            made = Path(work) / "model"
            write(Path(work), made)
            files = {}
            for file in sorted(made.iterdir()):
                file.chmod(0o644)
                files[file.name] = {"bytes": file.stat().st_size, "sha256": atomic.sha256(file)}
            atomic.write_json(made / RECORD, {"files": files})
            _put(made, folder)
        for old in parent.glob(outdated) if outdated else ():
            if old != folder:
                shutil.rmtree(old, ignore_errors=True)
    return folder


def refused_by_the_disk(error: Exception) -> bool:
    """Tell whether the operating system caused ``error``. False: the content of a file did."""
    return getattr(error, "errno", None) is not None or "(os error " in str(error)


def _put(made: Path, folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    try:
        made.rename(folder)
    except OSError:
        # On a file system without locks another process may have been first.
        if damage(folder) is not None:
            raise


def _check_room(folder: Path, room: int) -> None:
    free = shutil.disk_usage(folder.parent).free
    if free < room:
        raise ValueError(
            f"the disk is too full for the base {folder.name}: it needs {room / 1e6:,.0f} MB in {folder.parent}, found "
            f"{free / 1e6:,.0f} MB. Free some space, or set XDG_CACHE_HOME to a folder on another disk."
        )


@contextmanager
def _one_at_a_time(parent: Path) -> Iterator[None]:
    """Keep other processes from making a folder in ``parent``, and remove what killed processes left there."""
    with (parent / ".lock").open("w") as file:
        try:
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print("waiting for another process that makes a base", file=sys.stderr)
                fcntl.flock(file, fcntl.LOCK_EX)
        except (OSError, ImportError):
            pass  # a file system or a Windows without these locks: two processes do the work twice, and leftovers may be theirs
        else:
            for left in parent.glob(f"{_WORK}*"):
                shutil.rmtree(left, ignore_errors=True)
        yield
