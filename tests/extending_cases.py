"""Problems and methods from outside the package, for the tests of the protocols."""

from dataclasses import dataclass

import numpy as np

import equishare as es
from equishare.problems import About, BlockEstimate, Proposal, Refit, Slot
from equishare.problems.estimates import as_blocks, fit_estimate
from equishare.problems.network.training import SearchOptions

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


class Tied:
    """Everything tied, nothing tied, and the truth: judged by the session, whatever the problem."""

    Options = SearchOptions

    def propose(self, session, options):
        patterns = [(np.zeros(4, int),), (np.arange(4),), (np.array([0, 1, 0, 1]),)]
        losses = session.evaluate([patterns] * len(session.problems))
        return [Proposal(patterns, own) for own in losses]


class Proposing:
    """Whatever it is given."""

    Options = EveryPair.Options

    def __init__(self, *patterns, whole=None, **more):
        self.proposal = Proposal(list(patterns), **more) if whole is None else whole

    def propose(self, session, options):
        return [self.proposal] * len(session.problems) if isinstance(self.proposal, Proposal) else self.proposal


VECTOR = normal(LABELS["vector"], False)
ZEROS, FREE = np.zeros(7, int), np.arange(7)


class Nothing(Normal):
    def estimate(self, on="all"):
        return None
