"""The isometries of the five regular polyhedra, as permutations of their vertices, edges and faces."""

from __future__ import annotations

import itertools
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from equishare.symmetry.permutation_group import PermutationGroup

Part = Literal["vertices", "edges", "faces"]

_GOLDEN = (1 + 5**0.5) / 2
_SIGNS = [(a, b) for a in (1, -1) for b in (1, -1)]
# Of the polyhedra whose faces are triangles. The other two have a vertex for each face of one of these.
_VERTICES = {
    "tetrahedron": [(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)],
    "octahedron": [tuple(sign * row) for row in np.eye(3) for sign in (1, -1)],
    "icosahedron": [np.roll((0, a, b * _GOLDEN), shift) for shift in range(3) for a, b in _SIGNS],
}
_DUALS = {"cube": "octahedron", "dodecahedron": "icosahedron"}
POLYHEDRA = (*_VERTICES, *_DUALS)


def polyhedron_group(polyhedron: str, part: Part, rotations_only: bool = False) -> PermutationGroup:
    """The isometries of a regular polyhedron as they move its vertices, edges or faces; faithful.

    The vertices of the cube and the dodecahedron are numbered like the faces of the octahedron and the icosahedron, and
    the other way round. Edges are numbered by their ends, faces by their corners, in lexicographic order.

    Args:
        polyhedron: one of ``POLYHEDRA``.
        part: which points are moved.
        rotations_only: leave out the isometries that reflect.
    """
    if polyhedron in _DUALS:
        polyhedron = _DUALS[polyhedron]
        part = {"vertices": "faces", "edges": "edges", "faces": "vertices"}[part]  # type: ignore[assignment]
    vertices = np.array(_VERTICES[polyhedron], dtype=float)
    images = _isometries(vertices, rotations_only)
    sets = [(v,) for v in range(len(vertices))] if part == "vertices" else _simplices(vertices, 2 + (part == "faces"))
    number = {points: place for place, points in enumerate(sets)}
    elements = np.array([[number[tuple(sorted(p[list(points)].tolist()))] for points in sets] for p in images])
    every = PermutationGroup(len(sets), list(elements), len(elements))
    return PermutationGroup(len(sets), every.few_generators(), len(elements))


def _isometries(vertices: NDArray[np.float64], rotations_only: bool) -> list[NDArray[np.int64]]:
    """Permutations of the vertices of a polyhedron with triangles as faces.

    An isometry is known by where it moves the corners of one face, and each face in each order is the image of one.
    """
    faces = _simplices(vertices, 3)
    back = np.linalg.inv(vertices[list(faces[0])])
    maps = [back @ vertices[list(corners)] for face in faces for corners in itertools.permutations(face)]
    # Of all vertices the image has the largest product with itself.
    return [(vertices @ m @ vertices.T).argmax(axis=1) for m in maps if not rotations_only or np.linalg.det(m) > 0]


def _simplices(vertices: NDArray[np.float64], corners: int) -> list[tuple[int, ...]]:
    """The edges (2 corners) or faces (3): sets of vertices at the least distance from each other."""
    products = np.round(vertices @ vertices.T, 6)
    adjacent = products == np.unique(products)[-2]
    sets = itertools.combinations(range(len(vertices)), corners)
    return [points for points in sets if all(adjacent[a, b] for a, b in itertools.combinations(points, 2))]
