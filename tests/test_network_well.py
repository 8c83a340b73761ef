"""Networks train without tuning: rates and lengths are found, and nothing is selected that predicts worse."""

import dataclasses

import numpy as np
import pytest
import torch
from model_cases import linear_problem, made, mse
from torch import nn
from torch.nn import functional

import equishare as es
from equishare.lab.studies import everyday
from equishare.lab.studies.everyday_data import PROBLEMS, draw
from equishare.methods import auto
from equishare.problems.network import session as session_module
from equishare.problems.network.batches import HeldOut
from equishare.problems.network.candidate import Candidate, gains_of
from equishare.problems.network.checkpoint import Checkpoint
from equishare.problems.network.fit import Fit, Start, block_losses
from equishare.problems.network.optimizer import ReplicaAdam
from equishare.problems.network.patterns import Pattern, hard_state
from equishare.problems.network.refit import Trained, cross_validated, refit_trained, train_patterns
from equishare.problems.network.replicas import Replicas, stacked
from equishare.problems.network.session import NetworkSession
from equishare.problems.network.trainer import Trainer
from equishare.problems.network.training import RATES
from equishare.problems.network.well import _ranked, train_well
from equishare.search import by_training


@pytest.mark.parametrize("rates", [(0.1, 0.01, 0.3), (0.1, 0.1, 0.1)])
@pytest.mark.parametrize("decay", [0.0, 0.2])
def test_each_replica_takes_the_steps_of_its_own_rate(rates, decay):
    start = torch.randn(3, 4, 2, dtype=torch.float64)
    together = start.clone().requires_grad_()
    optimizer = ReplicaAdam([together], torch.tensor(rates, dtype=torch.float64), decay)
    alone = [one.clone().requires_grad_() for one in start]
    own = [torch.optim.AdamW([one], rate, weight_decay=decay) for one, rate in zip(alone, rates, strict=True)]
    for step in range(5):
        together.grad = (together.detach() - 1) * (step + 1)
        optimizer.step(1 - step / 5)
        for one, adam, rate in zip(alone, own, rates, strict=True):
            one.grad = (one.detach() - 1) * (step + 1)
            adam.param_groups[0]["lr"] = rate * (1 - step / 5)
            adam.step()
    assert torch.allclose(together, torch.stack(alone), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e5])
def test_no_rate_has_to_be_given(scale):
    # Labels a thousand times smaller, or a hundred thousand times larger, want other rates.
    weight = scale * np.array([[1.0, 2.0, 3.0], [3.0, 1.0, 2.0], [2.0, 3.0, 1.0]])
    rng = np.random.default_rng(0)
    x = rng.normal(size=(240, 3))
    y = x @ weight.T + 0.1 * scale * rng.normal(size=x.shape)

    def build():
        model = nn.Linear(3, 3, bias=False)
        es.share(model, "weight")
        return model

    found = es.discover(es.ModelProblem(made(build), (x[:120], y[:120]), (x[120:], y[120:]), mse))
    assert es.partition_distance(found.partition, np.rint(weight / scale).astype(int)) <= 1
    assert found.validation_loss < 0.015 * scale**2
    facts = dict(found.about.facts)
    assert "without sharing" in facts["learning rate"]
    assert "training steps" in facts


def test_options_override_what_is_found():
    session = NetworkSession([linear_problem()])
    assert session.training.rates == RATES
    found = es.discover(linear_problem(), "no_sharing", lr=0.1, steps=50)
    facts = dict(found.about.facts)
    assert facts["learning rate"] == "0.1; without sharing 0.1"
    assert facts["training steps"] == "50; without sharing 50"


def test_a_trained_model_is_kept():
    problem = linear_problem()
    best = es.discover(problem, "no_sharing", lr=0.1).model
    trained = made(lambda: nn.Linear(3, 3, bias=False))
    with torch.no_grad():
        trained.weight.copy_(best.weight)
    es.share(trained, "weight")
    again = es.ModelProblem(trained, problem.val.first(), problem.val.first(), mse)
    again = NetworkSession([dataclass_like(again, problem)])
    assert again.unshared.losses[0] <= mse(best(problem.val.x[0]), problem.val.y).item() + 1e-12


def dataclass_like(problem, other):
    """The problem with the samples of another."""
    problem.train, problem.val = other.train, other.val
    return problem


def test_nothing_is_tied_where_all_weights_differ():
    rng = np.random.default_rng(3)
    weight = np.arange(12.0).reshape(3, 4) * rng.choice([-1, 1], (3, 4))
    x = rng.normal(size=(400, 4))
    y = x @ weight.T + 0.5 * rng.normal(size=(400, 3))

    def build():
        model = nn.Linear(4, 3)
        es.share(model, "weight")
        return model

    found = es.discover(es.ModelProblem(made(build), (x[:200], y[:200]), (x[200:], y[200:]), mse))
    assert found.partition.num_groups == 12
    assert found.validation_loss == pytest.approx(found.no_sharing_loss, rel=0.02)


def test_what_is_worse_than_no_sharing_is_not_selected():
    session = NetworkSession([linear_problem(count=240, train=120)])
    unshared = session.unshared.fit.loss[0]
    patterns = [(np.zeros(9, int),), (np.array([0, 1, 2, 2, 0, 1, 1, 2, 0]),), (np.arange(9),)]
    session.evaluate([patterns])
    proposal = session.found[0].proposal()
    (tied,) = (i for i in range(len(proposal.patterns)) if proposal.num_groups(i) == 1)
    assert not proposal.as_good[tied]
    assert proposal.scores[proposal.best] <= unshared
    assert proposal.num_groups(proposal.best) == 3


def test_a_refit_that_gets_stuck_is_not_the_answer():
    session = NetworkSession([linear_problem(count=240, train=120)])
    free = Pattern([np.arange(9)])
    (trained,) = train_patterns(session.trainer, [0], [free], None, session.unshared, "final")
    (refit,) = refit_trained(session.trainer, [trained])
    assert not torch.equal(refit.lower["weight"], trained.well.fit.lower["weight"])
    # One step of a large rate leads away from every minimum.
    fit = dataclasses.replace(trained.well.fit, step=torch.tensor([1]))
    far = dataclasses.replace(trained, well=dataclasses.replace(trained.well, fit=fit, rates=np.array([1e4])))
    session.trainer.checkpoint = Checkpoint(None, "")
    (kept,) = refit_trained(session.trainer, [far])
    assert torch.equal(kept.lower["weight"], trained.well.fit.lower["weight"])


def test_a_fit_to_other_samples_that_gets_stuck_does_not_judge_a_pattern():
    session = NetworkSession([linear_problem(count=240, train=120)])
    first = Trained(Pattern([np.arange(9)]), None, False, session.unshared)
    fit = dataclasses.replace(first.well.fit, step=torch.tensor([1]))
    far = dataclasses.replace(first, well=dataclasses.replace(first.well, fit=fit, rates=np.array([1e4])))
    losses, sizes = cross_validated(session.trainer, [0], [far], 0)
    at_first, of = block_losses(session.replicas, [0], first.well.fit, {}, cautious=False)
    assert np.average(losses[0], weights=sizes) == pytest.approx(np.average(at_first[0], weights=of))


def test_patterns_that_predict_worse_than_no_sharing_are_tried_with_a_lower_rate(monkeypatch):
    session, asked = NetworkSession([linear_problem(count=240, train=120)]), []
    fit, rate = Trainer.fit, session.unshared.rates[0]

    def noted(self, stage, start, steps, rates=None, **plan):
        asked.append((len(start.owner), rates))
        return fit(self, stage, start, steps, rates, **plan)

    monkeypatch.setattr(Trainer, "fit", noted)
    monkeypatch.setattr(session_module, "STUCK", 10.0)  # in few steps the right pattern is not done
    session.evaluate([[(TRUTH,), (np.zeros(9, int),)]])
    assert asked[0] == (2, None)
    count, rates = asked[1]
    assert count == 1 and rates == pytest.approx(0.2 * rate)


TRUTH, FINER = np.array([0, 1, 2, 2, 0, 1, 1, 2, 0]), np.array([0, 1, 2, 3, 4, 5, 5, 3, 4])


@pytest.fixture
def session_of_a_large_layer(monkeypatch):
    """One that drops candidates that others beat, as it does where labels are many."""
    monkeypatch.setattr(session_module, "_MANY_LABELS", 0)
    return NetworkSession([linear_problem(count=240, train=120)])


def test_patterns_of_large_layers_are_evaluated_even_if_others_beat_them(session_of_a_large_layer):
    unlike = np.array([0, 0, 0, 0, 1, 1, 2, 2, 3])
    losses = session_of_a_large_layer.evaluate([[(TRUTH,), (unlike,)]])[0]
    assert losses[0] < 0.1 * losses[1] < np.inf


def test_a_contest_in_a_large_layer_may_be_won_by_the_coarser_candidate(session_of_a_large_layer):
    session = session_of_a_large_layer
    session.evaluate([[(TRUTH,), (FINER,)]])
    found, truth = session.found[0], Pattern([TRUTH])
    # As if its fit had ended in a poor minimum.
    found[truth] = dataclasses.replace(found[truth], losses=1.5 * found[truth].losses)
    assert session.best(0).pattern != truth
    assert session.contest([0], "contest") == [0]
    assert session.best(0).pattern == truth


def test_the_best_candidate_was_trained_well_even_after_the_last_round(monkeypatch):
    session = NetworkSession([linear_problem(count=240, train=120)])
    session.evaluate([[(TRUTH,), (FINER,)]])
    monkeypatch.setattr(by_training, "_ROUNDS", 0)
    by_training.improve(session)
    assert session.best(0).trained is not None


class Rows(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 2))

    def forward(self, x):
        return x @ self.weight.T


def test_tied_slices_start_from_the_first_or_the_last_of_a_group():
    def build():
        model = Rows()
        es.share(model, "weight", dim=0)
        return model

    x, y = torch.randn(40, 2).double(), torch.randn(40, 3).double()
    replicas = Replicas([es.ModelProblem(made(build), (x, y), (x, y), mse)])
    patterns = [Pattern([np.array([0, 0, 1])]), Pattern([np.array([0, 1, 0])])]
    lower, _ = hard_state(replicas, patterns, stacked(replicas.start, 2), mean=False, last=[False, True])
    own = replicas.start["weight"]
    assert torch.equal(lower["weight"], torch.stack([own[[0, 2]], own[[2, 1]]]))


def test_everything_tied_is_kept_in_a_large_layer_even_if_it_diverges(session_of_a_large_layer):
    session = session_of_a_large_layer
    tied = Pattern([np.zeros(9, int)])
    session.evaluate([[tied.labels]])
    one = session.found[0][tied]
    session.found[0][tied] = dataclasses.replace(one, losses=np.full_like(one.losses, np.nan))
    session.evaluate([[(TRUTH,)]])
    assert {tied, Pattern([TRUTH])} <= {*session.found[0]}


def test_a_certain_classifier_pays_for_the_mistake_that_few_samples_do_not_show():
    def build():
        model = nn.Linear(2, 3)
        es.share(model, "weight")
        return model

    x = torch.randn(9, 2, dtype=torch.float64)
    y = torch.arange(9) % 3
    problem = es.ModelProblem(made(build), (x, y), (x, y), functional.cross_entropy)
    replicas = Replicas([problem])
    lower = stacked(replicas.start, 2)
    lower["weight"][1] *= 5
    held = HeldOut([problem], "val", [0, 0])
    assert held.has_classes
    plain, cautious = (replicas.held_losses(lower, {}, {}, held, one) for one in (False, True))
    for r, factor in enumerate((1, 5)):
        output = functional.linear(x, factor * replicas.start["weight"].view(3, 2), replicas.start["bias"])
        other = functional.cross_entropy(output, y.roll(1, 0))
        assert plain[r].item() == pytest.approx(functional.cross_entropy(output, y).item())
        assert cautious[r].item() == pytest.approx(plain[r].item() + other.item() / 9)
    blocks = replicas.block_losses(lower, {}, {}, held, True)
    assert (np.average(blocks[0], axis=1, weights=blocks[1]) > plain.numpy()).all()
    regression = linear_problem()
    assert not HeldOut([regression], "val", [0]).has_classes
    regression.val.y = regression.val.y.round()  # numbers, though whole ones
    assert not HeldOut([regression], "val", [0]).has_classes
    regression.val.y = (regression.val.y > 0).double()
    assert HeldOut([regression], "val", [0]).has_classes


def test_the_gain_of_a_refit_is_that_of_least_squares():
    rng = np.random.default_rng(0)
    count, told, true = 100, [], []
    for _ in range(500):
        x, noise = rng.normal(size=(2 * count, 6)), rng.normal(size=2 * count)
        new = rng.normal(size=(500, 6))
        half, both = (np.linalg.lstsq(x[:n], noise[:n], rcond=None)[0] for n in (count, 2 * count))
        loss = np.mean((noise[count:] - x[count:] @ half) ** 2)
        train_loss = np.mean((noise[:count] - x[:count] @ half) ** 2)
        one = Candidate(None, None, np.array([loss]), np.array([count]), True, loss, train_loss)
        told.append(gains_of([one], count, count)[0])
        true.append(np.mean((new @ half) ** 2) - np.mean((new @ both) ** 2))
    assert np.mean(told) == pytest.approx(np.mean(true), rel=0.3)


def test_a_network_that_remembers_its_samples_does_not_gain_more_than_there_is():
    losses = ((0.054, 0.048), (0.060, 0.010))
    tied, free = (Candidate(None, None, np.array([v]), np.array([9]), True, v, t) for v, t in losses)
    gains = gains_of([tied, free], 100, 150)
    assert gains == pytest.approx([0.003 * 0.6, 0.009 * 0.6])
    assert tied.loss - gains[0] < free.loss - gains[1]


def test_many_samples_are_taken_in_batches():
    x = torch.randn(3000, 3, dtype=torch.float64)
    problem = linear_problem()
    problem.train.x, problem.train.y = (x,), x @ torch.randn(3, 3, dtype=torch.float64)
    found = es.discover(problem, "no_sharing", steps=20, lr=0.1)
    assert dict(found.about.facts)["samples a step"] == "512"
    assert "samples a step" not in dict(es.discover(linear_problem(), "no_sharing", steps=2, lr=0.1).about.facts)


@pytest.mark.parametrize("name", PROBLEMS)
def test_everyday_problems_are_what_they_say(name):
    one, again = draw(name, 0), draw(name, 0)
    assert len(one.test[0]) > 80
    assert all(torch.equal(a, b) for a, b in zip(one.test, again.test, strict=True))
    assert everyday.losses(one.model, one).isfinite().all()
    for parameter, truth in one.truth.items():
        (slot,) = [slot for slot in one.problem.slots if parameter in slot.names]
        assert truth.shape == slot.shape_of(parameter)


def test_the_everyday_table_compares_with_the_network_trained_alone():
    done = everyday.run(trials=1, problems=("graph",), steps=300)
    (row,) = done.tables[0].rows
    assert (row["problem"], row["trials"], row["pd"]) == ("graph", 1, 0)
    assert row["loss"] < row["unshared"]
    assert row["ratio"] == pytest.approx(row["loss"] / row["unshared"])
    assert (row["worse"], row["better"]) == (0, 1)
    with pytest.raises(ValueError, match="trials must be at least 1"):
        everyday.run(trials=0)


@pytest.mark.parametrize(("method", "kinds"), [("no_sharing", 5), ("oracle", 2)])
def test_a_linear_model_is_trained_until_it_is_least_squares(method, kinds):
    # The best of many states on 100 samples came after 48 steps at a high rate, and lost four percent on new ones.
    rows = np.array([0, 0, 1, 1, 1]) if kinds == 2 else np.arange(5)
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(2, 6))[[0, 0, 1, 1, 1]]
    x = rng.normal(size=(200, 6))
    y = x @ weight.T + rng.normal(size=(200, 5))

    def build():
        model = nn.Linear(6, 5, bias=False)
        es.share(model, "weight", dim=0)
        return model

    options = {} if kinds == 5 else {"partition": rows}
    found = es.discover(es.ModelProblem(made(build), (x[:100], y[:100]), (x[100:], y[100:]), mse), method, **options)
    means = np.stack([y[:, rows == kind].mean(1) for kind in range(kinds)], 1)
    best = np.linalg.lstsq(x, means, rcond=None)[0].T[rows]
    with torch.no_grad():
        np.testing.assert_allclose(found.model.weight.numpy(), best, atol=2e-3)


def test_a_state_that_is_clearly_better_is_kept():
    # Twenty samples of thirty columns are remembered in the end.
    rng = np.random.default_rng(0)
    x = rng.normal(size=(220, 30))
    y = x[:, :1] + rng.normal(size=(220, 1))

    def build():
        model = nn.Linear(30, 1)
        es.share(model, "weight")
        return model

    problem = es.ModelProblem(made(build), (x[:20], y[:20]), (x[20:], y[20:]), mse)
    session = NetworkSession([problem])
    assert int(session.unshared.fit.step[0]) < session.unshared.lengths[0]
    assert float(session.unshared.losses[0]) < 2.5


@pytest.mark.parametrize(
    ("steps", "first"),
    [
        ([10, 10, 10, 10], 1),
        ([10, 95, 10, 10], 2),  # a low rate that is not done
        ([10, 10, 95, 10], 2),  # at the end of the schedule
    ],
)
def test_of_rates_that_are_as_good_the_least_is_taken(monkeypatch, steps, first):
    session = NetworkSession([linear_problem()], method="auto", options=auto.Options(refit_steps=100))
    losses, rates = torch.tensor([1.3, 1.009, 1.0, 1.02], dtype=torch.float64), np.array([0.01, 0.03, 0.1, 0.3])
    replicas = session.replicas
    start = Start([0] * 4, stacked(replicas.start, 4), {}, stacked(replicas.buffers, 4))
    fitted = Fit(start.lower, start.buffers, losses, torch.tensor(steps))
    monkeypatch.setattr(Trainer, "fit", lambda *_args, **_kwargs: fitted)
    well = train_well(session.trainer, start, rates, "rates", np.zeros(4, int))
    assert well.rows.tolist() == [first] and well.rates.tolist() == [rates[first]]
    ranked = _ranked(fitted, 100, np.arange(4), np.zeros(4), rates).tolist()
    assert ranked == [first, *(i for i in (2, 1, 3, 0) if i != first)]
