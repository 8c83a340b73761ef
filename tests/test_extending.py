"""Problems and methods from outside: what the protocols promise, and what is refused."""

from dataclasses import dataclass

import numpy as np
import pytest
from model_cases import columns_problem

import equishare as es
from equishare.methods import METHODS, methods_for, name_of
from equishare.problems import About, BlockEstimate, Proposal, Refit, Session, Slot
from equishare.problems.estimates import as_blocks, fit_estimate
from equishare.problems.network.session import NetworkSession
from equishare.problems.network.training import SearchOptions
from equishare.search.evidence import Evidence

RNG = np.random.default_rng(0)
TRUTH = {"a": np.array([0, 0, 1, 1]), "b": np.array([[0, 1], [1, 0]])}


class Plain:
    """An Estimate of nothing but the members of the protocol."""

    def __init__(self, values, precision, freedom=50.0):
        self.values, self.precision, self.freedom = values, precision, freedom
        self.variance = np.diag(np.linalg.inv(precision)).reshape(values.shape)

    def apply(self, w):
        return (self.precision @ w.ravel()).reshape(w.shape)

    def gather(self, labels, num_groups):
        a = np.eye(num_groups)[labels.ravel()]
        return a.T @ self.apply(self.values).ravel(), a.T @ self.precision @ a


class Normal:
    """One parameter that was measured with a known covariance, and once more to validate."""

    def __init__(self, values, val, precision, plain=True):
        self.values, self.val, self.precision, self.plain = values, val, precision, plain
        self.slots = (Slot.of("w", values.shape),)

    def estimate(self, on="all"):
        if self.plain:
            return Plain(self.values, self.precision)
        return BlockEstimate.dense(self.values, np.linalg.inv(self.precision), 50.0)

    def _fit(self, labels):
        return fit_estimate(as_blocks(self.estimate()), labels.reshape(self.values.shape), labels.max() + 1)[0]

    def evaluate(self, patterns):
        return np.array([((self.val - self._fit(one)[one].reshape(self.val.shape)) ** 2).mean() for (one,) in patterns])

    def refit(self, pattern):
        free = (np.arange(self.values.size),)
        return Refit({"w": self._fit(pattern[0])}, *self.evaluate([pattern, free]))

    def resampled(self, generator):
        noise = generator.multivariate_normal(np.zeros(self.values.size), np.linalg.inv(self.precision))
        return Normal(self.values + noise.reshape(self.values.shape), self.val, self.precision, self.plain)

    def about(self):
        return About("which entries of w are equal", None, None, loss="squared error")


def normal(labels, plain, seed=0):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(labels.size, labels.size))
    precision = 200 * (np.eye(labels.size) + 0.1 * root @ root.T)
    noise = rng.multivariate_normal(np.zeros(labels.size), np.linalg.inv(precision), size=2)
    values = 1.0 * labels + noise.reshape(2, *labels.shape)
    return Normal(*values, precision, plain)


LABELS = {"vector": np.array([0, 0, 1, 2, 1, 2, 2]), "matrix": np.array([[0, 1, 2], [2, 0, 1], [1, 2, 0]])}


@pytest.mark.parametrize(
    "method", [m for m in methods_for(False, without_options=True) if m not in ("bilevel", "sinkhorn")]
)
@pytest.mark.parametrize("plain", [True, False], ids=["members only", "dense"])
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_every_method_takes_a_problem_from_outside(labels, plain, method):
    found = es.discover(normal(labels, plain), method)
    # A loss on held-out data takes apart what the noise tells apart.
    if method in ("merge", "brute_force", "no_sharing"):
        assert found.partition.refines(es.Partition(labels))
    else:
        assert found.partition == es.Partition(labels)
    assert found.values.shape == (found.partition.num_groups,)
    assert found.theta.shape == labels.shape
    assert np.isfinite(found.validation_loss)


@pytest.mark.parametrize("method", ["bilevel", "sinkhorn"])
def test_relaxations_say_what_they_take(method):
    with pytest.raises(TypeError, match=f"method '{method}' takes means, linear maps and networks, got a Normal"):
        es.discover(normal(LABELS["vector"], True), method)


def test_members_are_enough_for_confidence_files_and_report(tmp_path):
    labels = LABELS["matrix"]
    found = es.discover([normal(labels, True), normal(labels, True, seed=1)], resamples=4)
    assert [d.confidence.labels.shape for d in found] == [(4, 9)] * 2
    found[0].save(tmp_path / "d.npz")
    loaded = es.Discovery.load(tmp_path / "d.npz")
    assert loaded.partition == found[0].partition
    assert loaded.about == found[0].about
    np.testing.assert_array_equal(loaded.values, found[0].values)
    found[0].report(tmp_path / "d.html")
    page = (tmp_path / "d.html").read_text(encoding="utf-8")
    assert "which entries of w are equal" in page and "not recorded" not in page
    assert found[0].symmetry().order == 3
    assert found[0].plot_history().axes[0].get_ylabel() == "squared error"


def test_an_estimate_of_members_is_the_dense_one():
    problems = [normal(LABELS["matrix"], plain) for plain in (True, False)]
    scores = [Evidence(as_blocks(p.estimate())).score(LABELS["matrix"])[1] for p in problems]
    assert scores[0] == pytest.approx(scores[1])
    large = Plain(np.zeros(2), np.eye(2))
    large.values = np.zeros(5000)
    with pytest.raises(ValueError, match="may have at most 4096 entries, got 5000"):
        as_blocks(large)


@pytest.mark.parametrize("kind", ["diagonal", "dense"])
def test_a_known_noise_level_is_the_limit_of_many_degrees_of_freedom(kind):
    values = np.array([0.0, 0.1, 1.0, 1.1, 3.0])
    scores = []
    for freedom in (1e9, np.inf):
        if kind == "diagonal":
            estimate = BlockEstimate.diagonal(values, np.full(5, 0.01), freedom)
        else:
            estimate = BlockEstimate.dense(values, 0.01 * np.eye(5), freedom)
        labels = [np.array(one) for one in ([0, 0, 1, 1, 2], [0, 0, 0, 0, 0], [0, 1, 2, 3, 4])]
        scores.append([Evidence(estimate).score(one) for one in labels])
    for known, limit in zip(*scores, strict=True):
        assert known[0] == limit[0]
        assert known[1] == pytest.approx(limit[1], rel=1e-6)


def test_dense_and_diagonal_estimates_check_their_shapes():
    with pytest.raises(ValueError, match=r"covariance must have shape \(3, 3\), got \(2, 2\)"):
        BlockEstimate.dense(np.zeros(3), np.eye(2))


class Two:
    """Two parameters with names, each measured by itself."""

    def __init__(self, rng):
        self.values = {name: labels + 0.05 * rng.normal(size=labels.shape) for name, labels in TRUTH.items()}
        self.slots = tuple(Slot.of(name, labels.shape) for name, labels in TRUTH.items())

    def estimate(self, on="all"):
        return None

    def evaluate(self, patterns):
        return np.array([sum(map(self._misfit, TRUTH, labels)) for labels in patterns])

    def _misfit(self, name, labels):
        values, labels = self.values[name].ravel(), labels.ravel()
        means = np.bincount(labels, values) / np.bincount(labels)
        return ((values - means[labels]) ** 2).sum() + 0.01 * len(means)

    def refit(self, pattern):
        values = {}
        for name, labels in zip(TRUTH, pattern, strict=True):
            values[name] = np.bincount(labels.ravel(), self.values[name].ravel()) / np.bincount(labels.ravel())
        free = tuple(np.arange(4).reshape(labels.shape) for labels in TRUTH.values())
        return Refit(values, *self.evaluate([pattern, free]))

    def resampled(self, generator):
        return Two(generator)

    def about(self):
        return About("what is equal in a and b", 4, 4)


class EveryPair:
    """All partitions of either parameter into at most two groups."""

    @dataclass(frozen=True)
    class Options:
        """No options."""

    def propose(self, session, options):
        two = [np.array([int(bit) for bit in f"{code:03b}0"[::-1]]) for code in range(8)]
        two = [es.Partition(one).labels for one in two]
        every = [(a, b.reshape(2, 2)) for a in two for b in two]
        return [Proposal(every) for _ in session.problems]


def test_several_parameters_have_answers_by_name(tmp_path):
    found = es.discover(Two(RNG), EveryPair(), resamples=3)
    assert found.method == "EveryPair"
    assert found.partitions == {name: es.Partition(labels) for name, labels in TRUTH.items()}
    assert set(found.values) == set(found.theta) == set(found.confidence) == set(found.symmetry()) == set(TRUTH)
    with pytest.raises(ValueError, match=r"there are several partitions: partitions\[name\] for a, b"):
        _ = found.partition
    assert found.history["num_groups"].tolist()[:2] == [2, 3]
    found.save(tmp_path / "two.npz")
    loaded = es.Discovery.load(tmp_path / "two.npz")
    assert loaded.partitions == found.partitions
    found.report(tmp_path / "two.html")
    assert "Pattern of b" in (tmp_path / "two.html").read_text(encoding="utf-8")
    given = es.discover(Two(RNG), "oracle", partition=TRUTH)
    assert given.partitions == found.partitions


class Tied:
    """Everything tied, nothing tied, and the truth: judged by the session, whatever the problem."""

    Options = SearchOptions

    def propose(self, session, options):
        patterns = [(np.zeros(4, int),), (np.arange(4),), (np.array([0, 1, 0, 1]),)]
        losses = session.evaluate([patterns] * len(session.problems))
        return [Proposal(patterns, own) for own in losses]


def test_a_method_from_outside_serves_networks():
    found = es.discover([columns_problem(), columns_problem(seed=3)], Tied(), lr=0.1, refit_steps=60)
    assert [d.partition.labels.tolist() for d in found] == [[0, 1, 0, 1]] * 2
    assert all(d.model is not None for d in found)


class Wrong:
    Options = EveryPair.Options

    def propose(self, session, options):
        return []


class Nothing(Normal):
    def estimate(self, on="all"):
        return None


class Unscored:
    Options = EveryPair.Options

    def propose(self, session, options):
        patterns = [(np.zeros(7, int),), (np.arange(7),)]
        return [Proposal(patterns, np.array([np.nan, np.nan]))]


class Short:
    Options = EveryPair.Options

    def propose(self, session, options):
        return [Proposal([np.zeros(3, int)])]


class Proposing:
    """Whatever it is given."""

    Options = EveryPair.Options

    def __init__(self, *patterns, whole=None, **more):
        self.proposal = Proposal(list(patterns), **more) if whole is None else whole

    def propose(self, session, options):
        return [self.proposal] * len(session.problems) if isinstance(self.proposal, Proposal) else self.proposal


class Refitting(Normal):
    given = None

    def refit(self, pattern):
        return self.given


def refitting(given):
    one = Refitting(VECTOR.values, VECTOR.val, VECTOR.precision)
    one.given = given
    return one


class Seeded:
    @dataclass(frozen=True)
    class Options:
        seed: int = 0

    propose = EveryPair.propose


class Estimating:
    NEEDS_ESTIMATE = True
    Options = EveryPair.Options


Estimating.propose = Tied.propose
VECTOR = normal(LABELS["vector"], False)
ZEROS, FREE = np.zeros(7, int), np.arange(7)
NOTHING = Nothing(VECTOR.values, VECTOR.val, VECTOR.precision)


class TrainedSession(Session):
    is_trained = True


class Trained(Nothing):
    """Judged by its own session, and without a module."""

    Session = TrainedSession

    def _fit(self, labels):
        return VECTOR._fit(labels)


def test_a_problem_that_is_trained_brings_a_session_of_its_own(tmp_path):
    labels = LABELS["vector"]
    found = es.discover(Trained(VECTOR.values, VECTOR.val, VECTOR.precision), Proposing(labels))
    assert found.partition == es.Partition(labels) and found.values.shape == (3,)
    found.save(tmp_path / "d.npz")
    np.testing.assert_array_equal(es.Discovery.load(tmp_path / "d.npz").values, found.values)


REFUSED = [
    (lambda: Slot.of("w", 3), TypeError, r"shape must be a tuple of integers such as \(3,\), got 3"),
    (
        lambda: es.discover(VECTOR, lr=0.1),
        TypeError,
        r"no options \(lr: for problems that are trained\)",
    ),
    (lambda: es.discover(columns_problem(), "bilevel", unit="mse"), TypeError, r"\(unit: for means and linear maps\)"),
    (lambda: es.discover(VECTOR, Proposing()), ValueError, "'Proposing' must propose at least one pattern"),
    (
        lambda: es.discover(VECTOR, Proposing(whole=3)),
        TypeError,
        "'Proposing' must return a list of Proposals, got int",
    ),
    (lambda: es.discover(VECTOR, Proposing(ZEROS, FREE, scores=[1.0])), ValueError, r"scores of .* must be 2, got"),
    (lambda: es.discover(VECTOR, Proposing(ZEROS, as_good=[False])), ValueError, "must mark at least one pattern"),
    (lambda: es.discover(VECTOR, Proposing(ZEROS, history={"a": ["x"]})), ValueError, "columns of numbers"),
    (lambda: es.discover(VECTOR, Proposing((ZEROS, ZEROS))), ValueError, "a label array for each of 1 slots, got 2"),
    (lambda: es.discover(VECTOR, Proposing(ZEROS + 0.5)), ValueError, "labels must be integers, got 0.5"),
    (lambda: es.discover(VECTOR, Seeded()), TypeError, "must not have names of discover, got seed"),
    (
        lambda: es.discover(refitting(None), "gap"),
        ValueError,
        "with the values of 'w', got NoneType",
    ),
    (lambda: es.discover(refitting(Refit({"v": ZEROS}, 0, 0)), "gap"), ValueError, "values of 'w', got 'v'"),
    (lambda: es.discover(refitting(Refit({"w": ZEROS}, 0, 0)), "gap"), ValueError, "must return 3 values of 'w'"),
    (lambda: es.discover(NOTHING), ValueError, "a Nothing has no estimate of the entries"),
    (lambda: es.discover(NOTHING, "gap"), ValueError, "needs the estimate of one parameter"),
    (lambda: es.discover(Two(RNG), "merge"), ValueError, "a Two has 2 parameters, 'a', 'b'"),
    (lambda: es.discover(VECTOR, Unscored()), FloatingPointError, "none of 2 candidates has a finite score"),
    (lambda: es.discover(VECTOR, Short()), ValueError, r"must have \[7\] labels, .* got \[3\]"),
    (lambda: es.discover(columns_problem(), Estimating()), ValueError, "method 'Estimating' needs an estimate"),
    (lambda: es.discover(es.ModelProblem), TypeError, "problem must be a MeanProblem"),
    (
        lambda: es.discover(Two(RNG), Wrong()),
        ValueError,
        "method 'Wrong' must return a Proposal for each of 1 problems",
    ),
    (lambda: es.discover(Two(RNG), 3), TypeError, "method must be a name or have Options and propose"),
    (lambda: es.discover(object()), TypeError, "problem must be a MeanProblem, .* got object"),
    (lambda: es.discover([Two(RNG), columns_problem()]), TypeError, "of one kind, got ModelProblem, Two"),
    (
        lambda: es.discover(Two(RNG), EveryPair(), most=3),
        TypeError,
        "method 'EveryPair' has no option most; it takes no",
    ),
    (lambda: es.discover(Two(RNG), "brute_force"), ValueError, "method 'brute_force' takes one parameter, got a, b"),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_patterns_may_be_written_in_several_ways():
    labels = LABELS["vector"]
    for pattern in (labels, labels.tolist(), es.Partition(labels), 3 * labels - 5, (labels,)):
        found = es.discover(VECTOR, Proposing(pattern, ZEROS, scores=np.array([0.0, 0.0])))
        assert found.partition.num_groups == 1  # of equal scores the one with the fewest groups
        found = es.discover(VECTOR, Proposing(pattern), resamples=2)
        assert found.partition == es.Partition(labels)
        assert (found.confidence.labels == es.Partition(labels).labels).all()


BAD_ESTIMATES = [
    (lambda: BlockEstimate.diagonal([np.nan, 1.0], [1.0, 1.0]), "values of an estimate must be finite"),
    (lambda: BlockEstimate.diagonal([0.0, 1.0], [0.0, 1.0]), "variances of an estimate must be finite and above 0"),
    (lambda: BlockEstimate.diagonal([0.0, 1.0], 1.0), r"variance must have the shape of values, \(2,\), got \(\)"),
    (lambda: BlockEstimate.diagonal([0.0, 1.0], [1.0, 1.0], 0.0), "freedom must be above 0, got 0"),
    (
        lambda: BlockEstimate.dense([0.0, 1.0], [[1.0, 2.0], [2.0, 1.0]]),
        "must be symmetric and positive definite",
    ),
    (
        lambda: BlockEstimate.dense([0.0, 1.0], [[1.0, 0.5], [0.0, 1.0]]),
        "must be symmetric and positive definite",
    ),
]


@pytest.mark.parametrize(("make", "message"), BAD_ESTIMATES)
def test_bad_estimates_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_folder_is_the_registry():
    assert next(iter(METHODS)) == "auto"
    assert {"bilevel", "brute_force", "closure", "gap", "merge", "no_sharing", "oracle", "sinkhorn"} < set(METHODS)
    assert [name_of(method) for method in METHODS.values()] == list(METHODS)
    assert methods_for(True) == ["auto", "bilevel", "no_sharing", "oracle", "sinkhorn"]
    assert "oracle" not in methods_for(False, without_options=True)


def test_patterns_are_trained_once_and_each_under_its_own_name(tmp_path):
    """What a method asks for one after another comes from the checkpoint as it was fitted."""

    def losses(path):
        options = SearchOptions(lr=0.1, refit_steps=60, checkpoint=path)
        session = NetworkSession([columns_problem()], method="mine", options=options)
        asked = [[0, 0, 0, 0], [0, 1, 0, 1]], [[0, 1, 0, 1], [0, 1, 2, 3]], [[0, 0, 0, 1]]
        return [session.evaluate([[(np.array(one),) for one in several]])[0].tolist() for several in asked]

    path = tmp_path / "kept.pt"
    first = losses(None)
    assert first[0][1] == first[1][0]
    assert losses(path) == losses(path) == first
