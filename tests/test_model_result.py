"""Discoveries of models on disk: everything comes back, and what does not fit is refused."""

import copy
import os

import numpy as np
import pytest
import torch
from model_cases import COLUMN_LABELS, Columns, columns, columns_data, made, mse, numbers, split
from torch import nn

import equishare as es


@pytest.fixture(scope="module", params=[torch.float32, torch.float64, torch.bfloat16], ids=str)
def saved(request, tmp_path_factory):
    data = split(columns_data(count=20, dtype=request.param), 10)
    problem = es.ModelProblem(columns(dtype=request.param), *data, mse)
    found = es.discover(problem, "oracle", seed=4, partition=COLUMN_LABELS, steps=3)
    found.history["step"] = np.arange(3)
    path = tmp_path_factory.mktemp("saved") / "found.npz"
    found.save(path)
    return found, path


def test_everything_comes_back(saved):
    found, path = saved
    dtype = found.model.out.weight.dtype
    model = columns(dtype=dtype)
    loaded = es.Discovery.load(path, model)
    assert isinstance(loaded, es.ModelDiscovery)
    assert loaded.model is model
    assert numbers(loaded) == numbers(found)
    assert (loaded.method, loaded.seed) == ("oracle", 4)
    assert loaded.history["step"].tolist() == [0, 1, 2]
    x = columns_data(count=5, dtype=dtype)[0]
    assert torch.equal(model(x), found.model(x))
    assert all(torch.equal(t, found.theta[name]) for name, t in loaded.theta.items())
    again = es.Discovery.load(path, copy.deepcopy(model))
    assert numbers(again) == numbers(found)


def test_inputs_that_the_model_does_not_take_are_told(saved):
    found, path = saved
    dtype = found.model.out.weight.dtype
    name = str(dtype).removeprefix("torch.")
    x = columns_data(count=5, dtype=dtype)[0]
    for one in (found, es.Discovery.load(path, columns(dtype=dtype))):
        assert torch.equal(one.predict(x), found.model(x))
        expected = rf"^x must be samples as the model was trained on, \(samples, 4, 2\) of {name}, got \(5, 3, 2\) of "
        with pytest.raises(ValueError, match=expected + rf"{name}: give samples of that shape and dtype \(einsum"):
            one.predict(x[:, :3])
        with pytest.raises(ValueError, match=r"got \(5, 4, 2\) of int64: give samples of that shape"):
            one.predict(x.long())
        with pytest.raises(ValueError, match=rf"got \(5, 4, 2\) of {name}, \(5, 4, 2\) of {name}: give samples"):
            one.predict((x, x))


def test_without_a_model_the_numbers_come_back(saved, tmp_path):
    found, path = saved
    loaded = es.Discovery.load(path)
    assert loaded.model is None
    assert loaded.partition == found.partition
    assert loaded.validation_loss == found.validation_loss
    with pytest.raises(ValueError, match=r"loaded without a model: Discovery.load\(path, model=...\)"):
        _ = loaded.theta
    with pytest.raises(ValueError, match="loaded without a model, and saving it would lose what was fitted"):
        loaded.save(tmp_path / "again.npz")


def with_other_groups():
    model = made(Columns)
    es.share(model, ("weight", "bias"), 3, dim=0)
    es.harden(model)
    return model


def test_a_model_that_is_hardened_otherwise_fits(saved):
    found, path = saved
    model = with_other_groups().to(found.model.out.weight.dtype)
    assert numbers(es.Discovery.load(path, model)) == numbers(found)


def test_entries_may_be_shared_by_loading(tmp_path):
    def build(shared):
        model = nn.Linear(2, 2)
        if shared:
            es.share(model, "weight")
        return model

    x, y = torch.randn(8, 2, generator=torch.Generator().manual_seed(0)), torch.zeros(8, 2)
    problem = es.ModelProblem(made(lambda: build(True), dtype=torch.float32), (x, y), (x, y), mse)
    found = es.discover(problem, "oracle", partition=[[0, 1], [1, 0]], steps=3)
    found.save(tmp_path / "found.npz")
    model = made(lambda: build(False), dtype=torch.float32)
    loaded = es.Discovery.load(tmp_path / "found.npz", model)
    assert numbers(loaded) == numbers(found)
    assert torch.equal(model(x), found.model(x))


def narrow():
    model = made(lambda: Columns(hidden=2))
    es.share(model, ("weight", "bias"), dim=0)
    return model


def not_tied():
    model = made(Columns)
    es.share(model, "weight", dim=0)
    es.share(model, "bias", dim=0)
    return model


def longer():
    model = columns()
    model.more = nn.Linear(2, 2)
    return model


MISFITS = {
    "another class": lambda: nn.Linear(3, 3),
    "narrower": narrow,
    "not tied": not_tied,
    "not shared": lambda: made(Columns),
    "one parameter more": longer,
}


@pytest.mark.parametrize("build", MISFITS.values(), ids=MISFITS)
def test_models_that_do_not_fit_are_refused_and_stay(build, saved):
    model = build()
    state = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match="^model does not fit the discovery: it must have the architecture"):
        es.Discovery.load(saved[1], model)
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(t, model.state_dict()[name]) for name, t in state.items())


def test_what_is_no_model_is_refused(saved, tmp_path):
    with pytest.raises(TypeError, match="model must be a torch.nn.Module, got str"):
        es.Discovery.load(saved[1], "model")
    path = tmp_path / "means.npz"
    es.discover(es.MeanProblem(np.random.default_rng(0).normal(size=(9, 3)), np.eye(3))).save(path)
    with pytest.raises(ValueError, match="model belongs to the discovery of a model, and this one is of means"):
        es.Discovery.load(path, columns())


def test_damaged_files_are_refused(saved, tmp_path):
    whole = saved[1].read_bytes()
    path = tmp_path / "damaged.npz"
    rng = np.random.default_rng(0)
    contents = [b"", b"text", whole[: len(whole) // 2], whole[:-1]]
    for place in rng.integers(len(whole), size=20):
        contents.append(whole[:place] + rng.bytes(8) + whole[place + 8 :])
    for content in contents:
        path.write_bytes(content)
        try:
            es.Discovery.load(path, columns(dtype=saved[0].model.out.weight.dtype))
        except ValueError as error:
            assert "is not a saved Discovery, or it is damaged" in str(error)  # noqa: PT017
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        es.Discovery.load(tmp_path / "none.npz")


def test_files_are_written_whole_and_named_npz(saved, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="path must end in .npz, got '.*found.pt'"):
        saved[0].save(tmp_path / "found.pt")
    with pytest.raises(FileNotFoundError, match="none"):
        saved[0].save(tmp_path / "none" / "found.npz")
    path = tmp_path / "found.npz"
    saved[0].save(path)
    before = path.read_bytes()

    def full(target, **arrays):
        target.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="disk full"):
        saved[0].save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["found.npz"]
    assert "equishare.Discovery/2" in str(np.load(path)["about"])


def test_a_search_that_was_stopped_is_saved_as_such(tmp_path):
    data = split(columns_data(count=20), 10)
    problem = es.ModelProblem(columns(), *data, mse)
    calls = []

    def stop(done, total):
        calls.append(done)
        if len(calls) > 12:
            raise KeyboardInterrupt

    found = es.discover(problem, progress=stop, steps=4, refit_steps=4, lr=1e-3)
    found.save(tmp_path / "found.npz")
    loaded = es.Discovery.load(tmp_path / "found.npz", columns())
    assert not loaded.complete
    assert loaded.no_sharing_loss == found.no_sharing_loss > 0
    assert loaded.validation_loss == found.validation_loss
