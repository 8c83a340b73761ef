"""Models with shared parameters in loops that other people wrote."""

import contextlib
import copy
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import equishare as es
from equishare.sharing import impose

FORMS = ["soft", "hard", "compact"]
STATES = pytest.mark.parametrize("form", FORMS)
mse = nn.functional.mse_loss


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(24, 6, generator=generator), torch.randn(24, 2, generator=generator)


def build(form, seed=0):
    """A small model whose first weight is shared softly, hard, or hard and stored small."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 2))
        es.share(model, "0.weight", num_groups=4)
    if form != "soft":
        es.harden(model)
    return es.compact(model) if form == "compact" else model


def steps(model, batches, count=3, precision=None, after=lambda: None):
    """Train by SGD; the gradients of the batches of a step are added up."""
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(count):
        optimizer.zero_grad()
        for x, y in batches:
            with torch.autocast("cpu", precision) if precision else contextlib.nullcontext():
                loss = mse(model(x), y) / len(batches)
            loss.backward()
        optimizer.step()
        after()
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def close(one, other, **tolerance):
    assert one.keys() == other.keys()
    for name, t in one.items():
        torch.testing.assert_close(t, other[name], **tolerance)


@STATES
def test_accumulated_gradients_are_those_of_the_whole_batch(form, data):
    x, y = data
    close(steps(build(form), [(x[:12], y[:12]), (x[12:], y[12:])]), steps(build(form), [(x, y)]))


@STATES
def test_bfloat16_autocast_trains_in_full_precision(form, data):
    trained, exact = steps(build(form), [data], precision=torch.bfloat16), steps(build(form), [data])
    close(trained, exact, atol=5e-3, rtol=0)
    assert any(not torch.equal(t, exact[name]) for name, t in trained.items())
    assert all(t.dtype == torch.float32 for t in trained.values())
    with torch.autocast("cpu", torch.bfloat16):
        assert build(form)(data[0]).dtype == torch.bfloat16


@STATES
def test_averages_of_weights_keep_the_groups(form, data):
    model = build(form)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.5), use_buffers=form == "soft")
    states = []

    def after():
        average.update_parameters(model)
        states.append({name: p.detach().clone() for name, p in model.named_parameters()})

    steps(model, [data], after=after)
    mean = {name: 0.25 * t + 0.25 * states[1][name] + 0.5 * states[2][name] for name, t in states[0].items()}
    close({name: p.detach() for name, p in average.module.named_parameters()}, mean)
    if form == "hard":
        groups = es.sharing.shared_parameters(average.module)["0.weight"].partition()
        assert groups == es.sharing.shared_parameters(model)["0.weight"].partition()
    elif form == "soft":
        assert es.harden(average.module)["0.weight"].num_groups <= 4


# Some releases of torch warn of what their own compiler does.
compiles = pytest.mark.filterwarnings("ignore:<class 'torch.autograd.function.Function'>:DeprecationWarning")


@compiles
@STATES
def test_compiled_models_train_like_others(form, data):
    torch._dynamo.reset()
    compiled = torch.compile(build(form), backend="aot_eager", fullgraph=True)
    close(
        {name.removeprefix("_orig_mod."): t for name, t in steps(compiled, [data]).items()}, steps(build(form), [data])
    )


@compiles
def test_a_compiled_model_follows_when_it_is_hardened(data):
    model = build("soft")
    compiled = torch.compile(model, backend="aot_eager")
    before = compiled(data[0])
    es.harden(model)
    assert not torch.equal(compiled(data[0]), before)
    torch.testing.assert_close(compiled(data[0]), model(data[0]))


@dataclass
class Output:
    logits: torch.Tensor
    hidden: tuple


class Told(nn.Module):
    """A model whose forward returns a data class, a dict or a tuple, and computes its loss if it is given targets."""

    def __init__(self, kind):
        super().__init__()
        torch.manual_seed(0)
        self.kind, self.map = kind, nn.Linear(4, 4, bias=False)

    def forward(self, x, labels=None):
        output = self.map(x)
        if self.kind == "data class":
            return Output(output, (x,))
        if self.kind == "loss":
            return {"loss": mse(output, labels), "logits": output}
        return {"logits": output} if self.kind == "dict" else (output, x)


LOSSES = {
    "data class": lambda found, y: mse(found.logits, y),
    "dict": lambda found, y: mse(found["logits"], y),
    "tuple": lambda found, y: mse(found[0], y),
    "loss": lambda found, y: found["loss"],
}


def test_models_that_return_more_than_a_tensor_have_the_same_answer():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(80, 4, generator=generator)
    y = x @ (torch.eye(4) + 1).T + 0.1 * torch.randn(80, 4, generator=generator)
    found = {}
    for kind, loss in LOSSES.items():
        model = Told(kind)
        es.share(model, "map.weight")
        train, val = [
            ((x[part], y[part]) if kind == "loss" else x[part], y[part]) for part in (slice(40), slice(40, 80))
        ]
        found[kind] = es.discover(es.ModelProblem(model, train, val, loss), lr=0.05, steps=40, refit_steps=60)
    assert {d.partition for d in found.values()} == {es.Partition(torch.eye(4).int())}
    assert len({d.validation_loss for d in found.values()}) == 1


def test_sharded_models_train_and_are_refused_where_weights_must_be_whole(tmp_path):
    pytest.importorskip("torch.distributed.fsdp")
    if not torch.distributed.is_gloo_available():
        pytest.skip("torch has no gloo")
    own = {"WORLD_SIZE": "2", "OMP_NUM_THREADS": "1", "STORE": f"file://{tmp_path / 'store'}"}
    command = [sys.executable, str(Path(__file__).with_name("sharded_cases.py"))]
    ranks = [
        subprocess.Popen(command, env={**os.environ, **own, "RANK": rank}, stderr=subprocess.PIPE, text=True)
        for rank in "01"
    ]
    stderr = [rank.communicate(timeout=300)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], stderr


# What other packages warn of is not for us to mend.
@pytest.mark.filterwarnings("ignore")
@STATES
def test_lightning(form, data, tmp_path):
    pl = pytest.importorskip("lightning.pytorch", reason="lightning is not installed")

    class Module(pl.LightningModule):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def training_step(self, batch, index):
            return mse(self.model(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    module = Module(build(form))
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
    trainer = pl.Trainer(accelerator="cpu", max_epochs=3, accumulate_grad_batches=2, default_root_dir=tmp_path, **quiet)
    trainer.fit(module, torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*data), batch_size=12))
    close({name: p.detach() for name, p in module.model.named_parameters()}, steps(build(form), [data]))
    (path,) = tmp_path.rglob("*.ckpt")
    again = Module.load_from_checkpoint(path, model=build(form, seed=1), weights_only=False)
    close(again.state_dict(), module.state_dict())


@pytest.mark.filterwarnings("ignore")
@STATES
def test_the_trainer_of_hugging_face(form, data, tmp_path, capsys):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("accelerate", reason="accelerate is not installed")

    class Model(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, x, labels):
            output = self.model(x)
            kind = transformers.modeling_outputs.SequenceClassifierOutput
            return kind(loss=mse(output, labels), logits=output)

    model = Model(build(form))
    arguments = transformers.TrainingArguments(
        str(tmp_path),
        use_cpu=True,
        max_steps=3,
        per_device_train_batch_size=12,
        gradient_accumulation_steps=2,
        max_grad_norm=0.0,
        lr_scheduler_type="constant",
        report_to="none",
        save_steps=3,
        disable_tqdm=True,
    )
    samples = [{"x": x, "labels": y} for x, y in zip(*data, strict=True)]
    own = torch.optim.SGD(model.parameters(), 0.1)
    trainer = transformers.Trainer(model, arguments, train_dataset=samples, optimizers=(own, None))
    trainer.train()
    trained = {name: p.detach().clone() for name, p in model.model.named_parameters()}
    close(trained, steps(build(form), [data]))
    before = trainer.evaluate(samples)["eval_loss"]
    trainer.model.load_state_dict(Model(build(form, seed=1)).state_dict())
    trainer.train(resume_from_checkpoint=True)
    assert trainer.evaluate(samples)["eval_loss"] == pytest.approx(before)


def test_a_given_pattern_is_trained_by_any_loop(data):
    model = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 2))
    impose(model, {"0.weight": torch.eye(6).int()})
    small = es.compact(copy.deepcopy(model))
    steps(model, [data])
    steps(small, [data])
    weight = model[0].weight.detach()
    assert weight.unique().numel() == 2
    torch.testing.assert_close(small(data[0]), model(data[0]))
