"""Files keep what was found, and those of version 0.1, made before the present format, still load.

``data/map-0.1.npz``: y = W x + 2 N(0, 1) for a circulant W (6, 6), 150 + 150 samples, 4 resamples.
``data/model-0.1.npz``: a network with a layer for each of six columns (weight and bias tied) and a readout, 200 + 200
samples, 2 resamples. Both were drawn at random and saved by version 0.1.0.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from report_cases import believed, found, ring_labels

import equishare as es
from equishare.problems.answers import Belief

DATA = Path(__file__).parent / "data"


def test_a_map(tmp_path):
    d = es.Discovery.load(DATA / "map-0.1.npz")
    assert d.partition == es.Partition((np.arange(6) - np.arange(6)[:, None]) % 6)
    assert d.values == pytest.approx([-0.0082858, 0.2621592, 0.5817505, 0.893632, 1.2102626, 1.4293711], abs=1e-7)
    assert d.bias[0] == pytest.approx(-0.1477847, abs=1e-7)
    assert (d.validation_loss, d.no_sharing_loss) == (4.115009719050144, 4.262351244223326)
    assert d.confidence.frequencies.sum() == pytest.approx(270)  # the curve of the probabilities is not in the file
    assert np.count_nonzero(d.confidence.ties > 0.5) == 216
    assert d.origin.call == "equishare.discover(problem, method='auto', seed=0, resamples=4)"
    assert (d.about.num_train, d.about.num_val) == (150, 150)
    assert d.symmetry().name == "C_6"
    assert d.belief is None and np.isnan(d.spread)
    d.report(tmp_path / "d.html")
    page = (tmp_path / "d.html").read_text(encoding="utf-8")
    assert "which weights of y = W x + b are shared" in page and "150 to fit, 150 to validate" in page
    d.save(tmp_path / "again.npz")
    again = es.Discovery.load(tmp_path / "again.npz")
    assert again.partition == d.partition and again.about == d.about and again.origin == d.origin
    np.testing.assert_array_equal(again.confidence.ties, d.confidence.ties)


def test_a_belief_that_does_not_tell_of_shifts(tmp_path):
    d = dataclasses.replace(found([[0, 1], [1, 0]]), belief=Belief(0.0, (0.0, 0.0), np.zeros((2, 2)), 5.0, None))
    d.save(tmp_path / "d.npz")
    arrays = dict(np.load(tmp_path / "d.npz"))
    del arrays["belief.shift_log_odds"]
    np.savez(tmp_path / "old.npz", **arrays)
    assert np.isnan(es.Discovery.load(tmp_path / "old.npz").belief.shift_log_odds)


GUESS = np.arange(4).reshape(2, 2)


@pytest.mark.parametrize(
    "belief",
    [
        Belief(0.1, (1 / 30, 0.3), np.array([[1.0, np.nan], [1 / 3, -np.inf]]), 5 / 3, GUESS),
        Belief(0.0, (0.0, np.inf), np.zeros((2, 2)), -np.inf, None),
        Belief(0.0, (0.0, 0.0), np.zeros((2, 2))),
        None,
    ],
)
def test_a_belief_is_kept_to_the_last_bit(belief, tmp_path):
    d = dataclasses.replace(found([[0, 1], [1, 0]]), belief=belief)
    d.save(tmp_path / "d.npz")
    again = es.Discovery.load(tmp_path / "d.npz").belief
    assert (again is None) == (belief is None)
    for field in dataclasses.fields(Belief) if belief is not None else ():
        kept, given = getattr(again, field.name), getattr(belief, field.name)
        assert type(kept) is type(given)
        np.testing.assert_array_equal(kept, given)
        assert getattr(kept, "dtype", None) == getattr(given, "dtype", None)


def test_a_belief_without_its_means_is_damage(tmp_path):
    believed(found(ring_labels(3))).save(tmp_path / "d.npz")
    with np.load(tmp_path / "d.npz") as file:
        np.savez(tmp_path / "d.npz", **{name: file[name] for name in file.files if name != "belief.posterior_mean"})
    with pytest.raises(ValueError, match="is not a saved Discovery, or it is damaged"):
        es.Discovery.load(tmp_path / "d.npz")


class Columns(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(6, 8))
        self.bias = torch.nn.Parameter(torch.randn(6, 8))
        self.mix = torch.nn.Linear(8, 3)
        self.out = torch.nn.Linear(3, 1)


def test_a_model(tmp_path):
    model = Columns()
    es.share(model, ("weight", "bias"), dim=0)
    es.share(model.out, "weight")
    bare = es.Discovery.load(DATA / "model-0.1.npz")
    d = es.Discovery.load(DATA / "model-0.1.npz", model)
    for one in (bare, d):
        labels = {name: p.labels.tolist() for name, p in one.partitions.items()}
        assert labels == {"weight": [0, 0, 0, 1, 1, 1], "bias": [0, 0, 0, 1, 1, 1], "out.weight": [[0, 0, 0]]}
        assert (one.validation_loss, one.no_sharing_loss) == (0.020092103630304337, 0.027260079979896545)
        assert (one.settled, one.complete, one.about.num_train) == (False, True, 200)
        assert one.confidence["weight"].ties.sum() == pytest.approx(16.05319641589894)
        # Two parameters that one assignment ties count once.
        assert one.view().num_groups == 3
        one.report(tmp_path / "d.html")
    assert {name: t.sum().item() for name, t in d.theta.items()} == pytest.approx(
        {"weight": 1.472435474395752, "bias": 2.089639902114868, "out.weight": -6.366944313049316}
    )
    assert d.values["weight"].shape == (2, 8)
    with pytest.raises(ValueError, match="loaded without a model"):
        _ = bare.values
    d.save(tmp_path / "again.npz")
    assert es.Discovery.load(tmp_path / "again.npz").partitions == d.partitions
