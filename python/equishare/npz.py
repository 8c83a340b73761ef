"""Archives of arrays (.npz): looked at before they are read, so that none takes more memory than its file is worth."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from equishare.files import BadFile, check_expansion

_ENDING = ".npy"


def read_arrays(file: BinaryIO, wanted: Callable[[list[str]], list[str]] = list) -> dict[str, np.ndarray]:
    """Arrays of an archive by name, without pickled objects.

    Args:
        file: opened to be read.
        wanted: picks the names that are read out of all there are; the others are not looked at.

    Raises:
        BadFile: two entries of one name, an entry that is no array or another one than it says, or so much more data
            than the file holds that it is no honest archive (:func:`equishare.files.check_expansion`).
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
        shape, dtype = _header(member)
        # NumPy would take memory for all that the header says, and only then look for it.
        if shape is not None and not dtype.hasobject:
            size = int(np.prod(shape, dtype=object)) * dtype.itemsize
            if size != entry.file_size - member.tell():
                raise BadFile(f"array {name!r} says that it holds {size} bytes, and is of another size")
    with archive.open(entry) as member:
        return np.asarray(np.lib.format.read_array(member, allow_pickle=False))


def _header(member: Any) -> tuple[tuple[int, ...] | None, np.dtype[Any]]:
    """Shape and dtype; no shape where only records with names beyond Latin letters have such a header."""
    version = np.lib.format.read_magic(member)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        return None, np.dtype(object)
    shape, _, dtype = readers[version](member)
    return shape, dtype
