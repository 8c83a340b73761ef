"""A person's file while it is open, its names, and what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from equishare.columns import ignoring, listed
from equishare.extras import installing
from equishare.files import BadFile
from equishare.naming import printable, repeated

# What pandas calls the index that it writes into a table.
_INDEX = re.compile(r"Unnamed: \d+|__index_level_\d+__")
#: Columns as they are asked for, see :func:`equishare.columns.chosen`.
Columns = str | Sequence[str]
#: Reads an open file; what it finds may look into the file, and into others on the stack, later.
Reader = Callable[[BinaryIO, ExitStack], Any]


@contextmanager
def opened(path: Path, readers: Mapping[str, Reader], accepted: str) -> Iterator[Any]:
    """What the reader of a file's ending finds in it. The file stays open, and errors name it.

    Args:
        path: of the file.
        readers: by endings.
        accepted: what an error says of another ending, before the list of these.

    Raises:
        OSError, ValueError, ImportError, MemoryError: it cannot be read, is damaged, or is not what its ending says;
            and whatever ValueError or TypeError the block raises.
    """
    ending = max((one for one in readers if path.name.lower().endswith(one)), key=len, default=None)
    if ending is None:
        raise ValueError(f"{shown(path)}: {accepted} ending in {', '.join(readers)}")
    with ExitStack() as stack:
        try:
            read = readers[ending](stack.enter_context(path.open("rb")), stack)
        except ImportError as error:
            raise ImportError(
                f"{shown(path)}: reading {ending} needs pandas, pyarrow and openpyxl ({error}): {installing('tables')}"
            ) from None
        except BadFile as error:
            raise ValueError(f"{shown(path)}: {error}") from None
        except MemoryError:
            raise MemoryError(f"{shown(path)}: there is not enough memory for what it holds") from None
        except Exception as error:
            # Damaged files make the readers of zip, npy and parquet raise almost anything, OSError
            # included; only the system's own names the file.
            if isinstance(error, OSError) and error.filename is not None:
                raise
            reason = printable(str(error).partition("\n")[0]) or type(error).__name__
            raise ValueError(f"{shown(path)}: damaged, or not a {ending} file ({reason})") from error
        try:
            yield read
        except (TypeError, ValueError) as error:
            raise ValueError(f"{shown(path)}{getattr(read, 'where', '')}: {error}") from None


def shown(path: Path) -> str:
    """A path on one line."""
    return printable(str(path))


def check_distinct(names: Sequence[str], ignored: Iterable[str] = ()) -> None:
    """ValueError where two columns have one name, but for those that are left out."""
    left_out = set(ignored)
    if (twice := repeated(name for name in names if name not in left_out)) is not None:
        raise ValueError(
            f"two columns are named {twice!r}; every column needs a name of its own: rename one, or leave both out "
            f"({ignoring(twice)})"
        )


def index_columns(names: Sequence[str]) -> list[str]:
    """Columns that are indices which pandas wrote into a table."""
    return [name for name in names if _INDEX.fullmatch(name)]


def note_of_indices(indices: Sequence[str]) -> list[str]:
    """What to say of columns that were left out as indices."""
    several = "s" * (len(indices) > 1)
    return [f"Left out, as an index without a name: column{several} {listed(indices)}."] if indices else []
