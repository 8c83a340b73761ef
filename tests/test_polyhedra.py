"""Polyhedra, and alternating groups in unusual actions: names compared with sympy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from map_cases import map_problem

import equishare as es
from equishare.symmetry.names import recognise
from equishare.symmetry.permutation_group import PermutationGroup
from equishare.symmetry.polyhedra import POLYHEDRA, polyhedron_group

combinatorics = pytest.importorskip("sympy.combinatorics")
SPECIAL = pytest.importorskip("sympy.combinatorics.named_groups")

COUNTS = {
    "tetrahedron": (4, 6, 4),
    "cube": (8, 12, 6),
    "octahedron": (6, 12, 8),
    "dodecahedron": (20, 30, 12),
    "icosahedron": (12, 30, 20),
}
# Groups of the patterns of pairs, where they are larger than the group that was asked for: by title, rotations too.
LARGER_GROUPS = {
    ("tetrahedron", "vertices", True): ("S_4", 24),
    ("tetrahedron", "edges", False): ("C_2 ≀ S_3", 48),
    ("tetrahedron", "edges", True): ("C_2 ≀ C_3", 24),
    ("tetrahedron", "faces", True): ("S_4", 24),
    ("cube", "vertices", True): ("S_2 × S_4", 48),
    ("cube", "faces", True): ("C_2 ≀ S_3", 48),
    ("octahedron", "vertices", True): ("C_2 ≀ S_3", 48),
    ("octahedron", "faces", True): ("S_2 × S_4", 48),
    ("icosahedron", "vertices", True): ("C_2 × A_5", 120),
    ("dodecahedron", "faces", True): ("C_2 × A_5", 120),
}
SOLIDS = [(solid, part, turns) for solid in POLYHEDRA for part in ("vertices", "edges", "faces") for turns in (0, 1)]


def sympy_of(generators: list[np.ndarray]):
    return combinatorics.PermutationGroup([combinatorics.Permutation(p.tolist()) for p in generators])


@pytest.mark.parametrize(("solid", "part", "turns"), SOLIDS)
def test_polyhedra(solid, part, turns):
    group = es.named_group(f"{solid} {part}{' rotations' * turns}")
    index = ("vertices", "edges", "faces").index(part)
    assert group.partition.shape[0] == COUNTS[solid][index]
    name = {4: "S_4", 8: "S_2 × S_4", 6: "S_2 × S_4", 20: "C_2 × A_5", 12: "C_2 × A_5"}[COUNTS[solid][0]]
    if turns:
        name = {"S_4": "A_4", "S_2 × S_4": "S_4", "C_2 × A_5": "A_5"}[name]
    exported = sympy_of([p for p, _ in group.generators])
    assert (group.name, group.order) == (name, exported.order())
    assert exported.is_transitive()
    # Independent of the names of this library: A_5 is perfect, A_4 and S_4 are not; the centre is the inversion.
    assert exported.center().order() == (2 if " × " in name else 1)
    assert exported.derived_subgroup().order() == {"A_4": 4, "S_4": 12, "S_2 × S_4": 12}.get(name, 60)

    wider, order = LARGER_GROUPS.get((solid, part, bool(turns)), (name, group.order))
    if name == "S_2 × S_4" and COUNTS[solid][index] == 6:
        # The same group, called after its three pairs of opposite points.
        wider = "C_2 ≀ S_3"
    for same_action in (True, False):
        found = es.symmetry_group(group.partition, same_action=same_action)
        assert (found.name, found.order, found.closure_gap) == (wider, order, 0)
        assert found.to_sympy().order() == order
    known = str(recognise(PermutationGroup(len(group.generators[0][0]), [p for p, _ in group.generators], group.order)))
    assert known == ("C_2 ≀ S_3" if name == "S_2 × S_4" and COUNTS[solid][index] == 6 else name)


def test_euler():
    for solid, (vertices, edges, faces) in COUNTS.items():
        assert vertices - edges + faces == 2
        assert [polyhedron_group(solid, part).degree for part in ("vertices", "edges", "faces")] == [
            vertices,
            edges,
            faces,
        ]


def on_subsets(generators: list[list[int]], size: int) -> list[np.ndarray]:
    """How permutations move the sets of so many points."""
    sets = list(itertools.combinations(range(len(generators[0])), size))
    return [np.array([sets.index(tuple(sorted(p[x] for x in points))) for points in sets]) for p in generators]


@pytest.mark.parametrize("n", [5, 6, 7, 8])
@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("letter", ["A", "S"])
def test_alternating_and_symmetric_groups_on_sets_of_points(n, size, letter):
    of = {"A": SPECIAL.AlternatingGroup, "S": SPECIAL.SymmetricGroup}[letter](n)
    generators = on_subsets([p.array_form for p in of.generators], size)
    if letter == "S" and (n, size) == (6, 3):
        # Every three of six points have three others beside them.
        assert len(generators[0]) == 20
    assert str(recognise(PermutationGroup(len(generators[0]), generators, int(of.order())))) == f"{letter}_{n}"


def linear_group(size: int, images) -> list[np.ndarray]:
    """Permutations of the points of a projective space over the field of two or four elements, numbers as bits."""
    points = sorted({images(v, None) for v in itertools.product(range(size), repeat=3) if any(v)})
    steps = [(i, j, c) for i, j in itertools.permutations(range(3), 2) for c in range(1, size)]
    return [np.array([points.index(images(v, step)) for v in points]) for step in steps]


def times(a: int, b: int) -> int:
    """In the field of four elements: 1, 2, 3 are the powers of 2."""
    return 0 if not a or not b else (a + b - 2) % 3 + 1


def projective(v, step):
    v = list(v)
    if step:
        i, j, c = step
        v[i] ^= times(c, v[j])
    first = next(x for x in v if x)
    inverse = next(x for x in (1, 2, 3) if times(x, first) == 1)
    return tuple(times(inverse, x) for x in v)


def test_a_simple_group_of_the_order_of_a8_has_no_name():
    generators = linear_group(4, projective)
    assert (len(generators[0]), sympy_of(generators).order()) == (21, math.factorial(8) // 2)
    assert str(recognise(PermutationGroup(21, generators, 20160))) == "order 20160, 2 generators"


@pytest.mark.parametrize(("solid", "part", "turns"), SOLIDS)
def test_polyhedra_are_found_in_noisy_maps(solid, part, turns):
    labels = es.pattern(f"{solid} {part}{' rotations' * turns}").labels
    rng = np.random.default_rng(0)
    size, samples = len(labels), 5 * len(labels) + 60
    truth = labels[rng.permutation(size)][:, rng.permutation(size)]
    # Values 6 standard errors apart.
    values = 6 / np.sqrt(samples - size - 1) * rng.permutation(int(labels.max()) + 1)
    found = es.discover(map_problem(values[truth], samples, rng))
    group, expected = found.symmetry(), es.symmetry_group(truth)
    assert found.partition == es.Partition(truth)
    assert (group.name, group.order) == (expected.name, expected.order)
    assert group.verdict != "none"
