"""Shared modules under the facilities of torch: copies, pickles, states, transforms, compilers, devices."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn.utils import parametrizations, parametrize

from equishare.sharing import (
    assignments,
    harden,
    impose,
    model_parameters,
    share,
    shared_parameters,
    sharing_parameters,
)

# torch's own tracing warns, not what is traced.
pytestmark = [pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")]
forms = pytest.mark.parametrize("form", ("soft", "hard"))


class Doubled(nn.Module):
    def forward(self, x):
        return 2 * x


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.second = nn.Linear(4, 4)
        self.third = nn.Linear(4, 2)
        parametrize.register_parametrization(self.second, "weight", Doubled())

    def forward(self, x):
        return self.third(self.second(self.first(x).relu()).relu())


def shared(form, seed=0):
    torch.manual_seed(seed)
    model = Net()
    share(model, ("first.bias", "first.weight"), dim=0)  # not in the order of the model
    share(model, "second.bias", num_groups=2)  # beside another parametrization
    share(model, "third.weight", num_groups=5)
    if form == "hard":
        harden(model)
    return model


X = torch.linspace(-1, 1, 6).reshape(2, 3)


def pickled(model):
    return pickle.loads(pickle.dumps(model))


def saved(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": pickled,
    "oldest pickle": lambda model: pickle.loads(pickle.dumps(model, protocol=0)),
    "torch.save": saved,
    "a copy of a copy": lambda model: copy.deepcopy(pickled(copy.deepcopy(model))),
}


@forms
@pytest.mark.parametrize("how", COPIES)
def test_copies_compute_the_same_and_stand_alone(form, how):
    model = shared(form)
    expected = model(X)
    replica = COPIES[how](model)
    assert torch.equal(replica(X), expected)
    assert list(assignments(replica).values()) == list(assignments(model).values())
    assert not {id(p) for p in replica.parameters()} & {id(p) for p in model.parameters()}
    replica(X).sum().backward()
    with torch.no_grad():
        for p in replica.parameters():
            p.zero_()
    parametrize.remove_parametrizations(replica.third, "weight")
    with parametrize.cached():
        assert not replica(X).any()
        assert torch.equal(model(X), expected)
    if form == "soft":
        harden(replica)
        assert len(sharing_parameters(model)) == 3


def test_a_pickle_loads_in_a_fresh_process(tmp_path, run_python):
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))  # of classes that the other process can import
    share(model, ("0.weight", "0.bias"), dim=0)
    parametrizations.orthogonal(model[1], "weight")
    share(model, "1.bias")
    torch.save(model, tmp_path / "model.pt")
    torch.save(model(X), tmp_path / "y.pt")
    result = run_python(
        f"""
import torch
model = torch.load(r"{tmp_path / "model.pt"}", weights_only=False)
x = torch.linspace(-1, 1, 6).reshape(2, 3)
assert torch.equal(model(x), torch.load(r"{tmp_path / "y.pt"}", weights_only=False))
model[0].weight.sum().backward()
""",
        OMP_NUM_THREADS="1",
    )
    assert result.returncode == 0, result.stderr


class Counted(nn.Linear):
    """Keeps state of its own in pickles and copies."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.calls = 7

    def __getstate__(self):
        return {**self.__dict__, "calls": self.calls + 1}


def test_a_class_keeps_its_own_state_and_type():
    layer = Counted(3, 4)
    share(layer, "weight")
    replica = pickled(layer)
    assert replica.calls == 8 and isinstance(replica, Counted) and type(replica) is not type(layer)
    parametrize.remove_parametrizations(replica, "weight")
    assert type(replica) is Counted


STATES = {"soft into soft": ("soft", "soft"), "hard into hard": ("hard", "hard"), "hard into soft": ("hard", "soft")}


@pytest.mark.parametrize("case", STATES)
@pytest.mark.parametrize("assign", (False, True))
def test_states_load(case, assign):
    source, target = STATES[case]
    model, other = shared(source, 0), shared(target, 1)
    state = copy.deepcopy(model.state_dict())
    assert other.load_state_dict(state, assign=assign).missing_keys == []
    assert torch.equal(other(X), model(X))
    assert list(other.state_dict()) == list(state)
    if source == "hard":
        assert harden(other) == harden(model)
    other(X).sum().backward()


def test_a_state_names_logits_once_for_tied_parameters():
    assert [key for key in shared("soft").state_dict() if key.startswith("first")] == [
        "first.parametrizations.weight.original",
        "first.parametrizations.weight.0.assignment.logits",
        "first.parametrizations.bias.original",
    ]


@forms
def test_dtypes_and_devices(form):
    model = shared(form)
    y = model(X)
    assert model.double()(X.double()).dtype == torch.float64
    torch.testing.assert_close(model(X.double()).float(), y)
    for p in sharing_parameters(model) + model_parameters(model):
        assert p.dtype == torch.float64
    half = copy.deepcopy(model).bfloat16()
    assert half(X.bfloat16()).dtype == torch.bfloat16
    meta = copy.deepcopy(model).to("meta")
    assert meta(X.double().to("meta")).shape == y.shape
    if form == "hard":
        assert all(a.labels.dtype == torch.uint8 for a in assignments(half))


def test_a_model_on_the_meta_device_can_be_shared_and_filled():
    with torch.device("meta"):
        model = nn.Linear(3, 2)
    share(model, "weight", num_groups=4)
    other = nn.Linear(3, 2)
    share(other, "weight", num_groups=4)
    model.to_empty(device="cpu").load_state_dict(other.state_dict())
    assert torch.equal(model(X), other(X))


@forms
@pytest.mark.parametrize("backend", ("eager", "aot_eager"))
def test_compiles_without_breaks(form, backend):
    model = shared(form)
    torch._dynamo.reset()
    compiled = torch.compile(model, backend=backend, fullgraph=True)
    torch.testing.assert_close(compiled(X), model(X))
    compiled(X).square().sum().backward()
    gradients = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    model(X).square().sum().backward()
    for p, gradient in zip(model.parameters(), gradients, strict=True):
        torch.testing.assert_close(p.grad, gradient)


def test_hardening_recompiles():
    model = shared("soft")
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    compiled(X)
    harden(model)
    torch.testing.assert_close(compiled(X), model(X))


@forms
def test_functional_call_under_vmap_and_grad(form):
    model = shared(form)
    names = dict(model.named_parameters())
    stacked = {k: torch.stack((p.detach(), 2 * p.detach())) for k, p in names.items()}

    def loss(parameters):
        return functional_call(model, parameters, (X,)).square().sum()

    gradients = vmap(grad(loss))(stacked)
    # Tensors swapped in must be swapped out again, those of a tied assignment too.
    assert all(p is names[k] for k, p in model.named_parameters())
    for i, factor in enumerate((1, 2)):
        other = copy.deepcopy(model)
        with torch.no_grad():
            for p in other.parameters():
                p.mul_(factor)
        other(X).square().sum().backward()
        for k, p in other.named_parameters():
            torch.testing.assert_close(gradients[k][i], p.grad, rtol=1e-4, atol=1e-5)


@forms
def test_cached_reads_theta_once(form):
    model = shared(form)
    with parametrize.cached():
        assert model.first.weight is model.first.weight
        assert torch.equal(model(X), model(X))
    assert model.first.weight is not model.first.weight


@forms
def test_removing_the_parametrizations_leaves_theta(form):
    model = shared(form)
    y = model(X)
    for name in list(shared_parameters(model)):
        path, _, leaf = name.rpartition(".")
        parametrize.remove_parametrizations(model.get_submodule(path), leaf)
        torch.testing.assert_close(model(X), y)
    assert type(model.first) is nn.Linear and parametrize.is_parametrized(model.second)
    assert shared_parameters(model) == {} and model.first.weight.shape == (4, 3)
    share(model, "first.weight")


def test_a_parametrization_on_top_stays():
    model = nn.Linear(3, 3)
    share(model, "weight", num_groups=4)
    parametrize.register_parametrization(model, "weight", Doubled())
    values, theta = model.parametrizations.weight.original, model.weight.detach()
    impose(model, {"weight": torch.zeros(3, 3, dtype=torch.int64)})
    torch.testing.assert_close(model.weight, 2 * values.expand(9).reshape(3, 3))
    torch.testing.assert_close(model.weight.mean(), theta.mean())
    assert torch.equal(pickled(model).weight, model.weight)


def test_distributed_data_parallel(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        for form in ("soft", "hard"):
            model = nn.parallel.DistributedDataParallel(shared(form))
            before = [p.detach().clone() for p in model.parameters()]
            optimizer = torch.optim.SGD(model.parameters(), 0.1)
            model(X).square().sum().backward()
            optimizer.step()
            assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
            assert len(sharing_parameters(model)) == (3 if form == "soft" else 0)
            assert list(harden(model)) == [
                "module.first.weight",
                "module.first.bias",
                "module.second.bias",
                "module.third.weight",
            ]
    finally:
        torch.distributed.destroy_process_group()
