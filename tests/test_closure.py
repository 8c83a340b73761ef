"""Discovery through a symmetry: it is found where single entries cannot be told apart, and only where it is."""

import numpy as np
import pytest
from map_cases import map_problem

import equishare as es
from equishare.lab.studies import symmetry
from equishare.lab.studies.patterns import blocks, circulant, dihedral, exchangeable, shuffled, torus
from equishare.search.alignment import Alignment
from equishare.search.by_evidence import Candidates, propose_by_evidence
from equishare.search.evidence import Evidence
from equishare.search.orbits import find_symmetries


def pooled(size, count):
    """Sums of the blocks of the inputs: an output has one weight for its own block and one for the rest."""
    return (np.arange(count)[:, None] != np.arange(size * count) // size).astype(int)


def linear_problem(labels, values, samples, rng, noise=1.0):
    return map_problem(values[labels], samples, rng, noise)


def spaced(labels, gap, rng):
    return gap * rng.permutation(int(labels.max()) + 1)


@pytest.mark.parametrize("method", ["auto", "closure"])
@pytest.mark.parametrize(
    "labels",
    [circulant(12), dihedral(12), torus(3, 4), blocks(4, 3), exchangeable(3, 4), pooled(3, 4)],
    ids=["circulant", "dihedral", "torus", "blocks", "exchangeable", "pooled"],
)
def test_values_three_standard_errors_apart(labels, method):
    # 144 entries, neighbouring values 0.3 √100 = 3 standard errors apart (4 for the smaller weights): one entry in ten
    # lies nearer to a wrong value. Rows and columns come in no order.
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(5):
        truth = shuffled(labels, rng)
        problem = linear_problem(truth, spaced(labels, 0.3, rng), 130, rng)
        found += es.discover(problem, method).partition == es.Partition(truth)
    assert found >= 4


def test_merging_alone_needs_far_more():
    rng = np.random.default_rng(1)
    labels = circulant(12)
    problems = [linear_problem(labels, spaced(labels, 0.3, rng), 100, rng) for _ in range(5)]
    merged = [es.partition_distance(d.partition, labels) for d in es.discover(problems, "merge")]
    closed = [es.partition_distance(d.partition, labels) for d in es.discover(problems, "closure")]
    assert closed == [0] * 5
    assert min(merged) > 10


@pytest.mark.parametrize("separation", [2.0, 4.0])
def test_where_there_is_no_symmetry(separation):
    rng = np.random.default_rng(2)
    for _ in range(5):
        labels = rng.permutation(np.arange(90) % 3).reshape(9, 10)
        problem = linear_problem(labels, separation / 10 * np.arange(3), 100, rng)
        found = es.discover(problem, "closure").partition
        merged = es.discover(problem, "merge").partition
        assert es.partition_distance(found, labels) <= es.partition_distance(merged, labels)
        # Two standard errors apart nothing tells a symmetry of some rows from chance.
        assert es.symmetry_group(found).is_trivial or separation < 4


def test_the_row_without_a_search_is_closure_without_its_symmetries():
    draws = symmetry.draw_without_symmetry(np.random.default_rng(5), 6, K=30, r=3, separation=2.0)
    searched = es.discover(list(draws.problems), "closure")

    def proposed(problem, symmetric):
        return es.Partition(propose_by_evidence(problem, polished=False, symmetric=symmetric).labels(0)[0])

    for trial, problem in enumerate(draws.problems):
        with_search, without = (proposed(problem, one) for one in (True, False))
        path = Candidates(Evidence(problem.estimate()))
        path.add_path()
        assert without == path.ranked()[0]
        assert with_search == searched[trial].partition
        distance = es.partition_distance(without, draws.truths[trial])
        assert draws.limits[symmetry.NO_SEARCH][trial] == {"pd": distance}
    # Or the comparison would be empty.
    rng = np.random.default_rng(6)
    some = linear_problem(circulant(8), 0.2 * rng.permutation(8), 100, rng)
    assert proposed(some, True) != proposed(some, False)


def test_toeplitz_with_a_boundary_stays_exact():
    labels = np.zeros((8, 10), int)
    for offset in range(3):
        labels[np.arange(8), np.arange(8) + offset] = offset + 1
    rng = np.random.default_rng(3)
    problem = linear_problem(labels, np.array([0.0, 1.0, 3.0, 5.0]), 150, rng, noise=0.3)
    assert es.discover(problem).partition == es.Partition(labels)


def test_rings_of_sixteen_pixels_turn_and_flip():
    pytest.importorskip("sklearn")
    from equishare.lab.studies.rings import sample_rings

    for seed in range(3):
        x, y = sample_rings(2000, 16, 4.0, 0.1, seed=seed)
        found = es.discover(es.LinearProblem(x[:1000], y[:1000], x_val=x[1000:], y_val=y[1000:])).partition
        # Unions of the nine distances; the far ones differ by less than can be told.
        assert es.Partition(dihedral(16)).refines(found)
        assert found.num_groups >= 5


def test_alignment_finds_the_shifts_of_a_noisy_circulant():
    rng = np.random.default_rng(4)
    labels = circulant(10)
    weight = 1.0 * labels + 0.3 * rng.standard_normal(labels.shape)
    found = Alignment(weight, np.full(labels.shape, 0.09)).search(3)
    assert all((np.sort(p) == np.arange(10)).all() for _, maps in found for p in maps)
    exact = [maps for _, maps in found[:9] if (labels[np.ix_(*maps)] == labels).all()]
    assert sorted(inputs[3] for _, inputs in exact) == [0, 1, 2, 4, 5, 6, 7, 8, 9]


def test_orbits_are_those_of_the_group():
    rng = np.random.default_rng(5)
    problem = linear_problem(blocks(3, 2), np.array([2.0, 1.0, 0.0]), 400, rng)
    (found,) = find_symmetries(problem.estimate())
    assert es.Partition(found.orbits) == es.Partition(blocks(3, 2))
    assert {int(m.max()) + 1 for m in found.merges} == {1, 2, 3}


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (65, 64)])
def test_shapes_that_are_not_searched(shape):
    rng = np.random.default_rng(6)
    outputs, inputs = shape
    x = rng.standard_normal((3 * inputs, inputs))
    y = rng.standard_normal((3 * inputs, outputs))
    assert find_symmetries(es.LinearProblem(x, y, x_val=x, y_val=y).estimate()) == []


def test_constant_estimates():
    # Data without noise: all weights equal to the last bit.
    rng = np.random.default_rng(7)
    x = rng.standard_normal((40, 4))
    y = x.sum(1, keepdims=True).repeat(3, 1)
    assert es.discover(es.LinearProblem(x[:20], y[:20], x_val=x[20:], y_val=y[20:])).partition.num_groups == 1
