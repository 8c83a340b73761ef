"""Work shared out among the ranks of ``torch.distributed``, or a Dask cluster; without either it is all done here.

Every rank runs the same program on the same data. What takes time is cut into items. Of W ranks each does every W-th
item, and all get all results, so that every later decision is the same on every rank. How work is cut does not depend
on W: so the answer is that of one process, bit by bit.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from itertools import pairwise
from typing import Any, TypeVar

import torch.distributed as dist

from equishare import cluster

T = TypeVar("T")

# An item is not cut into items again.
_INSIDE = ContextVar("equishare.ranks.inside", default=False)
# The other ranks wait for the slowest. A rank that dies is noticed at once, as its connections close.
_PATIENCE = timedelta(days=7)


def count() -> int:
    """Ranks that work is shared out among; 1 inside an item of :func:`mapped`."""
    return dist.get_world_size() if _started() and not _INSIDE.get() else 1


def is_first() -> bool:
    """Whether this process is the one that prints and writes files."""
    return not _started() or dist.get_rank() == 0


def is_shared_out() -> bool:
    """Whether there are other ranks, inside an item of :func:`mapped` too."""
    return _started() and dist.get_world_size() > 1


def mapped(function: Callable[[Any], T], items: Sequence[Any], anywhere: bool = False) -> list[T]:
    """``[function(item) for item in items]`` on every rank, each item computed by one of them.

    Args:
        function: gives the same wherever it runs, and something that can be pickled, tensors on the CPU.
        items: the same on every rank.
        anywhere: whether the function can be pickled itself, with all that it needs: then the workers of a Dask cluster
            share the items, where there is one (:func:`equishare.cluster.joined`).

    Raises:
        Exception: what the function raises for the first item for which it raises.
        ConnectionError: another rank has ended.
        SystemExit: Ctrl-C, where there are several ranks: they would not agree on what was done by then.
    """
    world = count()
    if world == 1:
        is_shared = anywhere and len(items) > 1 and cluster.client() is not None
        return cluster.mapped(function, items) if is_shared else [function(item) for item in items]
    own: dict[int, tuple[bool, Any]] = {}
    token = _INSIDE.set(True)
    try:
        for i in range(dist.get_rank(), len(items), world):
            try:
                own[i] = True, function(items[i])
            except Exception as error:
                own[i] = False, _portable(error)
                break
        done = _gathered(own)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    finally:
        _INSIDE.reset(token)
    found = {i: result for part in done for i, result in part.items()}
    for i in sorted(found):
        if not found[i][0]:
            raise found[i][1]
    return [found[i][1] for i in range(len(items))]


def even_parts(size: int, least: int) -> list[slice]:
    """Parts of as equal sizes as can be, of at least so much each: the same ones whatever the number of ranks."""
    parts = max(1, size // least)
    bounds = [i * size // parts for i in range(parts + 1)]
    return [slice(i, j) for i, j in pairwise(bounds)]


def from_first(function: Callable[[], T]) -> T:
    """What the function gives on the first rank: for what the others may see otherwise, such as a file."""
    return mapped(lambda _: function(), [None])[0]


def check_same(digest: Callable[[], str], what: str) -> None:
    """All ranks have the same.

    Args:
        digest: of what is compared.
        what: its name, for the error.

    Raises:
        ValueError: they do not.
    """
    if count() == 1:
        return
    found = _gathered(digest())
    differing = [rank for rank, one in enumerate(found) if one != found[0]]
    if differing:
        raise ValueError(
            f"{what} must be the same on every rank, but on rank {', '.join(map(str, differing))} of {len(found)} it "
            "differs from that on rank 0: give every rank all data, and the model after the same torch.manual_seed"
        )


@contextmanager
def launched() -> Iterator[bool]:
    """Join the process group that ``torchrun`` has prepared for this process, if it has; give :func:`is_first`."""
    if not dist.is_available() or not dist.is_torchelastic_launched() or _started():
        yield is_first()
        return
    dist.init_process_group("gloo", timeout=_PATIENCE)
    try:
        yield is_first()
    finally:
        dist.destroy_process_group()


def _started() -> bool:
    return dist.is_available() and dist.is_initialized()


def _gathered(own: Any) -> list[Any]:
    """What each rank gives, in the order of the ranks."""
    every: list[Any] = [None] * dist.get_world_size()
    try:
        dist.all_gather_object(every, own)
    except RuntimeError as error:
        raise ConnectionError(
            f"rank {dist.get_rank()} has lost another of {len(every)} ranks, which has ended or takes longer than the "
            "timeout of the process group; a search with checkpoint= goes on from there, with any number of ranks "
            f"({' '.join(str(error).split())})"
        ) from error
    return every


def _portable(error: Exception) -> Exception:
    """The error as other processes can have it."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever a class of errors does when it is pickled
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
