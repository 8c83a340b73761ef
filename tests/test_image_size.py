"""Weights of the size of images: fits of merged groups, lazy paths, names, and what is told of the limits."""

from __future__ import annotations

import numpy as np
import pytest
from test_large_symmetry import noisy, torus

import equishare as es
from equishare.linalg import log_det, pseudo_inverse
from equishare.problems.base import Slot
from equishare.problems.estimates import BlockEstimate, fit_estimate
from equishare.search import alignment, evidence, orbits, path, posterior, price, shifts
from equishare.search.evidence import Evidence, Fit
from equishare.search.orbits import find_symmetries, merges_of
from equishare.search.path import Path, greedy_merges, merge_path, segmentations
from equishare.search.polish import misfit
from equishare.search.price import generated, is_kept
from equishare.search.structures import left_out
from equishare.symmetry.orbits import cell_orbits


def correlated(shape, rng, groups=4):
    """Estimates of a map whose inputs covary, of so many values."""
    inputs = shape[1]
    root = rng.normal(size=(inputs, 2 * inputs))
    curvature = root @ root.T
    labels = rng.integers(groups, size=shape)
    inverse = np.linalg.inv(curvature)
    values = 3.0 * labels * np.sqrt(np.diag(inverse)).max() + rng.normal(size=shape) @ np.linalg.cholesky(inverse).T
    variance = np.broadcast_to(np.diag(inverse), shape)
    return BlockEstimate(values, variance, 500.0, curvature, np.ones(shape)), es.Partition(labels)


def same(one: Fit, other: Fit):
    np.testing.assert_allclose(one.values, other.values, rtol=1e-8)
    np.testing.assert_allclose(one.precision, other.precision, rtol=1e-8, atol=1e-8 * abs(other.precision).max())
    assert one.misfit == pytest.approx(other.misfit, rel=1e-8)


def test_merged_groups_are_fitted_without_the_entries():
    rng = np.random.default_rng(0)
    estimate, _ = correlated((9, 7), rng)
    labels, to = rng.integers(12, size=(9, 7)), rng.permutation(12) % 5
    own = Evidence(estimate)
    same(own.fitted(labels, 12).merged(to), own.fitted(to[labels], 5))


def test_large_parameters_are_fitted_together_with_the_same_scores(monkeypatch):
    rng = np.random.default_rng(1)
    estimate, _ = correlated((30, 24), rng)
    own = Evidence(estimate)
    some = [es.Partition(rng.integers(count, size=(30, 24))) for count in (1, 3, 5, 2, 40, 400)]
    some += [some[1], es.Partition(np.arange(720).reshape(30, 24))]
    apart = list(own.fits(some))
    monkeypatch.setattr(evidence, "LARGE", 1)
    calls = []
    fitted = Evidence.fitted
    monkeypatch.setattr(Evidence, "fitted", lambda *args: calls.append(args) or fitted(*args))
    together = list(own.fits(some))
    assert len(calls) < len(some)
    for one, a, b in zip(some, together, apart, strict=True):
        same(a, b)
        assert own.score(one.labels, fit=a)[1] == pytest.approx(own.score(one.labels)[1], rel=1e-8)


def test_no_sharing_is_scored_without_a_matrix_of_all_entries():
    rng = np.random.default_rng(2)
    estimate, _ = correlated((8, 6), rng)
    labels = rng.permutation(48).reshape(8, 6)
    own = Evidence(estimate)
    values, precision = fit_estimate(estimate, labels, 48)
    whole = Fit(values, precision, misfit(estimate, labels, values))
    assert own.fitted(labels, 48).precision.shape == (48,)
    for spread in (own, own.scattered(0.3)):
        values, precision = fit_estimate(spread.estimate, labels, 48)
        whole = Fit(values, precision, 0.0)
        assert spread.score(labels)[1] == pytest.approx(spread.score(labels, fit=whole)[1], rel=1e-8)


def test_paths_are_made_as_they_are_asked_for():
    rng = np.random.default_rng(3)
    estimate, _ = correlated((6, 5), rng)
    merges = greedy_merges(estimate, np.arange(30).reshape(6, 5))
    assert isinstance(merges, Path) and len(merges) == 30
    assert [int(one.max()) + 1 for one in merges] == list(range(1, 31))
    for coarse, fine in zip(merges, merges[1:], strict=False):
        assert es.Partition(fine).refines(es.Partition(coarse))
    assert (merges[3] == list(merges)[3]).all()
    assert isinstance(merges[:4], Path) and (merges[:4][3] == merges[3]).all()


def test_segmentations_of_many_values_cut_between_bins():
    rng = np.random.default_rng(4)
    labels = rng.integers(10, size=(150, 120))
    values = labels + rng.normal(size=labels.shape) / 12
    precision = np.full(labels.shape, 144.0)
    assert labels.size >= evidence.LARGE
    found = segmentations(values, precision, 300)
    assert es.partition_distance(found[9], labels) == 0
    assert [int(one.max()) + 1 for one in found] == list(range(1, 301))
    alike = segmentations(np.ones_like(values), precision, 300)
    assert len(alike) == 1 and not alike[0].any()


def test_paths_go_on_where_more_groups_may_be_better(monkeypatch):
    monkeypatch.setattr(path, "MAX_GREEDY_GROUPS", 8)
    monkeypatch.setattr(path, "_FINER", (12, 16, 500))
    rng = np.random.default_rng(5)
    estimate, _ = correlated((12, 5), rng, groups=60)
    assert [int(one.max()) + 1 for one in merge_path(estimate, 4)] == [1, 2, 3, 4]
    assert [int(one.max()) + 1 for one in merge_path(estimate, 8)] == [*range(1, 9), 12, 16, 60]


def test_the_density_of_many_values_is_that_of_their_sum():
    rng = np.random.default_rng(6)
    values = np.concatenate([rng.integers(10, size=3000) + rng.normal(size=3000) / 3, [40.0]])
    grid = np.linspace(values.min(), values.max(), 200)
    exact = alignment._summed(values, grid, 0.5)
    np.testing.assert_allclose(alignment._smoothed(values, grid, 0.5), exact, rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize("size", [20, 200])
def test_determinants_and_inverses_of_large_matrices(size):
    rng = np.random.default_rng(size)
    root = rng.normal(size=(size, 2 * size)) * 10.0 ** rng.integers(-3, 4, size=size)[:, None]
    matrix = root @ root.T
    assert log_det(matrix) == pytest.approx(np.linalg.slogdet(matrix)[1], rel=1e-10)
    inverse = pseudo_inverse(matrix)
    np.testing.assert_allclose(inverse, inverse.T)
    units = np.sqrt(np.outer(np.diag(matrix), np.diag(matrix)))
    np.testing.assert_allclose((inverse * units) @ (matrix / units), np.eye(size), atol=1e-6)
    root[1] = root[0]
    matrix = root @ root.T
    assert log_det(matrix) < log_det(matrix + np.diag(np.diag(matrix))) - 20
    again = matrix @ pseudo_inverse(matrix) @ matrix
    units = np.sqrt(np.outer(np.diag(matrix), np.diag(matrix)))
    np.testing.assert_allclose(again / units, matrix / units, atol=1e-5)


def test_orbits_beyond_the_greedy_start_are_merged_from_segments(monkeypatch):
    rng = np.random.default_rng(7)
    weight = torus(7, rng)
    estimate = BlockEstimate.diagonal(*noisy(weight, 1 / 4, rng))
    monkeypatch.setattr(orbits, "MAX_GREEDY_GROUPS", 20)
    (found, *_) = find_symmetries(estimate)
    assert int(found.orbits.max()) + 1 == 49
    truth = es.Partition(weight.astype(int))
    assert min(es.partition_distance(one, truth) for one in merges_of(estimate, found.orbits)) == 0


def test_a_few_generators_stand_for_all_maps_found():
    side = 6
    points = np.arange(side**2).reshape(side, side)
    shifts = [np.roll(points, (a, b), (0, 1)).ravel() for a in range(side) for b in range(side)]
    labels = cell_orbits([(p, p) for p in shifts[1:8]], (36, 36))
    other = np.random.default_rng(0).permutation(36)
    found = generated(labels, [(other, other), *((p, p) for p in shifts)])
    assert len(found.maps) <= 5 and es.Partition(found.orbits) == es.Partition(labels)
    assert found.log_normaliser == pytest.approx(np.log(36))
    assert is_kept(labels, (shifts[9], shifts[9])) and not is_kept(labels, (shifts[9], shifts[8]))
    last = labels.copy()
    last[-1, -1] = labels.max() + 1  # alone in a row that is looked at last
    assert not is_kept(last, (shifts[9], shifts[9]))
    assert generated(last, [(p, p) for p in shifts]) is None


def pattern(side, kind, rng):
    """Labels on a torus, rows and columns in any order."""
    row, column = np.divmod(np.arange(side**2), side)
    down, right = (row - row[:, None]) % side, (column - column[:, None]) % side
    if kind != "torus":
        down, right = (np.minimum(way, side - way) for way in (down, right))
    if kind == "hyperoctahedral":
        down, right = np.minimum(down, right), np.maximum(down, right)
    labels = down * side + right if kind != "array" else 2 * (down > 0) + (right > 0)
    return labels[rng.permutation(side**2)][:, rng.permutation(side**2)]


@pytest.mark.parametrize(
    ("kind", "name", "order"),
    [
        ("torus", "C_28 × C_28", 784),
        ("dihedral", "D_28 × D_28", 3136),
        pytest.param("hyperoctahedral", "D_28 ≀ C_2", 6272, marks=pytest.mark.slow),
        pytest.param("array", "S_28 × S_28", None, marks=pytest.mark.slow),
    ],
)
def test_names_of_patterns_of_784_points(kind, name, order):
    group = es.symmetry_group(pattern(28, kind, np.random.default_rng(0)))
    assert group.name == name and order in (None, group.order)


def test_what_is_left_out_is_told(monkeypatch):
    rng = np.random.default_rng(8)
    x = rng.normal(size=(60, 5))
    y = x @ rng.integers(3, size=(900, 5)).T + 0.1 * rng.normal(size=(60, 900))
    found = es.discover(es.LinearProblem(x, y))
    (told,) = found.quality.notes
    assert told.startswith("No symmetry was looked for among 900 × 5 weights: the search takes up to 1,048,576, and")
    assert told in found.warnings
    x, y = rng.normal(size=(60, 6)), rng.normal(size=(60, 6))
    assert es.discover(es.LinearProblem(x, x + y)).quality.notes == ()
    monkeypatch.setattr(evidence, "_MOST_WIDENED", 35)
    monkeypatch.setattr(shifts, "_patterns", lambda shape: ((), 3))
    told = es.discover(es.LinearProblem(x, x + y)).quality.notes
    assert [one.split(" were ")[0].split(" are ")[0] for one in told] == [
        "Of the patterns of shifts of rows and columns in the order in which they come, 3",
        "Whether 36 entries",
    ]


def test_what_is_left_out_of_the_shifts_is_told():
    assert shifts.unsearched((784, 784)) is None
    assert shifts.unsearched((4100, 100)) == (
        "Of the patterns of shifts of rows and columns in the order in which they come, 1 were not looked for: they "
        "have more than 4,096 different weights."
    )
    assert "among 2000 × 1000 weights: that takes up to 1,048,576." in shifts.unsearched((2000, 1000))


def test_what_is_left_out_of_networks_is_told():
    def slot(*shape):
        return Slot.of("weight", shape)

    assert left_out([slot(64, 64), slot(1000), slot(1, 900)]) == ()
    (told,) = left_out([slot(300, 300)])
    assert told.startswith("No symmetry was looked for among 300 × 300 weights: the search takes up to 65,536, and")
    assert len(left_out([slot(64, 64), slot(200, 10), slot(400, 400)])) == 3


def test_parts_of_a_symmetry_that_are_not_weighed_are_told(monkeypatch):
    rng = np.random.default_rng(10)
    points = rng.permutation(25)
    weight = torus(5, rng)[points]
    x = rng.normal(size=(400, 25))
    problem = es.LinearProblem(x, x @ weight.T + 2 * rng.normal(size=(400, 25)))
    monkeypatch.setattr(price, "is_tabled", lambda shape: False)
    monkeypatch.setattr(posterior, "is_tabled", lambda shape: False)
    assert es.discover(problem).quality.notes == ()
    monkeypatch.setattr(posterior, "MOST_GROUPS", 100)
    found = es.discover(problem)
    assert es.partition_distance(found.partition, weight) == 0
    (told,) = found.quality.notes
    assert told.startswith("Parts of the symmetry of the pattern were not weighed against it: they leave 125 and more")


def test_orbits_that_are_too_many_are_told(monkeypatch):
    rng = np.random.default_rng(9)
    estimate = BlockEstimate.diagonal(*noisy(torus(6, rng), 1 / 6, rng))
    notes: list[str] = []
    assert find_symmetries(estimate, notes) and not notes
    monkeypatch.setattr(orbits, "MOST_GROUPS", 30)
    assert find_symmetries(estimate, notes) == []
    assert "they leave 36 different weights, and up to 30 are" in notes[0]
