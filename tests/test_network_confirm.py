"""The pattern that is selected beside no sharing, on samples that are held out, and by its entries."""

import dataclasses

import numpy as np
import pytest
import torch
from model_cases import LINEAR_LABELS, linear, linear_data, made, mse, split
from scipy.stats import norm
from torch import nn

import equishare as es
from equishare.methods import auto
from equishare.problems.network import confirm, refit
from equishare.problems.network.found import Found
from equishare.problems.network.patterns import Pattern
from equishare.problems.network.refit import cross_validated
from equishare.problems.network.replicas import Replicas, stacked
from equishare.problems.network.session import NetworkSession
from equishare.search import by_training
from equishare.search.shown import shown

FEW = np.array([[1.0, 2.0, 2.0], [3.0, 1.0, 2.0], [2.0, 2.0, 1.0]])


def circulant_problem(seed=0):
    return es.ModelProblem(linear(), *split(linear_data(seed, 40), 20), mse)


@pytest.mark.slow
def test_what_cross_validation_shows_to_be_worse_than_no_sharing_is_refused(monkeypatch):
    asked, sizes = [], np.full(16, 4)
    brief = {"lr": 0.1, "steps": 40, "refit_steps": 60, "restarts": 1}

    def judged(trainer, owner, trained, seed):
        losses, own = cross_validated(trainer, owner, trained, seed)
        asked.append((owner, [one.pattern.num_groups for one in trained], losses @ own / own.sum()))
        return np.array([[1.0], [1.0], [1.005], [1.02]]) * np.ones(16), sizes

    monkeypatch.setattr(confirm, "cross_validated", judged)
    kept, refused = es.discover([circulant_problem(), circulant_problem(1)], **brief)
    assert kept.partition == es.Partition(LINEAR_LABELS)
    assert refused.partition.num_groups == 9
    ((owner, groups, losses),) = asked
    assert owner == [0, 1, 0, 1] and groups == [(9,), (9,), (3,), (3,)]
    assert (losses[2:] < losses[:2]).all() and (losses > 0.005).all()
    es.discover(circulant_problem(), **brief, standard_errors=0)
    assert len(asked) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("held_out", "first", "kept"),
    [
        (-0.01, -0.12, True),
        (0.009, -0.12, True),  # one percent is nothing
        (0.02, -0.12, False),
        (-0.01, -0.06, False),
    ],
)
def test_a_pattern_of_few_is_kept_where_the_first_fits_show_more_than_luck(monkeypatch, held_out, first, kept):
    # The luckiest of eight patterns is lucky by 1.39 standard errors, a little more by Student's t: here by .075.
    wiggle = np.where(np.arange(16) % 2, 0.2, -0.2)
    blocks = {2: 1 + first + wiggle, 4: np.ones(16)}

    def judged(*_args):
        return np.stack([np.ones(16), 1 + held_out + wiggle]), np.full(16, 4)

    def first_fits(_replicas, _owner, fit, *_args, **_kwargs):
        groups = len(next(iter(fit.lower.values()))[0])
        return blocks[groups][None], np.full(16, 4)

    def build():
        model = nn.Embedding(4, 2)
        es.share(model, "weight", dim=0)
        return model

    i = torch.arange(40) % 4
    samples = i, torch.tensor([[1.0, 2.0], [0.0, 1.0]], dtype=torch.float64)[i % 2]
    pattern = Pattern([np.array([0, 1, 0, 1])])
    problem, options = es.ModelProblem(made(build), samples, samples, mse), {"lr": 0.1, "steps": 20, "refit_steps": 20}
    session = NetworkSession([problem], method="auto", options=auto.Options(**options))
    found, states = session.found[0], (stacked(session.replicas.start, 1), stacked(session.replicas.buffers, 1))
    assert session.unshared is not None  # the network without sharing is a candidate
    session.try_patterns([0], [pattern], *states, "the pattern", mean=False)
    monkeypatch.setattr(Found, "best", lambda self: self[pattern])
    session.contest([0], "contest")
    found[pattern] = dataclasses.replace(found[pattern], losses=np.ones(16), sizes=np.full(16, 4))
    monkeypatch.setattr(confirm, "cross_validated", judged)
    monkeypatch.setattr(confirm, "block_losses", first_fits)
    confirm.confirm(session, lambda _problems: set())
    assert found.is_refused != kept


@pytest.mark.parametrize(
    ("groups", "size", "count"), [((1,), 8, 1), ((2,), 4, 8), ((2, 2), 4, 64), ((3,), 6, 121.5), ((4, 2), 4, 8)]
)
def test_the_luckiest_of_many_patterns_is_lucky_by_the_median_of_their_greatest(groups, size, count):
    luck = confirm._luck(Pattern([np.arange(size) % g for g in groups]))
    assert luck == pytest.approx(norm.ppf(0.5 ** (1 / count)), abs=1e-9)


def test_luck_of_more_patterns_than_there_are_numbers_is_finite():
    # For so many, sqrt(2 log N), about.
    groups, size = 400, 10_000
    log_count = size * np.log(groups) - (groups * np.log(groups) - groups)
    luck = confirm._luck(Pattern([np.arange(size) % groups]))
    assert luck == pytest.approx(np.sqrt(2 * log_count), rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("difference", "likely", "kept"),
    [
        (-0.2, False, True),
        (-0.105, False, True),  # below by less than two standard errors, but not by more than one percent less
        (-0.09, False, False),
        (0.11, True, True),
        (0.13, True, False),
        (np.nan, True, False),
        (np.inf, True, False),
    ],
)
def test_a_pattern_must_be_better_by_two_standard_errors_unless_its_entries_show_it(
    monkeypatch, difference, likely, kept
):
    # Losses that differ by 0.2 and -0.2 in turn from their mean: with 16 blocks two standard errors are 0.110.
    wiggle = np.where(np.arange(16) % 2, 0.2, -0.2)

    def judged(*_args):
        return np.stack([np.ones(16), 1 + difference + wiggle]), np.full(16, 4)

    monkeypatch.setattr(confirm, "cross_validated", judged)
    monkeypatch.setattr(by_training, "shown", lambda _session, problems: set(problems) if likely else set())
    found = es.discover(circulant_problem(), lr=0.1, steps=40, refit_steps=60, restarts=1)
    assert (found.partition.num_groups == 3) == kept


@pytest.mark.slow
@pytest.mark.parametrize(("gains", "kept"), [((0.8, 0, 0, 0), False), ((0.2, 0.25, 0.15, 0.2), True)])
def test_one_part_whose_fit_is_bad_does_not_show_a_pattern(monkeypatch, gains, kept):
    # The blocks of one part share a fit: by the 16 blocks alone a mean gain of .2 would be above two standard errors.
    def judged(*_args):
        return np.stack([np.ones(16), 1 - np.repeat(gains, 4)]), np.full(16, 4)

    monkeypatch.setattr(confirm, "cross_validated", judged)
    monkeypatch.setattr(by_training, "shown", lambda _session, _problems: set())
    found = es.discover(circulant_problem(), lr=0.1, steps=40, refit_steps=60, restarts=1)
    assert (found.partition.num_groups == 3) == kept


@pytest.mark.slow
def test_samples_that_are_held_out_are_validation_samples(monkeypatch):
    parts = []

    def replicas(problems, *args):
        parts.extend(problems)
        return Replicas(problems, *args)

    monkeypatch.setattr(refit, "Replicas", replicas)
    whole = circulant_problem()
    es.discover(whole, lr=0.1, steps=40, refit_steps=60, restarts=1)
    assert len(parts) == 4
    rows = {tuple(row) for row in whole.val.x[0].tolist()}
    for part in parts:
        held = [tuple(row) for row in part.val.x[0].tolist()]
        assert set(held) <= rows and len(held) == len(rows) // 4
        fitted = {tuple(row) for row in part.train.x[0].tolist()}
        assert not fitted & set(held) and len(fitted) == len(whole.train) + len(rows) - len(held)


@pytest.mark.slow
@pytest.mark.parametrize(("gain", "kept"), [(0.0, True), (1.0, False)])
def test_of_a_data_loader_the_fits_to_the_training_samples_are_compared(monkeypatch, gain, kept):
    def loader(samples):
        return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*samples.first()[0], samples.first()[1]), 20)

    monkeypatch.setattr(
        confirm, "gains_of", lambda every, *_counts: np.array([gain * (c.num_groups == 9) for c in every])
    )
    whole = circulant_problem()
    problem = es.ModelProblem(whole.model, loader(whole.train), loader(whole.val), mse)
    found = es.discover(problem, lr=0.1, steps=40, refit_steps=60, restarts=1)
    assert (found.partition.num_groups == 3) == kept


@pytest.mark.slow
def test_the_entries_show_a_pattern_where_held_out_samples_do_not_tell(monkeypatch):
    wiggle = np.where(np.arange(16) % 2, 0.2, -0.2)
    monkeypatch.setattr(
        confirm, "cross_validated", lambda *_args: (np.stack([np.ones(16), 1 + wiggle]), np.full(16, 4))
    )
    assert es.discover(problem_of(FEW)).partition == es.Partition(FEW.astype(int))


class Two(nn.Module):
    """Two maps side by side, whose outputs are added."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)

    def forward(self, x):
        return self.a(x[:, :3]) + self.b(x[:, 3:])


def problem_of(first, second=None, share=("a.weight",), dim=None, val=120, together=False):
    rng = np.random.default_rng(1)
    second = rng.normal(size=(3, 3)) if second is None else second
    x = rng.normal(size=(120 + val, 6))
    y = x @ np.hstack([first, second]).T + 0.1 * rng.normal(size=(120 + val, 3))
    x, y = torch.from_numpy(x), torch.from_numpy(y)

    def build():
        model = Two()
        for name in [share] if together else share:
            es.share(model, name, dim=dim)
        return model

    return es.ModelProblem(made(build), (x[:120], y[:120]), (x[120:], y[120:]), mse)


def is_shown(problem, *labels):
    session = NetworkSession([problem], method="auto", options=auto.Options(lr=0.1, steps=300))
    replicas, pattern = session.replicas, Pattern([np.ravel(one) for one in labels])
    states = stacked(replicas.start, 1), stacked(replicas.buffers, 1)
    session.try_patterns([0], [pattern], *states, "the pattern", mean=False)
    for other in set(session.found[0]) - {pattern}:
        del session.found[0][other]
    return shown(session, [0]) == {0}


GENERIC = np.random.default_rng(0).normal(size=(3, 3))
# The nine numbers in four groups of neighbours.
NEIGHBOURS = GENERIC.ravel().argsort().argsort().reshape(3, 3) // 3
FREE = np.arange(9)


@pytest.mark.parametrize("val", [4, 120])
@pytest.mark.parametrize(("weight", "labels", "expected"), [(FEW, FEW.astype(int), True), (GENERIC, NEIGHBOURS, False)])
def test_entries_show_the_pattern_that_they_have(weight, labels, expected, val):
    assert is_shown(problem_of(weight, val=val), labels) == expected


@pytest.mark.parametrize(("others", "expected"), [(FREE, True), (NEIGHBOURS, False)])
def test_every_parameter_that_is_tied_must_show_its_pattern(others, expected):
    problem = problem_of(FEW, GENERIC, ("a.weight", "b.weight"))
    assert is_shown(problem, FEW.astype(int), others) == expected


@pytest.mark.parametrize(("weight", "labels", "expected"), [(FEW, FEW.astype(int), True), (GENERIC, NEIGHBOURS, False)])
def test_parameters_that_are_tied_alike_show_their_pattern_together(weight, labels, expected):
    problem = problem_of(weight, 2 * weight, ("a.weight", "b.weight"), together=True)
    assert is_shown(problem, labels) == expected


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize(("seed", "expected"), [(None, True), (0, False)])
def test_slices_show_the_pattern_that_they_have(seed, expected, together):
    rows = np.array([[1.0, 2.0, 3.0], [3.0, 0.0, 1.0], [1.0, 2.0, 3.0]])
    rows = rows if seed is None else np.random.default_rng(seed).normal(size=(3, 3))
    problem = problem_of(rows, rows + 1, ("a.weight", "b.weight") if together else ("a.weight",), 0, together=together)
    assert is_shown(problem, np.array([0, 1, 0])) == expected


@pytest.mark.slow
def test_matrices_that_are_tied_alike_are_searched():
    ring = np.subtract.outer(np.arange(3), np.arange(3)) % 3
    problem = problem_of(
        np.array([1.0, 0.2, -1.0])[ring], np.array([0.3, -2.0, 1.0])[ring], ("a.weight", "b.weight"), together=True
    )
    assert es.discover(problem).partition == es.Partition(ring)


@pytest.mark.slow
def test_one_block_of_samples_does_not_tell(monkeypatch):
    asked = []
    monkeypatch.setattr(by_training, "shown", lambda _session, problems: asked.append(list(problems)) or set())
    whole, brief = problem_of(FEW, val=3), {"lr": 0.1, "steps": 40, "refit_steps": 60, "restarts": 1}
    assert es.discover(whole, **brief).partition.num_groups == 9
    assert asked == [[0]]
