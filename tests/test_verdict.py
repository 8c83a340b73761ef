"""The verdict on a symmetry: exact, approximate or none, and the words that say it.

How probable a symmetry is, is fitted elsewhere: here the odds are given, and the curve is the identity.
"""

from dataclasses import replace

import numpy as np
import pytest
from report_cases import answer, believed, found, ring_labels

import equishare as es
from equishare.problems.answers import Belief
from equishare.result import verdict
from equishare.search import posterior

i = np.arange(8)
RING, CIRCULANT = ring_labels(8), (i - i[:, None]) % 8
VALID = np.where((i - i[:6, None] >= 0) & (i - i[:6, None] < 3), i - i[:6, None] + 1, 0)


@pytest.fixture(autouse=True)
def curve(monkeypatch):
    monkeypatch.setattr(posterior, "CURVE", (0.0, 1.0))


def told(d, **options) -> tuple[str, str]:
    group = d.symmetry(**options)
    return group.verdict, str(group)


def test_exact():
    kind, words = told(believed(found(RING)))
    assert kind == "exact"
    assert words == (
        "D_8, exact: it holds with probability above 99.9 %. Rotations and reflections of the ring (order 16). "
        "It explains every tie."
    )


def test_approximate():
    kind, words = told(believed(found(CIRCULANT), spread=0.123, log_odds=np.log(9)))
    assert kind == "approximate"
    assert words == (
        "C_8, approximate: it holds nearly, with probability 90.0 %. Cyclic shifts (order 8). It explains every tie. "
        "The entries of a group scatter by 0.12 about its value."
    )


@pytest.mark.parametrize("labels", [RING, np.arange(64).reshape(8, 8)], ids=["symmetric", "nothing tied"])
def test_none_names_the_best_guess_alone(labels):
    kind, words = told(believed(found(labels), log_odds=-np.log(9), guess=CIRCULANT))
    assert kind == "none"
    assert words == "No symmetry can be told from these data. The best guess is C_8, with probability 10.0 %."


@pytest.mark.parametrize("spread", [0.0, 0.1])
def test_none_without_a_guess(spread):
    d = found(np.arange(64).reshape(8, 8))
    d = replace(d, belief=Belief(spread, (0.0, 0.2), d.theta, -np.inf, None))
    assert told(d) == ("none", "No symmetry can be told from these data.")
    assert d.symmetry_probability == 0


def test_shift_structure_up_to_a_boundary_is_told_and_not_judged():
    kind, words = told(believed(found(VALID), log_odds=-np.inf, guess=CIRCULANT))
    assert kind == "none"
    assert words.endswith(
        "with probability below 0.1 %. Shift structure up to the boundary: closed to a ring of 8 positions it has "
        "group C_8. This is not judged."
    )


def test_a_part_without_one_action():
    # Sure are shifts of the outputs against the inputs, which no permutation of both alike makes.
    d = believed(found(np.zeros((8, 8), int)), log_odds=np.log(9), guess=CIRCULANT[[0, 2, 1, 5, 4, 3, 7, 6]])
    assert told(d)[0] == "exact"
    assert told(d, same_action=True)[0] == "none"


def shifted(labels, shifts, **options):
    d = believed(found(labels), **options)
    return replace(d, belief=replace(d.belief, shift_log_odds=shifts))


def test_shifts_up_to_a_boundary():
    d = shifted(VALID, np.log(9), spread=0.12, log_odds=-np.inf, guess=CIRCULANT)
    kind, words = told(d)
    assert kind == d.symmetry().extension.verdict == "approximate"
    assert words == (
        "Shift structure up to the boundary, approximate: it holds nearly, with probability 90.0 %. "
        "Closed to a ring of 8 positions it has group C_8. The entries of a group scatter by 0.12 about its value."
    )
    kind, words = told(shifted(VALID, -np.log(9), log_odds=-np.inf, guess=CIRCULANT))
    assert kind == "none"
    assert words.endswith("closed to a ring of 8 positions it has group C_8. This is probable to 10.0 %.")


@pytest.mark.parametrize(("shifts", "kind"), [(np.log(4), "exact"), (-np.log(4), "none"), (np.nan, "none")])
def test_shifts_beside_a_symmetry(shifts, kind):
    labels = abs(np.arange(6) - np.arange(6)[:, None])
    d = shifted(labels, shifts, log_odds=np.log(9))
    verdict, words = told(d)
    group = d.symmetry()
    assert (verdict, group.name, group.extension.verdict) == ("exact", "C_2", kind)
    first, second = "C_2, exact: it holds with probability 90.0 %. An exchange", "Shift structure up to the boundary"
    if kind == "exact":
        first, second = f"{second}, exact: it holds with probability 80.0 %. Closed to a ring of 10 positions", first
    assert words.startswith(first) and second in words
    assert words.endswith("This is not judged.") == np.isnan(shifts)
    assert words.endswith("This is probable to 20.0 %.") == (shifts < 0)


def test_shifts_beside_a_symmetry_that_is_not_sure():
    d = shifted(abs(np.arange(6) - np.arange(6)[:, None]), np.log(4), log_odds=-np.log(9))
    group = d.symmetry()
    assert (group.name, group.order, group.verdict, group.extension.verdict) == ("trivial", 1, "exact", "exact")
    assert "C_2" not in group.explanation


def test_of_a_large_weight_shifts_alone_are_judged():
    d = shifted(RING, np.log(4), log_odds=np.nan)
    assert told(replace(d, belief=replace(d.belief, guess=None)))[1].startswith(
        "D_8, exact: it holds with probability 80.0 %"
    )
    d = shifted(RING, -np.log(4), log_odds=np.nan)
    assert told(replace(d, belief=replace(d.belief, guess=None))) == (
        "none",
        "No symmetry can be told from these data.",
    )


def test_a_guess_whose_symmetry_the_pattern_does_not_have():
    labels = np.where(np.eye(8, dtype=bool), 0, 1)
    labels[0, 1:] = labels[1:, 0] = 2
    d = believed(found(labels), log_odds=np.log(9), guess=RING)
    assert told(d)[0] == "none"
    assert told(d)[1].endswith("Nearly as good a pattern has the symmetry D_8, which holds with probability 90.0 %.")


def test_a_pattern_without_symmetry_beside_one_that_has_it():
    kind, words = told(believed(found(np.arange(64).reshape(8, 8)), log_odds=np.log(3), guess=CIRCULANT))
    assert kind == "none"
    assert words.startswith("trivial: ")
    assert words.endswith("Nearly as good a pattern has the symmetry C_8, which holds with probability 75.0 %.")


def test_a_part_of_the_symmetry_that_is_sure():
    d = believed(found(RING), log_odds=np.log(9), guess=CIRCULANT)
    kind, words = told(d)
    assert kind == "exact"
    assert words.startswith("C_8, exact: it holds with probability 90.0 %. Cyclic shifts (order 8). It leaves ties ")
    assert words.endswith(" The pattern has all of D_8, which these data do not make sure.")
    group = d.symmetry()
    assert (group.order, group.closure_gap, group.partition) == (8, 24, es.Partition(RING))
    assert d.symmetry(same_action=True).name == "C_8"


class TestSameAction:
    def test_is_a_part_of_what_was_judged(self):
        d = believed(found(CIRCULANT), log_odds=np.log(3))
        kind, words = told(d, same_action=True)
        assert kind == "exact"
        assert words.startswith("C_8, exact: it holds with probability at least 75.0 %. Cyclic shifts")

    def test_where_there_is_none(self):
        # The outputs are out of order, so that no permutation alone turns both.
        d = believed(found(CIRCULANT[[0, 2, 1, 5, 4, 3, 7, 6]]))
        assert told(d)[0] == "exact"
        kind, words = told(d, same_action=True)
        assert kind == "none"
        assert words.startswith("trivial: only the identity")
        assert "told" not in words and "probability" not in words


@pytest.mark.parametrize(
    ("labels", "spread", "kind", "start"),
    [
        ([0, 0, 1, 1, 2], 0.0, "exact", "C_2 × C_2, exact: an exchange of 2 entries"),
        ([0, 0, 1, 1, 2], 0.1, "approximate", "C_2 × C_2, approximate: an exchange of 2 entries"),
        ([0, 1, 2], 0.0, "none", "trivial: only the identity"),
    ],
)
def test_means_have_no_probability(labels, spread, kind, start):
    d = replace(believed(found(labels), spread), belief=Belief(spread, (0.0, 0.2), np.zeros(len(labels))))
    assert told(d)[0] == kind
    assert told(d)[1].startswith(start)
    assert "probability" not in told(d)[1]
    assert np.isnan(d.symmetry_probability)


class TestRepr:
    """The line that a prompt shows does not name a group without saying how sure it is."""

    @pytest.mark.parametrize(
        ("odds", "shown"),
        [(20.0, "D_8, verdict='exact', probability=0.999, order=16"), (-20.0, "D_8, verdict='none', order=16")],
    )
    def test_of_a_judged_group(self, odds, shown):
        group = believed(found(RING), log_odds=odds).symmetry()
        assert repr(group).startswith(f"SymmetryGroup({shown}, shape=(8, 8)")
        assert np.isnan(group.probability) == (group.verdict == "none")

    def test_of_a_pattern(self):
        assert repr(es.symmetry_group(RING)).startswith("SymmetryGroup(D_8, order=16")

    def test_a_notebook_shows_the_sentence(self):
        group = believed(found(RING), log_odds=20.0).symmetry()
        assert group._repr_html_() == f"<p>{group}</p>"


def named(patterns, mean):
    values = {name: np.arange(es.Partition(labels).num_groups) for name, labels in patterns.items()}
    belief = Belief(0.0, (0.0, 0.0), mean, 100.0, CIRCULANT)
    return answer(patterns, values, named=True, belief=belief, validation_loss=1.0, history={})


def test_a_parameter_with_a_name_has_its_means_by_name():
    mean = np.arange(64.0)
    ((name, shown),) = named({"a": CIRCULANT}, mean).posterior_mean.items()
    assert name == "a"
    np.testing.assert_array_equal(shown, mean.reshape(8, 8))


def test_several_parameters_are_judged_each():
    d = named({"a": CIRCULANT, "b": np.arange(64).reshape(8, 8)}, np.zeros(64))
    assert {name: group.verdict for name, group in d.symmetry().items()} == {"a": "exact", "b": "none"}


def test_without_a_belief_nothing_is_said():
    d = found(RING)
    assert d.symmetry().explanation == es.symmetry_group(RING).explanation
    assert np.isnan([d.spread, d.symmetry_log_odds, d.symmetry_probability]).all()
    np.testing.assert_array_equal(d.posterior_mean, d.theta)


@pytest.mark.parametrize(
    ("probability", "words"),
    [(1.0, "above 99.9 %"), (0.931, "93.1 %"), (0.5, "50.0 %"), (0.002, "0.2 %"), (0.0, "below 0.1 %")],
)
def test_probabilities_in_words(probability, words):
    assert verdict.percent(probability) == words


@pytest.mark.parametrize(
    ("scatter", "kind"), [(0.0, "exact"), (0.15, "approximate"), (None, "none")], ids=["exact", "approximate", "none"]
)
def test_of_data(scatter, kind):
    rng = np.random.default_rng(0)
    weight = np.array([1.8, -1.2, 0.6, 0.0, 2.4, -0.6, 1.2, -1.8])[CIRCULANT]
    weight = rng.normal(size=(8, 8)) if scatter is None else weight + scatter * rng.normal(size=(8, 8))
    x = rng.normal(size=(800, 8))
    y = x @ weight.T + rng.normal(size=(800, 8))
    d = es.discover(es.LinearProblem(x[:400], y[:400], x_val=x[400:], y_val=y[400:]))
    group = d.symmetry()
    assert group.verdict == kind
    assert (group.name == "C_8") == (kind != "none")
    if scatter is not None:
        low, high = d.belief.spread_interval
        assert low <= scatter <= high
