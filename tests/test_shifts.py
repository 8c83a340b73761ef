"""Weights that depend on how far the input lies from the output, in the order in which both come."""

import json

import numpy as np
import pytest
from map_cases import map_problem

import equishare as es
from equishare.lab.studies.patterns import circulant, dihedral, torus
from equishare.lab.studies.rings import sample_rings
from equishare.problems.estimates import MOST_GROUPS
from equishare.report import write_files
from equishare.search import price
from equishare.search.by_evidence import likely_shifts
from equishare.search.evidence import Evidence
from equishare.search.price import Structure
from equishare.search.shifts import shift_patterns, shifts_of

LINE = np.arange(8) - np.arange(8)[:, None]


def plane(rows, columns):
    row, column = np.divmod(np.arange(rows * columns), columns)
    return row - row[:, None], column - column[:, None]


def partitions(shape):
    return {es.Partition(one.labels) for one in shift_patterns(shape)}


@pytest.mark.parametrize("shape", [(8, 8), (9, 9), (4, 6), (9, 16), (3, 8), (12, 12)])
def test_labels_depend_on_the_offset_alone(shape):
    found = shift_patterns(shape)
    assert len(set(found)) == len(found) == len(partitions(shape))
    for one in found:
        entries = np.unique(one.labels, return_index=True)[1]
        assert (es.Partition(one.labels).labels == one.labels).all() and (one.first == entries).all()
        assert one.num_groups == len(entries)
    assert bool(found) == (min(shape) >= 4)
    offset = np.arange(shape[1]) - np.arange(shape[0])[:, None]
    first = np.unique(offset, return_index=True)[1]
    is_of_a_line = [(one.labels.ravel()[first][offset - offset.min()] == one.labels).all() for one in found]
    assert all(is_of_a_line) == (shape in {(8, 8), (4, 6), (3, 8)})  # else some are of a plane


def test_the_patterns_of_a_line_and_of_a_plane():
    wanted = [LINE, abs(LINE), circulant(8), dihedral(8)]
    found = partitions((8, 8))
    assert found == {es.Partition(one) for one in wanted}
    rows, columns = plane(3, 4)
    a, b = abs(rows), abs(columns)
    opposite = np.minimum(10 * rows + columns, -10 * rows - columns)
    wanted = [10 * rows + columns, opposite, 10 * a + b, torus(3, 4)]
    found = partitions((12, 12))
    assert {es.Partition(one) for one in wanted} < found
    exchanged = es.Partition(10 * np.minimum(a, b) + np.maximum(a, b))
    assert exchanged not in found  # the axes have different lengths


def test_of_a_convolution_with_a_square_kernel():
    # 2 × 2 outputs would be too few steps; 3 × 3 outputs of a kernel of 2 on 4 × 4 inputs.
    outputs, inputs = (np.stack(np.divmod(np.arange(n * n), n)) for n in (3, 4))
    offset = inputs[:, None] - outputs[:, :, None]
    assert es.Partition(10 * offset[0] + offset[1]) in partitions((9, 16))


def test_of_which_patterns_a_partition_is_a_union():
    far = np.where(abs(LINE) > 2, 9, LINE)
    assert [one.num_groups for one in shifts_of(es.Partition(far).labels)] == [15]
    assert len(shifts_of(np.zeros((8, 8), np.int64))) == 4
    assert shifts_of(np.arange(64).reshape(8, 8)) == ()


def test_a_pattern_of_very_many_groups_is_left_out():
    assert shift_patterns((4100, 4)) == () != shift_patterns((500, 4))
    largest = shift_patterns((1024, 1024))
    assert max(one.num_groups for one in largest) == 63**2 <= MOST_GROUPS
    assert sum(one.names.nbytes + one.first.nbytes for one in largest) < 1 << 22  # labels are made at need
    assert shift_patterns((1025, 1024)) == ()


def test_permutations_that_keep_a_pattern_of_a_ring_or_torus():
    for labels, order in ((circulant(9), 9), (dihedral(9), 18), (torus(4, 4), 16), (torus(3, 5), 15), (LINE, 1)):
        (own,) = (one for one in shift_patterns(labels.shape) if es.Partition(one.labels) == es.Partition(labels))
        found = price.generated(own.labels, own.maps())
        assert (1 if found is None else round(np.exp(found.log_normaliser))) == order
        assert order == 1 or es.Partition(found.orbits) == es.Partition(labels)
    (wide,) = {id(one): one for one in shift_patterns((4, 6))}.values()
    assert wide.maps() == []


def test_the_price_of_a_union_of_shifts():
    labels = es.Partition(abs(LINE)).labels
    alone = price.log_prior(labels, Structure(), True)
    through = price.log_prior(labels, Structure(None, shifts_of(labels)), True)
    assert through[0] > alone[0] + 30
    # An eighth of the mass, of four patterns, half of it on this one as it is.
    few = np.logaddexp(np.log(0.94) - 0.5, np.log(0.05 / 8 / 8))
    exact = np.log(1 / 8 / 4 / 2) + few
    assert exact < through[1] < exact + 0.1


def test_shifts_up_to_the_boundary_are_found(tmp_path):
    rng = np.random.default_rng(0)
    kernel = rng.permutation(15) * 0.3
    found = es.discover(map_problem(kernel[LINE + 7], 400, rng))
    assert found.partition == es.Partition(LINE)
    group = found.symmetry()
    assert (group.name, group.verdict, group.extension.verdict) == ("trivial", "exact", "exact")
    assert group.explanation.startswith("Shift structure up to the boundary, exact: it holds with probability above 99")
    assert group.explanation.endswith("Closed to a ring of 15 positions it has group C_15.")
    assert found.belief.shift_log_odds > 20
    write_files(found.view(), tmp_path, group)
    told = json.loads((tmp_path / "labels.json").read_text(encoding="utf-8"))["symmetry"]
    assert (told["name"], told["verdict"], told["shifts"]["closed"]) == (None, "exact", "C_15")
    assert told["shifts"]["log_odds"] == found.belief.shift_log_odds
    assert told["probability"] == told["shifts"]["probability"] == group.probability > 0.99
    assert "shifts up to the boundary exact above 99.9 %" in repr(found) and "no symmetry" not in repr(found)
    assert "shifts up to the boundary exact" in repr(group)
    found.save(tmp_path / "found.npz")
    assert es.Discovery.load(tmp_path / "found.npz").belief.shift_log_odds == found.belief.shift_log_odds


def test_shifts_that_hold_nearly():
    rng = np.random.default_rng(1)
    weight = np.exp(-abs(LINE) / 2) + 0.04 * rng.standard_normal((8, 8))
    problem = map_problem(weight, 4000, rng)
    found = es.discover(problem)
    group = found.symmetry()
    assert (group.verdict, group.extension.verdict) == ("approximate", "approximate")
    low, high = found.belief.spread_interval
    assert low <= 0.04 <= high
    error = np.square(found.posterior_mean - weight).sum()
    assert error < np.square(found.theta - weight).sum()
    assert error < np.square(problem.estimate().values - weight).sum()


def test_no_shifts_are_told_where_there_are_none():
    rng = np.random.default_rng(2)
    for weight in (rng.standard_normal((6, 6)), 1.0 * rng.integers(0, 3, (8, 8)), 0.1 * rng.integers(0, 3, (8, 8))):
        found = es.discover(map_problem(weight, 200, rng))
        assert found.symmetry().verdict == "none"


def test_the_likely_ones_come_first():
    rng = np.random.default_rng(3)
    rows, columns = plane(4, 4)
    weight = np.exp(-abs(rows) - abs(columns))
    found = likely_shifts(Evidence(map_problem(weight, 3000, rng).estimate()))
    near, far = np.minimum(abs(rows), abs(columns)), np.maximum(abs(rows), abs(columns))
    assert es.Partition(found[0][0].labels) == es.Partition(10 * near + far)
    assert [score for _, score in found] == sorted(score for _, score in found)


def test_shifts_with_one_action():
    rng = np.random.default_rng(4)
    found = es.discover(map_problem(0.5 * rng.permutation(8)[abs(LINE)], 400, rng))
    group = found.symmetry(same_action=True)
    assert (group.name, group.verdict, group.extension.verdict) == ("C_2", "exact", "exact")


def test_shifts_of_a_weight_of_4356_entries():
    rng = np.random.default_rng(5)
    offset = np.arange(66) - np.arange(66)[:, None]
    found = es.discover(map_problem(np.exp(-abs(offset) / 2), 3000, rng))
    assert found.belief.shift_log_odds > 10
    assert (found.symmetry().verdict, found.symmetry().extension.verdict) == ("exact", "exact")


@pytest.mark.slow
def test_rings_of_photographs_keep_every_turn_and_flip():
    pytest.importorskip("sklearn")
    x, y = sample_rings(384, 96, 4.0)
    problem = es.LinearProblem(x[:192], y[:192], x_val=x[192:], y_val=y[192:])
    # Neighbouring points have nearly the same noise: a misfit over all outputs scatters more than they let think.
    assert problem.estimate().inflation > 3
    found = es.discover(problem)
    assert es.Partition(dihedral(96)).refines(found.partition)
    assert (found.symmetry().name, found.symmetry().verdict) == ("D_96", "exact")
