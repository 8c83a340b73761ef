"""Direct products that no orbit and no system of blocks shows: groups that act regularly, and their decomposition."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from symmetry_cases import example
from test_automorphisms import closure
from test_symmetry import dicyclic, shuffled

import equishare as es
from equishare.symmetry.automorphisms import automorphism_group
from equishare.symmetry.names.decomposition import indecomposable_factors
from equishare.symmetry.permutation_group import PermutationGroup

grid, ring, mirrored, blocks, regular = (
    example.grid,
    example.circulant,
    example.dihedral,
    example.blocks,
    example.regular,
)
A4 = example.PATTERNS["regular, even permutations of 4"][0]
S4 = regular(list(permutations(range(4))))
Q8 = regular(example.quaternions())


def turns(n: int) -> np.ndarray:
    """D_n acting regularly."""
    shift, reflection = np.roll(np.arange(n), -1), -np.arange(n) % n
    return regular(sorted(p for (p,) in closure([(shift,), (reflection,)], (n,))))


def extraspecial(pairs: int) -> np.ndarray:
    """A central product of copies of D_4, order 2^(1 + 2 pairs), acting regularly: no direct product.

    (v, z) (w, y) = (v + w, z + y + v_1 w_2 + v_3 w_4 + …) modulo two.
    """
    elements = np.indices((2,) * (2 * pairs + 1)).reshape(2 * pairs + 1, -1).T
    product = (elements[:, None] + elements[None]) % 2
    product[..., -1] += (elements[:, None, :-1:2] * elements[None, :, 1::2]).sum(axis=-1)
    table = (product % 2) @ (2 ** np.arange(2 * pairs + 1)[::-1])
    return table[np.argmin(table, axis=1)]


def as_group(labels: np.ndarray) -> PermutationGroup:
    pairs, order = automorphism_group(labels)
    return PermutationGroup(
        sum(labels.shape), [np.concatenate([p_out, p_in + len(p_out)]) for p_out, p_in, _ in pairs], order
    )


# Pattern, order, name.
PRODUCTS = {
    "D_4, C_2, C_2": (grid(turns(4), ring(2), ring(2)), 32, "C_2 × C_2 × D_4"),
    "D_8, C_2, C_2": (grid(turns(8), ring(2), ring(2)), 64, "C_2 × C_2 × D_8"),
    "D_4, C_4": (grid(turns(4), ring(4)), 32, "C_4 × D_4"),
    "D_4, D_4": (grid(turns(4), turns(4)), 64, "D_4 × D_4"),
    "S_3, C_2, C_2, C_2": (grid(turns(3), *[ring(2)] * 3), 48, "C_2 × C_2 × D_6"),
    "S_3, C_3": (grid(turns(3), ring(3)), 18, "C_3 × S_3"),
    "S_3, D_5, C_2": (grid(turns(3), turns(5), ring(2)), 120, "D_5 × D_6"),
    "S_3, S_3": (grid(turns(3), turns(3)), 36, "S_3 × S_3"),
    "S_4, C_2": (grid(S4, ring(2)), 48, "S_2 × S_4"),
    "A_4, C_4": (grid(A4, ring(4)), 48, "C_4 × A_4"),
    "Q_8, C_2": (grid(Q8, ring(2)), 16, "C_2 × Q_8"),
    "Q_8, D_4": (grid(Q8, turns(4)), 64, "D_4 × Q_8"),
    "dicyclic 3, C_2": (grid(regular(dicyclic(3)), ring(2)), 24, "C_2 × Dic_3"),
    "extraspecial, C_2": (grid(extraspecial(2), ring(2)), 64, "C_2 × (order 32, 4 generators)"),
    "D_4, C_2, reflections": (grid(mirrored(4), turns(3), ring(2)), 96, "D_4 × D_6"),
    "D_4, D_4, C_2, one factor not regular": (grid(mirrored(4), turns(4), ring(2)), 128, "C_2 × D_4 × D_4"),
    "D_4, D_4, D_4": (grid(*[mirrored(4)] * 3), 512, "D_4 × D_4 × D_4"),
    "on other points": (blocks(grid(turns(4), ring(2)), ring(3)), 48, "C_2 × C_3 × D_4"),
}


@pytest.mark.parametrize("title", PRODUCTS)
@pytest.mark.parametrize("place", [np.asarray, shuffled], ids=["in order", "out of order"])
def test_names(title, place):
    labels, order, name = PRODUCTS[title]
    group = es.symmetry_group(place(labels))
    assert (group.name, group.order, group.structure.order) == (name, order, order)


@pytest.mark.parametrize(
    ("labels", "orders"),
    [
        (grid(turns(4), ring(4), ring(2)), [2, 4, 8]),
        (grid(turns(6), ring(3)), [2, 3, 6]),
        (grid(Q8, Q8), [8, 8]),
        (grid(extraspecial(1), extraspecial(1)), [8, 8]),
        (extraspecial(2), [32]),
        (extraspecial(3), [128]),
        (grid(turns(3), Q8, ring(2)), [2, 6, 8]),
        (turns(8), [16]),
    ],
)
def test_a_decomposition_is_direct_and_the_finest(labels, orders):
    group = as_group(shuffled(labels))
    factors = indecomposable_factors(group)
    assert sorted(factor.order for factor in factors) == orders
    products = np.arange(group.degree)[None]
    for factor in factors:
        assert len(factor.elements()) == factor.order
        products = np.concatenate([p[products] for p in factor.elements()])
        for other in factors:
            if other is not factor:
                assert all(np.array_equal(p[q], q[p]) for p in factor.generators for q in other.generators)
    assert {p.tobytes() for p in products} == {p.tobytes() for p in group.elements()}
