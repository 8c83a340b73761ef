"""Groups in the words of sympy and GAP, their matrices and the parameters that they leave unchanged."""

from __future__ import annotations

import re

import numpy as np
import pytest
from group_cases import all_elements, axis_sizes
from symmetry_cases import EXPECTED, example

import equishare as es

combinatorics = pytest.importorskip("sympy.combinatorics")
TITLES = [title for title in EXPECTED if example.PATTERNS[title][0].size <= 2500]
SMALL = [title for title in TITLES if EXPECTED[title][1] <= 3000]
LAPLACE = np.broadcast_to([[0, 1, 0], [1, 2, 1], [0, 1, 0]], (2, 3, 3, 3))


def group_of(title: str) -> es.SymmetryGroup:
    labels, same_action = example.PATTERNS[title]
    return es.symmetry_group(labels, same_action=same_action)


@pytest.mark.parametrize("title", TITLES)
def test_sympy_has_the_same_order_and_orbits(title):
    group = group_of(title)
    exported = group.to_sympy()
    sizes = axis_sizes(group.partition.shape)
    assert exported.degree == sum(sizes)
    assert exported.order() == group.order
    orbits = [group.orbits.outputs, group.orbits.inputs, group.orbits.taps]
    labels = np.concatenate(
        [p.labels.reshape(-1) + start for p, start in zip(orbits, [0, 10**6, 2 * 10**6], strict=True) if p is not None]
    )
    found = np.arange(sum(sizes))
    for orbit in exported.orbits():
        found[list(orbit)] = min(orbit)
    if not group.same_action:
        assert es.Partition(found) == es.Partition(labels)


@pytest.mark.parametrize("title", TITLES)
def test_gap_reads_cycles_that_are_the_generators(title):
    group = group_of(title)
    text = group.to_gap()
    assert re.fullmatch(r"Group\((\(\)|(\((\d+,)+\d+\))+(, (\((\d+,)+\d+\))+)*)\)", text)
    read = []
    for word in text[len("Group(") : -1].split(", "):
        p = np.arange(sum(axis_sizes(group.partition.shape)))
        for cycle in re.findall(r"\(([\d,]+)\)", word):
            points = np.array(cycle.split(","), dtype=int) - 1
            p[points] = np.roll(points, -1)
        read.append(p.tolist())
    assert read == [p.array_form for p in group.to_sympy().generators]


def test_gap_of_known_groups():
    assert es.symmetry_group(example.circulant(3)).to_gap() == "Group((1,2,3)(4,5,6))"
    assert es.symmetry_group([0, 0, 1]).to_gap() == "Group((1,2))"
    assert es.symmetry_group(np.arange(6).reshape(2, 3)).to_gap() == "Group(())"


@pytest.mark.parametrize("title", TITLES)
def test_tied_weights_commute_with_the_matrices(title):
    group = group_of(title)
    values = np.random.default_rng(0).standard_normal(group.orbits.cells.num_groups)
    weight = values[group.orbits.cells.labels]
    x = np.random.default_rng(1).standard_normal(weight.shape[-1])
    assert len(group.permutation_matrices()) == len(group.generators)
    for generator, matrices in zip(group.generators, group.permutation_matrices(), strict=True):
        assert all(m.format == "csr" and m.nnz == len(p) for m, p in zip(matrices, generator, strict=True))
        np.testing.assert_array_equal(matrices[-1] @ np.arange(len(generator[-1])), generator[-1])
        if weight.ndim == 2:
            p_out, p_in = matrices
            np.testing.assert_array_equal(p_out @ weight, weight @ p_in)
            np.testing.assert_allclose(p_out @ (weight @ x), weight @ (p_in @ x), atol=1e-12)


@pytest.mark.parametrize("title", SMALL)
def test_the_basis_is_orthonormal_and_its_dimension_is_that_of_burnside(title):
    group = group_of(title)
    basis = group.equivariant_basis()
    assert basis.shape == (group.orbits.cells.num_groups, group.partition.labels.size)
    assert basis.nnz == group.partition.labels.size
    np.testing.assert_allclose((basis @ basis.T).toarray(), np.eye(len(basis.toarray())), atol=1e-12)
    elements = all_elements(group)
    assert len(elements) == group.order
    fixed = [np.prod([np.sum(p == np.arange(len(p))) for p in element]) for element in elements]
    assert np.sum(fixed) == group.order * basis.shape[0]
    weight = np.random.default_rng(0).standard_normal(group.partition.shape)
    projected = (weight.ravel() @ basis.T @ basis).reshape(weight.shape)
    assert group.is_equivariant(projected, tolerance=1e-12)
    assert group.is_equivariant(weight) == (group.order == 1)
    shape = [len(p) for p in elements[0]]
    mean = np.mean([weight.reshape(shape)[np.ix_(*element)] for element in elements], axis=0)
    np.testing.assert_allclose(projected, mean.reshape(weight.shape), atol=1e-12)


def test_kernels_and_vectors():
    kernel = es.symmetry_group(LAPLACE)
    assert kernel.to_sympy().degree == 2 + 3 + 9
    assert kernel.equivariant_basis().shape == (3, LAPLACE.size)
    assert [m.shape for m in kernel.permutation_matrices()[0]] == [(2, 2), (3, 3), (9, 9)]
    assert kernel.is_equivariant(LAPLACE)
    assert not kernel.is_equivariant(np.random.default_rng(0).standard_normal(LAPLACE.shape))
    vector = es.symmetry_group([0, 0, 0, 1, 1])
    assert vector.to_sympy().order() == 12
    assert vector.equivariant_basis().shape == (2, 5)


def test_very_large_groups():
    group = es.symmetry_group(np.zeros((1000, 1000), int))
    assert group.to_sympy().degree == 2000
    assert group.to_gap().count("(") == 1 + 4
    assert group.equivariant_basis().shape == (1, 10**6)
    assert group.is_equivariant(np.ones((1000, 1000)))
    with pytest.raises(ValueError, match=r"at most limit=10000 of them, and the group has about 1.6\de5135"):
        group.average(np.tanh)
    assert es.pattern(group) == group.partition


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.zeros((3, 4)),), ValueError, r"a parameter must have shape \(4, 4\), got \(3, 4\)"),
        ((np.full((4, 4), np.nan),), ValueError, "a parameter must be finite"),
        ((np.zeros((4, 4), complex),), TypeError, "a parameter must hold real numbers"),
        ((np.zeros((4, 4)), np.zeros((2, 4))), TypeError, "x is for a function, and ndarray is none"),
        ((np.zeros((4, 4)), None, np.nan), ValueError, "tolerance must be at least 0 and finite, got nan"),
        ((np.tanh, np.zeros((2, 4)), -1), ValueError, "tolerance must be at least 0 and finite, got -1"),
        ((np.tanh,), TypeError, "x must be given"),
        ((np.tanh, np.zeros((2, 3))), ValueError, r"x must have shape \(samples, 4\), got \(2, 3\)"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        es.named_group("C_4").is_equivariant(*arguments)
