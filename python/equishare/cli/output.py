"""What commands print, and where: errors in one line, the terminal, files written."""

from __future__ import annotations

import io
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, cast

from equishare.interrupts import loading

with loading():
    from rich.console import Console

from equishare.naming import printable

# Columns of what is no terminal.
_UNWRAPPED = 100_000


def require_one_of(accepted: Sequence[str], name: str, given: str) -> None:
    """Raise ValueError where an argument is none of those that are accepted."""
    if given not in accepted:
        raise ValueError(f"{name} must be one of {', '.join(accepted)}; got {given!r}")


def complain(message: str, once: bool = True) -> int:
    """Print an error in one line on stderr, and give the exit code for it; ``once``: the first rank alone tells it."""
    # Under torchrun all ranks come upon the same error, and the first tells it.
    if not once or "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("RANK") == "0":
        print(f"equishare: error: {printable(' '.join(message.split()))}", file=sys.stderr)
    return 2


def console() -> Console:
    """The terminal; where there is none, lines are as long as they are, without blanks at their ends."""
    return Console() if sys.stdout.isatty() else Console(width=_UNWRAPPED, file=cast(IO[str], _Trimmed()))


class _Trimmed(io.TextIOBase):
    """Standard output for text that comes in whole lines."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return sys.stdout.encoding

    def write(self, text: str) -> int:
        return sys.stdout.write(re.sub(r"(?<! ) +(?=\n)", "", text))

    def flush(self) -> None:
        sys.stdout.flush()


def check_folder(folder: Path, files: Sequence[str] = ()) -> None:
    """Raise OSError now rather than after the work if files cannot go there."""
    existing = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not existing.is_dir():
        raise NotADirectoryError(f"--out {folder}: {existing} is not a folder")
    try:  # Rights do not tell all: file systems may be read-only, or full.
        tempfile.TemporaryFile(dir=existing).close()
    except OSError as error:
        raise PermissionError(f"--out {folder}: {existing} cannot be written ({error.strerror})") from None
    taken = next((folder / name for name in files if (folder / name).is_dir()), None)
    if taken is not None:
        raise IsADirectoryError(f"--out {folder}: {taken} is a folder, and a file of this name is to be written")


def print_paths(paths: Sequence[Path]) -> None:
    """Tell the files that were written."""
    for path in paths:
        print(f"wrote {printable(str(path))}")
