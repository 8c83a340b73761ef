"""Archives of arrays (.npz): looked at before they are read, so that none takes more memory than its file is worth."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable
from typing import IO, BinaryIO

import numpy as np

from equishare.files import BadFile, check_expansion

_ENDING = ".npy"


def read_arrays(file: BinaryIO, wanted: Callable[[list[str]], list[str]] = list) -> dict[str, np.ndarray]:
    """Arrays of an archive by name, without pickled objects.

    Args:
        file: opened to be read.
        wanted: picks the names that are read out of all there are; the others are not looked at.

    Raises:
        BadFile: two entries of one name, an entry that is no array, or so much more data than the file holds that it is
            no honest archive (:func:`equishare.files.check_expansion`).
        Exception: whatever damaged files make zipfile and NumPy raise.
    """
    with zipfile.ZipFile(file) as archive:
        entries: dict[str, zipfile.ZipInfo] = {}
        for entry in archive.infolist():
            name = entry.filename.removesuffix(_ENDING)
            if name in entries:
                raise BadFile(f"two arrays are named {name!r}: save it again, each under a name of its own")
            entries[name] = entry
        return {name: _read(archive, name, entries[name]) for name in wanted(list(entries))}


def _read(archive: zipfile.ZipFile, name: str, entry: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(entry) as member:
        if member.read(len(np.lib.format.MAGIC_PREFIX)) != np.lib.format.MAGIC_PREFIX:
            raise BadFile(f"its entry {entry.filename!r} is no array, save arrays by numpy.savez")
    check_expansion(f"array {name!r}", entry.file_size, entry.compress_size)
    with archive.open(entry) as member:
        check_header(member, f"array {name!r}", entry.file_size)
    with archive.open(entry) as member:
        return np.asarray(np.lib.format.read_array(member, allow_pickle=False))


def check_header(file: IO[bytes], what: str, size: int) -> None:
    """Read the header of an array in NumPy's format, which must say as many bytes as follow it.

    NumPy would take memory for all that the header says, and only then look for it.

    Args:
        file: opened to be read, at its beginning.
        what: the subject of the message.
        size: bytes of the file.

    Raises:
        ValueError: they differ.
        Exception: whatever damaged headers make NumPy raise.
    """
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:  # of records with names beyond Latin letters, which are no numbers
        return
    shape, _, dtype = readers[version](file)
    expected = math.prod(shape) * dtype.itemsize
    if not dtype.hasobject and expected != size - file.tell():
        raise ValueError(f"{what} has {expected} bytes by its header, and {size - file.tell()} bytes")
