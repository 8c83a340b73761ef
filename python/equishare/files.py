"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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

    The temporary path has the suffix of ``path`` (some writers choose the format by it) and lies
    in the same folder, so that the rename is atomic. If the block raises, the temporary file is
    removed and ``path`` stays as it was.

    Raises:
        OSError: the folder does not exist or cannot be written.
    """
    final = Path(path)
    if not final.parent.is_dir():
        # The error of the write itself would name the temporary file.
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(final.parent))
    temporary = final.with_name(f".{final.stem}-{uuid.uuid4().hex}{final.suffix}")
    try:
        yield temporary
        os.replace(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)
