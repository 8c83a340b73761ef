"""How sure a model's partitions are: the search on samples drawn again."""

import numpy as np
import pytest
import torch
from model_cases import BRIEF, columns, columns_data, mse, split
from torch.utils.data import DataLoader, TensorDataset

import equishare as es
from equishare.methods import auto
from equishare.problems.network.session import NetworkSession


def problem(count=40):
    return es.ModelProblem(columns(), *split(columns_data(count=count), count // 2), mse)


@pytest.mark.parametrize("method", BRIEF)
def test_every_search_has_it(method, tmp_path):
    options = {**BRIEF[method], "seed": 3}
    found = es.discover(problem(), method, resamples=3, **options)
    plain = es.discover(problem(), method, **options)
    assert plain.confidence is None
    assert found.partition == plain.partition
    assert set(found.confidence) == {"weight", "bias"}
    for name, one in found.confidence.items():
        assert one.partition == found.partitions[name]
        assert one.labels.shape == (3, 4)
    again = es.discover(problem(), method, resamples=3, **options)
    np.testing.assert_array_equal(again.confidence["bias"].labels, found.confidence["bias"].labels)
    found.save(tmp_path / "found.npz")
    loaded = es.Discovery.load(tmp_path / "found.npz", columns())
    assert loaded.confidence["weight"].partition == found.partition
    np.testing.assert_array_equal(loaded.confidence["weight"].labels, found.confidence["weight"].labels)


def test_samples_are_drawn_with_replacement_each_set_by_itself():
    one = problem(count=200)
    rng = np.random.default_rng(0)
    first, second = one.resampled(rng), one.resampled(rng)
    for name in ("train", "val"):
        own, x = getattr(one, name), getattr(first, name).x[0]
        rows = {tuple(row) for row in own.x[0].flatten(1).tolist()}
        drawn = [tuple(row) for row in x.flatten(1).tolist()]
        assert len(drawn) == len(own)
        assert set(drawn) <= rows
        assert 0.5 < len(set(drawn)) / len(own) < 0.75  # 1 − 1/e in the mean
        assert not torch.equal(x, getattr(second, name).x[0])
    assert len(one.train) == 100


def test_each_resample_has_restarts_of_its_own():
    rng = np.random.default_rng(0)
    session = NetworkSession([problem().resampled(rng) for _ in range(3)], seed=5)
    drawn = [torch.rand(4, generator=generator).tolist() for generator in session.generators()]
    assert len({tuple(one) for one in drawn}) == 3
    same = [torch.rand(4, generator=g).tolist() for g in NetworkSession([problem()] * 2, seed=5).generators()]
    assert same[0] == same[1]


def test_a_list_and_progress():
    steps = []
    found = es.discover([problem(), problem()], resamples=2, progress=lambda *s: steps.append(s), **BRIEF["auto"])
    assert [d.confidence["weight"].num_resamples for d in found] == [2, 2]
    assert steps[-1] == (6, 6)
    assert steps == sorted(steps)


def test_the_checkpoint_gets_a_second_file(tmp_path):
    path = tmp_path / "run.pt"
    first = es.discover(problem(), resamples=2, checkpoint=path, **BRIEF["auto"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run.pt", "run.pt.resamples0"]
    again = es.discover(problem(), resamples=2, checkpoint=path, **BRIEF["auto"])
    np.testing.assert_array_equal(again.confidence["weight"].labels, first.confidence["weight"].labels)


class Stops:
    """``auto``, but on resamples an error."""

    Options = auto.Options

    def __init__(self, error):
        self.error = error

    def propose(self, session, options):
        if options.standard_errors == 0:
            raise self.error
        return auto.propose(session, options)


def test_what_was_found_survives_ctrl_c_and_divergence():
    found = es.discover(problem(), Stops(KeyboardInterrupt()), resamples=2, **BRIEF["auto"])
    assert found.complete
    assert found.confidence is None
    with pytest.warns(RuntimeWarning, match="no confidence for problem 0: on a resample, diverged"):
        found = es.discover(problem(), Stops(FloatingPointError("diverged")), resamples=2, **BRIEF["auto"])
    assert found.confidence is None


def test_where_there_is_none():
    with pytest.raises(ValueError, match="resamples must be 0 for method 'oracle', which does not search, got 2"):
        es.discover(problem(), "oracle", partition=[0, 1, 0, 1], resamples=2)
    # Nothing is tied on any resample.
    assert (
        es.discover(problem(), "no_sharing", steps=2, resamples=2).confidence["weight"].frequencies == np.eye(4)
    ).all()
    (x, y), val = split(columns_data(count=40), 20)
    loaders = [DataLoader(TensorDataset(*pair), batch_size=10) for pair in ((x, y), val)]
    with pytest.raises(ValueError, match="resamples needs train and val as tensors or arrays, got DataLoaders"):
        es.discover(es.ModelProblem(columns(), *loaders, mse), resamples=2)


@pytest.mark.parametrize("method", BRIEF)
def test_bad_standard_errors(method):
    with pytest.raises(ValueError, match="standard_errors must"):
        es.discover(problem(), method, **{**BRIEF[method], "standard_errors": -1.0})
