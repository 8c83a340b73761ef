"""Work shared out among the workers of a Dask cluster: only what goes in and comes out travels."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")

_CLIENT: ContextVar[Any] = ContextVar("equishare.cluster.client", default=None)


@contextmanager
def joined(address: str | None, how_to_install: str = "") -> Iterator[None]:
    """Share out work among the workers of the scheduler at ``address``; None: all of it is done here.

    Args:
        address: such as ``tcp://127.0.0.1:8786``.
        how_to_install: what an error says where Dask is missing.

    Raises:
        ImportError: Dask is missing.
        ConnectionError: nobody answers at the address.
    """
    if address is None:
        yield
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise ImportError(f"a cluster needs dask and distributed ({error}): {how_to_install}") from None
    try:
        client = Client(address, set_as_default=True, timeout=10)
    except (OSError, ValueError) as error:
        raise ConnectionError(f"no Dask scheduler answers at {address} ({' '.join(str(error).split())})") from None
    token = _CLIENT.set(client)
    try:
        yield
    finally:
        _CLIENT.reset(token)
        client.close()


def client() -> Any:
    """The client whose workers share the work: that of :func:`joined`; None where there is none."""
    return _CLIENT.get()


def mapped(function: Callable[[Any], T], items: Sequence[Any]) -> list[T]:
    """``[function(item) for item in items]``, each computed by one of the workers.

    The function travels once to each worker. A job whose worker ends is run again on another.
    """
    import cloudpickle

    own = client()
    with warnings.catch_warnings():  # of what many numbers take to send
        warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
        # A task like others, and not scattered data: where a worker is lost it is run again.
        held = own.submit(bytes, cloudpickle.dumps(function), pure=False)
        jobs = [own.submit(_run, held, item, pure=False) for item in items]
    try:
        return list(own.gather(jobs))
    finally:
        own.cancel([*jobs, held])


def folded(function: Callable[..., T], join: Callable[[T, T], T], items: Sequence[tuple[Any, ...]]) -> T:
    """What the function gives for all items, joined in pairs, and pairs of pairs, on the workers: one result travels.

    Blocks that Dask computes are taken where they lie. With a ``distributed.Client`` all is done by its workers, else
    on threads of this process.

    Args:
        function: of the members of an item.
        join: of two results.
        items: tuples; members that are of Dask are computed first.
    """
    import cloudpickle
    import dask
    from dask.base import is_dask_collection

    with warnings.catch_warnings():  # of what many numbers take to send
        warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
        held = dask.delayed(cloudpickle.dumps(function), pure=False)
        run, joined_of = dask.delayed(_run, pure=False), dask.delayed(join, pure=False)
        # Dask would look into every field of the rest for what it is to compute.
        whole = partial(dask.delayed, pure=False, traverse=False)
        found = [run(held, *(one if is_dask_collection(one) else whole(one) for one in item)) for item in items]
        while len(found) > 1:
            pairs = [joined_of(*found[i : i + 2]) for i in range(0, len(found) - 1, 2)]
            found = pairs + found[2 * len(pairs) :]
        return dask.compute(found[0])[0]


def _run(function: bytes, *item: Any) -> Any:
    return pickle.loads(function)(*item)
