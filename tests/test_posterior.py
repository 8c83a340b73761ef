"""What the evidence says beside the partition: the price of a symmetry, entries nearly equal, the odds."""

import numpy as np
import pytest
from map_cases import map_problem

import equishare as es
from equishare.lab.studies.patterns import (
    blocks,
    circulant,
    dihedral,
    exchangeable,
    permutations,
    shuffled,
    side_by_side,
    torus,
)
from equishare.problems import BlockEstimate
from equishare.search import price
from equishare.search.evidence import Evidence
from equishare.search.posterior import Posterior
from equishare.search.price import Structure, closure_of


def mean_problem(theta, rng, samples=100):
    x = theta + rng.standard_normal((samples, len(theta)))
    return es.MeanProblem(x[: samples // 2], x[samples // 2 :])


def unequal_labels(num_entries, num_groups, share, rng):
    small = max(num_groups - 1, round((1 - share) * num_entries))
    labels = np.zeros(num_entries, np.int64)
    labels[:small] = 1 + np.arange(small) % (num_groups - 1)
    return rng.permutation(labels)


@pytest.mark.parametrize("size", [20, 100, 300, 1000, 20_000])
@pytest.mark.parametrize("share", [0.9, 0.97])
def test_no_simpler_candidate_has_better_evidence(size, share):
    rng = np.random.default_rng(size)
    for separation in (6.0, 8.0, 10.0):
        labels = unequal_labels(size, 4, share, rng)
        problem = mean_problem(separation / 10 * np.array([0, 1, -1, 2])[labels], rng)
        found = es.discover(problem).partition
        evidence = Evidence(problem.estimate())
        best = evidence.score(found.labels)
        others = [labels, *(es.discover(problem, method).partition.labels for method in ("gap", "merge"))]
        assert all(best <= evidence.score(es.Partition(other).labels) for other in others)
        if separation >= 8:
            assert es.partition_distance(found, labels) <= 1


def test_a_map_of_zeros_with_few_other_weights():
    rng = np.random.default_rng(0)
    labels = unequal_labels(900, 4, 0.93, rng).reshape(30, 30)
    problem = map_problem(8 / np.sqrt(370) * np.array([0, 1, -1, 2])[labels], 400, rng)
    assert es.partition_distance(es.discover(problem).partition, labels) <= 2


@pytest.mark.parametrize(
    "labels",
    [
        circulant(6),
        dihedral(8),
        torus(2, 3),
        exchangeable(2, 3),
        blocks(2, 3),
        permutations(5),
        side_by_side(permutations(2), circulant(3)),
        np.arange(12).reshape(3, 4),
    ],
    ids=["circulant", "dihedral", "torus", "exchangeable", "blocks", "permutations", "beside", "distinct"],
)
def test_the_price_is_that_of_the_pattern_however_it_is_arranged_or_found(labels):
    rng = np.random.default_rng(1)

    def priced(labels):
        *parts, zero = price.log_prior(labels, Structure(closure_of(labels)), True)
        return [*parts, np.logaddexp.reduce(zero)]

    expected = priced(labels)
    for _ in range(3):
        moved = es.Partition(rng.permutation(int(labels.max()) + 1)[shuffled(labels, rng)]).labels
        assert priced(moved) == pytest.approx(expected)
    one = es.Partition(labels)
    scores = []
    for maps in ([], [(np.arange(len(labels))[::-1], np.arange(labels.shape[1]))]):
        posterior = Posterior(BlockEstimate.diagonal(labels + 0.1, np.ones(labels.shape)), symmetric=True)
        posterior.judge([one], 0.0, maps)
        scores.append(posterior.scores[one, 0.0])
    assert scores[0] == scores[1]


def test_orders_of_normalisers():
    # C_5: the affine maps of outputs and of inputs with one slope, 5 · 5 · 4. S_5 on pairs: nothing but itself.
    assert np.exp(closure_of(circulant(5)).log_normaliser) == pytest.approx(100)
    assert np.exp(closure_of(permutations(5)).log_normaliser) == pytest.approx(120)
    assert closure_of(np.arange(9).reshape(3, 3)) is None


def test_few_orbits_that_join_others_are_counted_by_stirlings_numbers():
    # S(5, 4) = 10, S(5, 3) = 25; many are left to the labels.
    assert price._log_few(5, 5) == pytest.approx(-0.5)
    assert price._log_few(5, 4) == pytest.approx(-0.5 - np.log(2 * 10))
    assert price._log_few(5, 3) == pytest.approx(-0.5 - np.log(4 * 2 * 25))
    assert price._log_few(40, 5) == -np.inf


def test_orbits_that_are_zero_are_counted_by_how_many_are():
    np.testing.assert_allclose(np.exp(price._log_zero(np.array([1, 3, 1]))), [0, 1 / 5 / 10, 0])
    np.testing.assert_allclose(np.exp(price._log_zero(np.ones(4, int))), np.full(4, 1 / 4 / 4))
    assert (price._log_zero(np.array([2, 2, 1])) == -np.inf).all()


def test_weights_between_parts_that_are_not_connected():
    labels = np.zeros((7, 7), np.int64)
    for parts, (a, b) in enumerate([(0, 2), (2, 4), (4, 7)]):
        labels[a:b, a:b] = 1 + 2 * parts + permutations(b - a)
    rng = np.random.default_rng(12)
    values = np.concatenate([[0.0], 1.3 * (1 + rng.permutation(6))])
    for _ in range(5):
        truth = shuffled(labels, rng)
        found = es.discover(map_problem(values[truth], 150, rng))
        assert found.partition == es.Partition(truth)


def test_two_blocks_between_two_parts_agree_by_transposing():
    one = side_by_side(permutations(3), permutations(4))
    two, other = one.copy(), one.copy()
    two[:3, 3:] = 5  # the blocks differ
    other[:3, 3:] = other[0, 0]  # one of them is the diagonal of the first part
    other = es.Partition(other).labels
    closures = [closure_of(labels) for labels in (one, two, other)]
    assert [c.both_ways is not None for c in closures] == [True, False, False]
    assert closures[0].both_ways.max() == closures[0].orbits.max() - 1
    prices = [
        price.log_prior(labels, Structure(c), True)[1] for labels, c in zip((one, two, other), closures, strict=True)
    ]
    assert prices[0] > prices[1] - 1 > prices[2]
    rng = np.random.default_rng(9)
    values = 1.2 * rng.permutation(5)
    for _ in range(5):
        truth = shuffled(one, rng)
        found = es.discover(map_problem(values[truth], 150, rng))
        assert found.partition == es.Partition(truth)
        assert found.symmetry().verdict == "exact"
        assert 144 % found.symmetry().order == 0  # S_3 × S_4, or what of it is sure


def test_a_group_without_igraph_is_that_of_the_maps_found():
    labels = circulant(6)
    shift = (np.roll(np.arange(6), 1), np.roll(np.arange(6), 1))
    swap = (np.array([1, 0, 2, 3, 4, 5]), np.arange(6))
    found = price.generated(labels, [swap, shift])
    assert es.Partition(found.orbits) == es.Partition(labels)
    assert np.exp(found.log_normaliser) == pytest.approx(6)
    assert price.generated(labels, [swap]) is None


@pytest.mark.parametrize("rows_differ", [False, True])
def test_the_covariance_of_scattered_entries(rows_differ):
    rng = np.random.default_rng(2)
    root = rng.standard_normal((9, 4))
    scale = rng.uniform(0.5, 2, (3, 4)) if rows_differ else np.ones((3, 4))
    estimate = BlockEstimate(rng.standard_normal((3, 4)), np.ones((3, 4)), 7.0, root.T @ root, scale)
    blocks_ = [root.T @ root * np.outer(d, d) for d in scale]
    dense = np.zeros((12, 12))
    for b, block in enumerate(blocks_):
        dense[4 * b : 4 * b + 4, 4 * b : 4 * b + 4] = np.linalg.inv(np.linalg.inv(block) + 0.49 * np.eye(4))
    wide = estimate.widened(0.7)
    w, labels = rng.standard_normal((3, 4)), rng.integers(0, 3, (3, 4))
    one_hot = np.eye(3)[labels.ravel()]
    np.testing.assert_allclose(wide.apply(w).ravel(), dense @ w.ravel())
    np.testing.assert_allclose(wide.gather(labels, 3)[1], one_hot.T @ dense @ one_hot, atol=1e-12)
    np.testing.assert_allclose(wide.precision.ravel(), np.diag(dense))
    assert wide.log_det == pytest.approx(np.linalg.slogdet(dense)[1])


@pytest.mark.parametrize("labels", [circulant(12), torus(3, 4)], ids=["circulant", "torus"])
def test_a_generic_kernel_is_found(labels):
    rng = np.random.default_rng(3)
    for _ in range(3):
        truth = shuffled(labels, rng)
        found = es.discover(map_problem(0.6 * rng.standard_normal(12)[truth], 120, rng))
        assert found.partition == es.Partition(truth)
        group = found.symmetry()
        assert (group.verdict, group.order, found.spread) == ("exact", 12, 0.0)
        assert found.symmetry_log_odds > 10


def test_nearly_a_symmetry():
    rng = np.random.default_rng(4)
    truth = shuffled(circulant(8), rng)
    weight = rng.permutation(8)[truth] + 0.15 * rng.standard_normal((8, 8))
    found = es.discover(map_problem(weight, 2000, rng))
    assert found.partition == es.Partition(truth)
    assert found.symmetry().verdict == "approximate"
    low, high = found.belief.spread_interval
    assert low <= 0.15 <= high
    assert 0.1 < found.spread < 0.2
    # The entries are better estimated than as one value, and than on their own.
    error = np.square(found.posterior_mean - weight).sum()
    assert error < np.square(found.theta - weight).sum()
    assert error < np.square(es.discover(map_problem(weight, 2000, rng), "no_sharing").theta - weight).sum()


def test_nearly_equal_means():
    rng = np.random.default_rng(5)
    labels = np.arange(60) % 3
    found = es.discover(mean_problem(10.0 * labels + 0.4 * rng.standard_normal(60) + 1e6, rng))
    assert found.partition == es.Partition(labels)
    assert 0.25 < found.spread < 0.6
    np.testing.assert_allclose(found.posterior_mean, found.theta, atol=2.0)
    assert found.symmetry().verdict == "approximate"


def test_no_symmetry_is_no_symmetry():
    rng = np.random.default_rng(6)
    for weight in (rng.standard_normal((8, 8)), np.arange(3)[rng.integers(0, 3, (8, 9))] + 0.0):
        found = es.discover(map_problem(weight, 300, rng))
        assert found.symmetry().verdict == "none"
        assert found.symmetry_probability < 0.5


@pytest.mark.parametrize(("value", "kind"), [(0.0, "none"), (2.0, "exact")])
def test_weights_of_one_value_are_a_symmetry_but_where_it_is_zero(value, kind):
    rng = np.random.default_rng(10)
    found = es.discover(map_problem(np.full((5, 6), value), 150, rng))
    assert found.partition.num_groups == 1
    assert found.symmetry().verdict == kind


def test_weights_about_a_value_that_is_no_symmetry():
    rng = np.random.default_rng(11)
    found = es.discover(map_problem(1 + 0.5 * rng.standard_normal((6, 7)), 600, rng))
    assert found.symmetry().verdict == "none"


def test_what_predicts_best_is_never_far_worse_than_no_sharing():
    rng = np.random.default_rng(7)
    ratios = []
    for spread in (0.05, 0.1, 0.3, 1.0):
        weight = spread * rng.standard_normal((6, 6))
        problem = map_problem(weight, 100, rng)
        errors = [
            np.square(one - weight).sum() for one in (es.discover(problem).posterior_mean, problem.estimate().values)
        ]
        ratios.append(errors[0] / errors[1])
    assert max(ratios) < 1.2
    assert np.mean(ratios) < 0.9


def test_where_the_evidence_is_not_asked():
    rng = np.random.default_rng(8)
    found = es.discover(map_problem(rng.standard_normal((3, 3)), 50, rng), "merge")
    assert np.isnan(found.spread) and np.isnan(found.symmetry_log_odds) and np.isnan(found.symmetry_probability)
    np.testing.assert_array_equal(found.posterior_mean, found.theta)


@pytest.mark.parametrize("units", [[1, 1, 1, 0.01], [1, 1, 1, 1e-6], [1, 1, 1, 1e6]])
def test_a_column_in_other_units_leaves_the_ties_of_others(units):
    """A weight far from all others: the others are no continuum about one value because of it."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 4))
    y = x @ [1.0, 1, 2, 2] + 0.2 * rng.normal(size=120)
    found = es.discover(x * units, y[:, None])
    assert found.partition == es.Partition([[0, 0, 1, 2]])
    assert found.spread == 0
    assert found.validation_loss < 1.1 * found.no_sharing_loss


@pytest.mark.parametrize(("of", "likely"), [("ring", True), ("few", True), ("all different", False)])
def test_odds_of_a_pattern_against_entries_without_any(of, likely):
    rng = np.random.default_rng(0)
    few = rng.integers(0, 3, (5, 5))
    labels = {"ring": circulant(5), "few": few, "all different": np.arange(25).reshape(5, 5)}[of]
    values = rng.normal(size=25)[labels] if of != "few" else 10.0 * labels
    estimate = BlockEstimate.diagonal(values + 0.05 * rng.normal(size=(5, 5)), np.full((5, 5), 0.05**2))
    # Of entries that all differ, the segmentation into eight groups of neighbours.
    ranks = values.ravel().argsort().argsort().reshape(5, 5)
    partition = es.Partition(ranks // 3 if of == "all different" else labels)
    posterior = Posterior(estimate, symmetric=True)
    posterior.judge([partition], 0.0)
    assert (posterior.log_odds(partition) > 0) == likely
