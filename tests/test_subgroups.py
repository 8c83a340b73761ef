"""What stands against a symmetry: its subgroups, and its pattern in another order."""

import numpy as np
import pytest

import equishare as es
from equishare.lab.studies.invention_data import FAMILIES, draw
from equishare.lab.studies.patterns import circulant, dihedral, permutations, side_by_side
from equishare.search import posterior, subgroups
from equishare.search.price import closure_of
from equishare.symmetry import symmetry_group

C_5_AND_S_4 = side_by_side(circulant(5), permutations(4))


def test_generators_are_sorted_by_factor():
    maps = closure_of(C_5_AND_S_4).maps
    factors = subgroups._factors(maps)
    assert len(factors) == 2
    for own, others in factors:
        assert len(own) + len(others) == len(maps)
        rows = {frozenset(np.flatnonzero(p != np.arange(9)) // 5) for pair in own for p in pair}
        assert len(set().union(*rows)) == 1


def test_only_what_a_subgroup_splits_is_split():
    truth = side_by_side(circulant(5), dihedral(4))
    labels = np.where(C_5_AND_S_4 == C_5_AND_S_4[0, 1], C_5_AND_S_4[0, 0], C_5_AND_S_4)  # two groups tied by chance
    whole, part = C_5_AND_S_4, truth
    split = subgroups._split(labels, whole, part)
    assert split.num_groups == es.Partition(labels).num_groups + 1
    assert (split.labels[0, 0] == split.labels[0, 1]) and split.labels[5, 6] != split.labels[5, 7]


@pytest.mark.parametrize(("ratio", "values", "trial"), [(2.0, "even", 0), (5.0, "normal", 0), (3.0, "normal", 2)])
def test_a_factor_that_is_too_large_is_not_sure(ratio, values, trial):
    # Two values on the ring of four nearly coincide, so that all permutations of it explain the weights as well.
    family = next(one for one in FAMILIES if one.name == "C_5 × D_4")
    one = draw(family, values, ratio, np.random.default_rng([11, int(ratio * 10), trial, len(values)]))
    found = es.discover(one.problem)
    group = found.symmetry()
    within = all(np.array_equal(one.truth[np.ix_(p, q)], one.truth) for p, q in group.generators)
    assert within or found.symmetry_probability < 0.9


def test_the_right_order_of_a_ring_is_found_beside_a_wrong_one():
    labels = dihedral(6)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 6))
    y = x @ np.array([1.0, 0.2, -0.4, 0.7])[labels].T + rng.normal(size=(400, 6))
    problem = es.LinearProblem(x, y)
    judged = posterior.Posterior(problem.estimate(), symmetric=True)
    order = np.array([0, 2, 1, 3, 4, 5])
    wrong = es.Partition(labels[np.ix_(order, order)])
    judged.judge([wrong], 0.0)
    judged.judge_subgroups()
    best = min(judged.scores, key=judged.scores.__getitem__)[0]
    assert best == es.Partition(labels) and symmetry_group(best).name == "D_6"


def test_a_long_weight_has_too_many_arrangements_to_be_tried():
    labels = np.arange(3000).repeat(24).reshape(3000, 24)
    assert subgroups.rearranged(None, es.Partition(labels)) == []
