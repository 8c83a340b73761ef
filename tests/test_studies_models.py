"""The experiment on networks: teachers share what they say, the function tells, and the methods find it."""

import dataclasses

import numpy as np
import pytest
import torch

import equishare as es
from equishare.lab.studies import models
from equishare.lab.studies.models_data import CASES, NOISE, Tokens, mean_squared_error, token_inputs


def drawn(name, seed=0, samples=None):
    case = CASES[name] if samples is None else dataclasses.replace(CASES[name], samples=samples)
    return case.draw(np.random.default_rng(seed))


def oracle(one, **options):
    return es.discover(one.problem, "oracle", partition=one.truth, **options)


GROUPS = {
    "layers": {"first.weight": (36, 6), "second.weight": (36, 2)},
    "convolution": {"dense.weight": (144, 4)},
    "gates": {"input": (4, 2)},
    "synonyms": {"embedding.weight": (20, 5)},
}


@pytest.mark.parametrize("name", CASES)
def test_truth_has_the_stated_groups(name):
    truth = drawn(name, samples=10).truth
    assert {key: (len(p), p.num_groups) for key, p in truth.items()} == GROUPS[name]


@pytest.mark.parametrize("name", CASES)
def test_labels_have_the_stated_noise_and_the_sets_differ(name):
    one = drawn(name, samples=200)
    train, val = one.problem.train, one.problem.val
    assert train.y.shape == val.y.shape
    assert not torch.equal(train.x[0], val.x[0])
    assert float(one.test[1].std()) == pytest.approx(1, abs=0.1)
    assert len(one.test[0]) == len(one.test[1]) == 5000


@pytest.mark.parametrize("name", CASES)
def test_draws_follow_the_seed_and_students_start_alike(name):
    first, again, other = (drawn(name, seed, samples=20) for seed in (1, 1, 2))
    assert torch.equal(first.test[1], again.test[1])
    assert not torch.equal(first.test[1], other.test[1])
    states = first.problem.model.state_dict(), other.problem.model.state_dict()
    assert all(torch.equal(a, b) for a, b in zip(*(s.values() for s in states), strict=True))


def test_circular_convolution_commutes_with_shifts():
    x, clean = drawn("convolution", samples=10).test
    turned = torch.roll(x, 1, 1)
    values = oracle(drawn("convolution", samples=300), lr=0.03, steps=300).model
    with torch.no_grad():
        torch.testing.assert_close(values(turned), torch.roll(values(x), 1, 1))
    assert clean.shape == x.shape


def test_gated_cell_is_the_stated_recurrence():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        cell = CASES["gates"].network()
    x = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    h = torch.zeros(3, 4)

    def drive(gate, x, h):
        return x @ cell.input[gate].T + h @ cell.recurrent[gate].T + cell.bias[gate]

    for step in range(5):
        now = x[:, step]
        reset, keep, write = (torch.sigmoid(drive(gate, now, h)) for gate in range(3))
        h = keep * h + write * torch.tanh(drive(3, now, reset * h))
    torch.testing.assert_close(cell(x)[:, -1], h)


@pytest.mark.parametrize("label", models.METHODS)
def test_row_of_one_trial(label):
    method, _ = models.METHODS[label]
    options = {"steps": 2, "fit_steps": 2, "restarts": 1} if method == "bilevel" else {"steps": 2}
    one = drawn("layers", samples=40)
    row = models.measure(label, [one], 0, {label: (method, options)})
    assert row["method"] == label and row["trials"] == 1
    assert row["pd"] == {"no_sharing": 64, "oracle": 0}.get(method, row["pd"])
    assert np.isfinite(row["test_error"])


def test_table_is_complete():
    cases = {name: dataclasses.replace(case, samples=20) for name, case in CASES.items()}
    methods = {"no sharing": ("no_sharing", {"steps": 2}), "oracle": ("oracle", {"steps": 2})}
    calls = []
    done = models.run(trials=2, seed=1, progress=lambda *step: calls.append(step), cases=cases, methods=methods)
    (table,) = done.tables
    assert calls == [(i, 8) for i in range(1, 9)]
    wanted = {*table.settings, "method", *table.metrics, *(f"{m}_ci" for m in table.metrics), "trials", "seconds"}
    assert all(row.keys() == wanted and row["trials"] == 2 for row in table.rows)
    assert [row["case"] for row in table.rows[::2]] == list(CASES)


@pytest.mark.parametrize("trials", [0, -3])
def test_number_of_trials_out_of_range(trials):
    with pytest.raises(ValueError, match=f"trials must be at least 1, got {trials}"):
        models.run(trials=trials)


@pytest.mark.slow
@pytest.mark.parametrize("label", ["auto", "bilevel"])
@pytest.mark.parametrize("name", CASES)
def test_the_sharing_is_found(name, label):
    one = drawn(name, samples=300 if name == "gates" else 1000)
    row = models.measure(label, [one], 0)
    assert row["pd"] == 0
    assert row["test_error"] < NOISE**2 / 4


@pytest.mark.parametrize("seed", [3, 8])
def test_slices_are_found_where_tying_all_leaves_nothing_to_train(seed):
    # One embedding for all tokens makes the output a constant, which needs no hidden unit: its fit ends with dead ones.
    case = dataclasses.replace(
        CASES["synonyms"], network=lambda: Tokens(12, 3, 12, 2), inputs=token_inputs(12), samples=300
    )
    one = case.draw(np.random.default_rng(seed), noise=0.3)
    found = es.discover(one.problem, lr=0.03, steps=100, refit_steps=300)
    assert found.partitions == one.truth
    assert found.validation_loss < found.no_sharing_loss


def test_loss_is_the_mean_square():
    assert float(mean_squared_error(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 1.0]))) == 2.5
