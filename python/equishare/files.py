"""Files that are written whole or not at all, and what is known to be wrong with one that is read."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # of Windows, where a file that is open cannot be removed, and none is swept
    fcntl = None  # type: ignore[assignment]

# Data of more than _LARGE bytes that a file of less than a part of _RATIO holds; deflate packs zeros 1 : 1000.
_LARGE, _RATIO = 1 << 30, 200
# Bytes of a name, beyond which a digest of it stands in temporary names.
_LONGEST_STEM = 160


class BadFile(ValueError):
    """What is wrong with a file is known; the message lacks only the file."""


def check_expansion(what: str, size: int, stored: int) -> None:
    """Refuse a small file that unpacks to more than 1 GiB and to more than 200 times what is stored.

    Args:
        what: the subject of the message.
        size: bytes in memory.
        stored: bytes in the file.

    Raises:
        BadFile: it does.
    """
    if size > _LARGE and size > _RATIO * stored:
        raise BadFile(
            f"{what} takes {size / 2**30:.1f} GiB of memory from {stored / 2**20:.1f} MiB of the file; beyond "
            f"{_LARGE / 2**30:.0f} GiB no more than {_RATIO} times as much is unpacked: save it without compression"
        )


def made_folder(folder: str | os.PathLike[str]) -> Path:
    """The folder, made if it is missing.

    Raises:
        OSError: it cannot be made.
    """
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it to ``path`` if the block succeeds.

    The temporary path has the suffix of ``path`` (some writers choose the format by it) and lies in the same folder, so
    that the rename is atomic. Content and name are on the disk, not in its cache, when this returns. If the block
    raises, the temporary file is removed and ``path`` stays as it was. What a killed process left behind beside
    ``path`` is removed by the next one that writes there.

    Raises:
        OSError: the folder does not exist, or the file cannot be written, because the disk is full, say; it names
            ``path``. Whatever the block raises.
    """
    final = Path(path)
    if not final.parent.is_dir():
        # The error of the write itself would name the temporary file.
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(final.parent))
    if final.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder, and a file of this name is to be written", str(final))
    temporary = final.with_name(f".{_short(final.stem)}-{uuid.uuid4().hex}{final.suffix}")
    lock: int | None = None
    try:
        _sweep(final)
        lock = _created(temporary)
        yield temporary
        _synced(temporary)
        os.replace(temporary, final)
        with suppress(PermissionError):  # a folder that cannot be read cannot be opened either
            _synced(final.parent)
    except OSError as error:
        if error.filename is not None and str(error.filename) != str(temporary):
            raise
        if error.errno is None:
            raise type(error)(f"{final}: {error}") from error
        raise type(error)(error.errno, error.strerror or os.strerror(error.errno), str(final)) from error
    finally:
        temporary.unlink(missing_ok=True)
        if lock is not None:
            os.close(lock)


def _short(stem: str) -> str:
    """A name that leaves room for what a temporary name has beside it: file systems take 255 bytes."""
    return stem if len(os.fsencode(stem)) <= _LONGEST_STEM else hashlib.sha256(os.fsencode(stem)).hexdigest()


def _created(path: Path) -> int:
    """A new file, locked for as long as the descriptor is open: the system unlocks what a killed process wrote."""
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        if fcntl is None:
            return descriptor
        with suppress(OSError):  # of file systems without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # swept before it was locked


def _sweep(final: Path) -> None:
    """Remove the temporary files of ``final`` that no process holds any more."""
    if fcntl is None:
        return
    left = re.compile(rf"\.{re.escape(_short(final.stem))}-[0-9a-f]{{32}}{re.escape(final.suffix)}")
    with suppress(PermissionError):  # of folders that can be written and not be read
        for name in filter(left.fullmatch, os.listdir(final.parent)):
            with suppress(OSError):
                descriptor = os.open(final.parent / name, os.O_RDONLY)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(final.parent / name)
                finally:
                    os.close(descriptor)


def _synced(path: Path) -> None:
    """Wait until what was written is on the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EROFS):  # file systems that cannot sync
            raise
    finally:
        os.close(descriptor)
