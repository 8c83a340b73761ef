"""Data in blocks of rows: arrays on disk, files and folders, Dask, and whatever gives one block after another.

A source is cut into parts, each of which can be read by itself, here or in another process; a part gives its blocks one
at a time. Of what comes as a stream there is one part.
"""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from equishare.extras import installing

__all__ = ["ENDINGS", "SEPARATORS", "Part", "head_of", "parts_of"]

#: What separates the cells of tables of text, by the ending of their files.
SEPARATORS = {".csv": ",", ".tsv": "\t"}
#: Endings of the files that are read in blocks; a folder holds Parquet files.
ENDINGS = (*SEPARATORS, ".npy", ".parquet")
# Numbers of a block, and of a part that is a range of rows.
_BLOCK, _PART = 1 << 20, 1 << 24
_MIB = 20
_READERS = "an array, (x, y) arrays, a table, a path, a list or a function that gives blocks of rows"


@dataclass(frozen=True)
class Part:
    """A part of the rows.

    Attributes:
        start: number of its first row.
        read: gives its blocks, each an array, a table or a pair (x, y); anew whenever it is called. Of a size above 1
            it takes a function, and calls it with how much of that it has read.
        size: how much there is to read: 1, or MiB of a table of text, whose rows are not counted.
        rows: how many it has; None where that is not known before it is read.
        task: what Dask computes its one block from, where that lies on a cluster; ``read`` is not used then.
    """

    start: int
    read: Callable[..., Iterable[Any]]
    rows: int | None = None
    task: Any = None
    size: int = 1


def parts_of(source: Any, columns: Sequence[str] | None = None, name: str = "batches") -> list[Part]:
    """The parts of a source of rows.

    Args:
        source: an array of two axes, in memory, on disk or of Dask or zarr; a pair (x, y) of them; a table; a Dask data
            frame; a path to a ``.npy``, ``.parquet``, ``.csv`` or ``.tsv`` file or a folder of Parquet files; a pyarrow
            data set; or an iterable of blocks that can be gone through several times, or a function that returns an
            iterator of blocks. A block is an array, a table or a pair (x, y).
        columns: of a file, those that are read; None for all.
        name: what an error calls the source.

    Raises:
        TypeError: something else, or an iterator, which can be gone through once.
        ValueError: a file of another ending, a pair whose lengths differ.
        ImportError: pandas or pyarrow is needed and missing.
    """
    if isinstance(source, str | os.PathLike):
        return _of_path(Path(source), columns, name)
    if isinstance(source, tuple) and len(source) == 2 and all(map(_is_array, source)):
        return _of_arrays(source, name)
    if hasattr(source, "to_delayed") and hasattr(source, "columns"):
        return _of_dask_frame(source)
    if hasattr(source, "get_fragments"):
        return _of_data_set(source, columns)
    if _is_array(source):
        return _of_arrays((source,), name)
    if hasattr(source, "columns") or isinstance(source, Mapping):
        return [Part(0, lambda: [source])]
    if callable(source):
        return [Part(0, lambda: _called(source, name))]
    if isinstance(source, Iterator):
        raise TypeError(
            f"{name} must be something to go through twice, got a {type(source).__name__}, which runs out: give the "
            "function that makes it (without calling it), or a list"
        )
    if isinstance(source, Iterable):
        return [Part(0, lambda: source)]
    raise TypeError(f"{name} must be {_READERS}, got {type(source).__name__}")


def head_of(path: Path, count: int) -> Any:
    """The first rows of a table as a pandas DataFrame."""
    ending = path.suffix.lower()
    if ending in SEPARATORS:
        return _pandas().read_csv(path, sep=SEPARATORS[ending], nrows=count)
    first = next(iter(_of_path(path, None, "data")[0].read()))
    # Names as they stand in the file, which are texts: pandas would make numbers of some, or an index.
    return first.slice(0, count).to_pandas(ignore_metadata=True)


def _called(source: Callable[[], Any], name: str) -> Iterable[Any]:
    found = source()
    if not isinstance(found, Iterable):
        raise TypeError(f"{name} must return an iterator of blocks, got {type(found).__name__}")
    return found


def _is_array(one: Any) -> bool:
    return hasattr(one, "shape") and hasattr(one, "dtype") and hasattr(one, "__getitem__")


def _of_arrays(arrays: tuple[Any, ...], name: str) -> list[Part]:
    lengths = [one.shape[0] if len(one.shape) else 0 for one in arrays]
    if any(isinstance(n, float) and math.isnan(n) for n in lengths):
        raise ValueError(f"{name} must tell how many rows a block has: call compute_chunk_sizes() of the Dask array")
    if len(set(lengths)) > 1:
        raise ValueError(f"{name} must have as many rows of x as of y, got {lengths[0]} and {lengths[1]}")
    if any(hasattr(one, "to_delayed") for one in arrays):
        return _of_dask_arrays(arrays)
    width = sum(math.prod(one.shape[1:]) for one in arrays)
    step = max(1, _PART // max(width, 1))
    return [
        Part(start, _Rows(arrays, start, min(start + step, lengths[0])), min(step, lengths[0] - start))
        for start in range(0, lengths[0], step)
    ]


@dataclass(frozen=True)
class _Rows:
    """Rows of arrays in blocks."""

    arrays: tuple[Any, ...]
    start: int
    stop: int

    def __call__(self) -> Iterator[Any]:
        step = max(1, _BLOCK // max(sum(math.prod(one.shape[1:]) for one in self.arrays), 1))
        for start in range(self.start, self.stop, step):
            yield _one_or_pair([np.asarray(one[start : min(start + step, self.stop)]) for one in self.arrays])
            for one in self.arrays:
                _forget(one)


def _one_or_pair(found: Sequence[Any]) -> Any:
    return found[0] if len(found) == 1 else tuple(found)


def _forget(array: Any) -> None:
    """Pages of a mapped file that were read need not stay in memory."""
    mapped = getattr(array, "_mmap", None)
    if isinstance(array, np.memmap) and mapped is not None and array.mode in ("r", "r+") and hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)


def _of_dask_arrays(arrays: tuple[Any, ...]) -> list[Part]:
    import dask.array

    lead = next(one for one in arrays if hasattr(one, "to_delayed"))
    rows = lead.chunks[0]
    tasks = []
    for one in arrays:
        whole = one if hasattr(one, "to_delayed") else dask.array.from_array(one)
        # Each block has all columns, and the same rows as those of the other array.
        whole = whole.rechunk((rows, *(-1 for _ in whole.shape[1:])))
        tasks.append(whole.to_delayed().ravel().tolist())
    starts = np.concatenate([[0], np.cumsum(rows)]).tolist()
    return [
        Part(start, list, int(count), _one_or_pair(own))
        for start, count, own in zip(starts, rows, zip(*tasks, strict=True), strict=False)
    ]


def _of_dask_frame(frame: Any) -> list[Part]:
    import dask

    tasks = frame.to_delayed()
    counts = dask.compute(*[dask.delayed(len)(one) for one in tasks])
    starts = np.concatenate([[0], np.cumsum(counts)]).tolist()
    parts = zip(starts, counts, tasks, strict=False)
    return [Part(start, list, int(count), own) for start, count, own in parts if count]


def _of_path(path: Path, columns: Sequence[str] | None, name: str) -> list[Part]:
    path.stat()  # raises where there is none
    ending = path.suffix.lower()
    if path.is_dir() or ending == ".parquet":
        return _of_data_set(_data_set(path), columns)
    if ending == ".npy":
        return _of_arrays((np.load(path, mmap_mode="r", allow_pickle=False),), name)
    if ending in SEPARATORS:
        text = _Text(path, None if columns is None else tuple(columns))
        return [Part(0, text, size=max(1, path.stat().st_size >> _MIB))]
    raise ValueError(f"{name} must be a folder of Parquet files or end in {', '.join(ENDINGS)}, got {path.name!r}")


def _data_set(path: Path) -> Any:
    try:
        from pyarrow import dataset
    except ImportError as error:
        raise ImportError(f"reading Parquet needs pyarrow ({error}): {installing('tables')}") from None
    return dataset.dataset(path, format="parquet", exclude_invalid_files=True)


def _of_data_set(data: Any, columns: Sequence[str] | None) -> list[Part]:
    names = list(data.schema.names if columns is None else columns)
    parts: list[Part] = []
    start = 0
    for fragment in data.get_fragments():
        for one in fragment.split_by_row_group() if hasattr(fragment, "split_by_row_group") else [fragment]:
            # Of a group of rows count_rows tells how many the whole file has.
            count = one.row_groups[0].num_rows if hasattr(one, "row_groups") else one.count_rows()
            if count:
                parts.append(Part(start, _Fragment(one, names, data.schema), count))
                start += count
    if not parts:
        raise ValueError("there are no rows of Parquet files: give a folder, or a file, that has some")
    return parts


@dataclass(frozen=True)
class _Fragment:
    """Rows of a Parquet file, one group of rows."""

    fragment: Any
    columns: Sequence[str]
    schema: Any

    def __call__(self) -> Iterator[Any]:
        from pyarrow import Table
        from pyarrow.dataset import ParquetFileFragment, ParquetFragmentScanOptions

        # Nothing is read ahead: a block is as much as is held.
        options = {
            "batch_size": max(1, _BLOCK // max(len(self.columns), 1)),
            "batch_readahead": 0,
            "fragment_readahead": 0,
            "use_threads": False,
        }
        if isinstance(self.fragment, ParquetFileFragment):
            options["fragment_scan_options"] = ParquetFragmentScanOptions(use_buffered_stream=True, pre_buffer=False)
        for batch in self.fragment.to_batches(self.schema, columns=list(self.columns), **options):
            if batch.num_rows:
                yield Table.from_batches([batch])


@dataclass(frozen=True)
class _Text:
    """Rows of a table of text."""

    path: Path
    columns: tuple[str, ...] | None

    def __call__(self, tell: Callable[[int], None] = lambda read: None) -> Iterator[Any]:
        separator = SEPARATORS[self.path.suffix.lower()]
        pandas = _pandas()
        width = max(len(pandas.read_csv(self.path, sep=separator, nrows=0).columns), 1)
        options = {"usecols": None if self.columns is None else list(self.columns), "sep": separator}
        step = max(1, _BLOCK // width)
        with self.path.open("rb") as file, pandas.read_csv(file, chunksize=step, **options) as reader:
            for block in reader:
                yield block
                tell(file.tell() >> _MIB)


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise ImportError(f"reading tables of text needs pandas ({error}): {installing('tables')}") from None
    return pandas
