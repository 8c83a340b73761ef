"""The sum of numbers: data, model, Augerino and the table."""

import numpy as np
import pytest
import torch

import equishare as es
from equishare.lab.studies import augerino, sum_data, sum_of_numbers


@pytest.mark.parametrize("rank", [1, 2])
def test_labels_are_signed_sums_with_bounded_noise(rank):
    sets = sum_data.sum_sets(5, rank, seed=3)
    signs = np.array([1, 1, 1, 1, 1] if rank == 1 else [-1, 1, -1, 1, -1])
    assert {name: len(y) for name, (_, y) in sets.items()} == sum_data.SIZES
    for name, (x, y) in sets.items():
        assert x.min() == 1 and x.max() == 9
        error = (y - torch.from_numpy(x.numpy() @ signs)).abs().max()
        assert error == 0 if name == "test" else 0 < error <= sum_data.NOISE + 1e-5


def test_trials_differ_and_repeat():
    first, again, other = (sum_data.sum_sets(4, 1, seed)["train"][0] for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_the_model_is_what_its_docstring_says():
    torch.manual_seed(0)
    model = sum_data.SumModel(3).double()
    x = torch.randint(1, 10, (7, 3))
    hidden = sum(
        torch.relu(torch.nn.functional.linear(model.embedding(x[:, k]), model.weight[k], model.bias[k]))
        for k in range(3)
    )
    torch.testing.assert_close(model(x), model.out(hidden).squeeze(-1))


def test_augerino_is_the_mean_over_relaxed_permutations():
    torch.manual_seed(0)
    network = augerino.Augerino(3, samples=4).double()
    x = torch.randint(1, 10, (5, 3))
    model = network.model
    torch.manual_seed(1)
    permutations = network.permutations()
    torch.manual_seed(1)
    found = network(x)
    features = permutations[:, None] @ model.embedding(x)[None]  # (S, n, L, features)
    hidden = torch.relu(torch.einsum("snlf,lhf->snlh", features, model.weight) + model.bias).sum(2)
    torch.testing.assert_close(found, model.out(hidden).squeeze(-1).mean(0))
    torch.testing.assert_close(permutations.sum(-2), torch.ones(4, 3, dtype=torch.float64))


def test_augerino_learns_and_leaves_the_generator():
    sets = sum_data.sum_sets(2, 1, seed=0)
    state = torch.get_rng_state()
    fitted = augerino.fit_augerino(sets, samples=3, seed=0, steps=200)
    assert torch.equal(torch.get_rng_state(), state)
    centre, spread = sum_data.scale(sets)
    x, y = (t[:2000] for t in sets["test"])
    prediction = augerino.predict_in_chunks(fitted, x, seed=0) * spread + centre
    assert sum_data.errors(prediction, y)["mse"] < 0.1 * float(y.var())


@pytest.mark.slow
@pytest.mark.parametrize("method", ["auto", "bilevel"])
@pytest.mark.parametrize("rank", [1, 2])
def test_positions_that_share_are_found(method, rank):
    sets = sum_data.sum_sets(4, rank, seed=0)
    found = es.discover(sum_data.sum_problem(sets), method)
    assert es.partition_distance(found.partition, sum_data.truth(4, rank)) == 0
    x, y = sets["test"]
    assert sum_data.errors(sum_data.predict(found.model, sets, x), y)["mse"] < 0.03


@pytest.mark.slow
def test_the_table_has_a_row_for_each_method(monkeypatch):
    monkeypatch.setattr(sum_of_numbers, "RANKS", (1,))
    counts = []
    experiment = sum_of_numbers.run(
        trials=1, lengths=(2,), augerino_samples=(3,), progress=lambda done, total: counts.append((done, total))
    )
    table, summary = experiment.tables
    methods = ["no sharing", "oracle", "Augerino, 3 samples", "bilevel", "auto"]
    assert [(row["rank"], row["method"]) for row in table.rows] == [(r, m) for r in (1,) for m in methods]
    assert counts == [(i, 5) for i in range(1, 6)]
    scored = {row["method"]: row for row in table.rows}
    assert scored["oracle"]["pd"] == scored["auto"]["pd"] == 0 and scored["no sharing"]["pd"] == 1
    assert "pd" not in scored["Augerino, 3 samples"]
    # The same partition is fitted in the same way.
    assert scored["auto"]["mse"] == pytest.approx(scored["oracle"]["mse"], rel=1e-3)
    paper = {row["method"]: row.get("paper_mse") for row in summary.rows if row["rank"] == 1}
    assert paper["bilevel"] == 0.0101 and paper["oracle"] is None


def test_no_trials_is_an_error():
    with pytest.raises(ValueError, match="trials must be at least 1, got 0"):
        sum_of_numbers.run(trials=0)
