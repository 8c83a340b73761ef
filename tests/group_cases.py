"""Elements of groups by brute force, for tests."""

from __future__ import annotations

import numpy as np

import equishare as es


def all_elements(group: es.SymmetryGroup) -> list[tuple[np.ndarray, ...]]:
    """Every product of generators; for small groups."""
    identity = tuple(np.arange(n) for n in axis_sizes(group.partition.shape))
    found, queue = {_key(identity): identity}, [identity]
    while queue:
        element = queue.pop()
        for generator in group.generators:
            image = tuple(q[p] for p, q in zip(element, generator, strict=True))
            if _key(image) not in found:
                found[_key(image)] = image
                queue.append(image)
    return list(found.values())


def axis_sizes(shape: tuple[int, ...]) -> list[int]:
    """Points of each axis: outputs, inputs, taps; or entries."""
    return [*shape[:2], *([int(np.prod(shape[2:]))] if len(shape) > 2 else [])]


def _key(element: tuple[np.ndarray, ...]) -> bytes:
    return np.concatenate(element).tobytes()
