import pytest
import torch
from sharing_cases import CASES, leaves, sample, tensor, total
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vjp, vmap
from torch.utils._pytree import tree_leaves

from equishare import ops

# Both come from torch's own tracing, not from what is traced.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning"),
]
cases = pytest.mark.parametrize("name", CASES)


def assert_same(ours, theirs):
    pairs = list(zip(tree_leaves(ours), tree_leaves(theirs), strict=True))
    assert pairs
    for a, b in pairs:
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


@cases
def test_first_and_second_derivatives(name):
    fused, _, inputs = sample(name, requires_grad=True)
    assert torch.autograd.gradcheck(fused, inputs, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(fused, inputs)


def stacked(inputs, dim=0):
    return tuple(torch.stack((x, 2 * x), dim) for x in inputs)


TRANSFORMS = {
    "grad": lambda f, n, inputs: grad(total(f), n)(*inputs),
    "vjp": lambda f, n, inputs: vjp(total(f), *inputs)[1](torch.ones((), dtype=torch.float64)),
    "jvp": lambda f, n, inputs: jvp(f, inputs, inputs),
    "jacrev": lambda f, n, inputs: jacrev(f, n)(*inputs),
    "jacfwd": lambda f, n, inputs: jacfwd(f, n)(*inputs),
    "hessian": lambda f, n, inputs: hessian(total(f), n)(*inputs),
    "reverse over reverse": lambda f, n, inputs: jacrev(jacrev(total(f), n), n)(*inputs),
    "vmap": lambda f, n, inputs: vmap(f)(*stacked(inputs)),
    "vmap of one, not the first axis": lambda f, n, inputs: vmap(f, in_dims=(-1, *(None for _ in n[1:])))(
        stacked(inputs[:1], -1)[0], *inputs[1:]
    ),
    "vmap of grad": lambda f, n, inputs: vmap(grad(total(f), n))(*stacked(inputs)),
    "grad of vmap": lambda f, n, inputs: grad(total(vmap(f)), n)(*stacked(inputs)),
}


@cases
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_torch_func(name, transform):
    fused, plain, inputs = sample(name)
    apply = TRANSFORMS[transform]
    n = tuple(range(len(inputs)))
    assert_same(apply(fused, n, inputs), apply(plain, n, inputs))


@cases
def test_pullback_without_recording(name):
    fused, plain, inputs = sample(name)
    ours, theirs = (vjp(total(f), *inputs)[1] for f in (fused, plain))
    with torch.no_grad():
        assert_same(ours(torch.ones((), dtype=torch.float64)), theirs(torch.ones((), dtype=torch.float64)))


@cases
def test_compile_in_one_graph(name):
    fused, plain, inputs = sample(name, requires_grad=True)
    torch._dynamo.reset()
    compiled = torch.compile(fused, fullgraph=True, backend="aot_eager")
    assert_same(compiled(*inputs), plain(*inputs))
    assert_same(compiled(*(x.detach() for x in inputs)), plain(*inputs))
    assert_same(
        torch.autograd.grad(total(compiled)(*inputs), inputs),
        torch.autograd.grad(total(plain)(*inputs), inputs),
    )


@cases
def test_compiled_transform(name):
    fused, plain, inputs = sample(name)
    n = tuple(range(len(inputs)))
    torch._dynamo.reset()
    compiled = torch.compile(grad(total(fused), n), fullgraph=True, backend="aot_eager")
    assert_same(compiled(*inputs), grad(total(plain), n)(*inputs))


def test_compile_with_changing_sizes():
    torch._dynamo.reset()
    compiled = torch.compile(ops.soft_gather, fullgraph=True, dynamic=True, backend="aot_eager")
    for rows, groups in ((4, 3), (9, 5), (17, 2)):
        logits, values = tensor(0, rows, groups), tensor(1, groups)
        assert_same(compiled(logits, values), ops.soft_gather(logits, values))


@cases
def test_a_gradient_of_one_input_alone(name):
    fused, plain, inputs = sample(name)
    for i in range(len(inputs)):
        chosen = tuple(x.clone().requires_grad_(i == j) for j, x in enumerate(inputs))
        assert_same(
            torch.autograd.grad(total(fused)(*chosen), chosen[i]),
            torch.autograd.grad(total(plain)(*chosen), chosen[i]),
        )


@pytest.mark.parametrize("which", [0, 1])
def test_one_penalty_alone(which):
    fused, plain, (logits,) = sample("assignment_penalties", requires_grad=True)
    ours = torch.autograd.grad(fused(logits)[which].sum(), logits, create_graph=True)
    theirs = torch.autograd.grad(plain(logits)[which].sum(), logits, create_graph=True)
    assert_same(ours, theirs)
    v = tensor(9, *logits.shape)
    assert_same(torch.autograd.grad((ours[0] * v).sum(), logits), torch.autograd.grad((theirs[0] * v).sum(), logits))


@cases
def test_autocast_leaves_the_result_alone(name):
    fused, _, inputs = sample(name)
    inputs = tuple(x.float().requires_grad_() for x in inputs)
    expected = fused(*inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        lowered = fused(*inputs)
        second = torch.autograd.grad(total(fused)(*inputs), inputs, create_graph=True)
        torch.autograd.grad(sum((g * g).sum() for g in second), inputs)
    for a, b in zip(leaves(lowered), leaves(expected), strict=True):
        assert a.dtype == torch.float32
        assert torch.equal(a, b)


def test_autocast_joins_mixed_dtypes():
    logits, values = tensor(0, 4, 3, dtype=torch.float32), tensor(1, 3, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = ops.soft_gather(logits, values)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, ops.soft_gather(logits, values.float()))


OPCHECK = {
    "soft_gather": ((2, 4, 3), (2, 3)),
    "soft_scatter": ((2, 4, 3), (2, 4, 2)),
    "logit_grad": ((2, 4, 3), (2, 3), (2, 4), (2, 4), (2, 4, 2)),
    "soft_gather_backward": ((2, 4, 3), (2, 3, 2), (2, 4, 2), (2, 4, 2), (2, 4, 2)),
    "assignment_penalties": ((2, 4, 3),),
    "soft_gather_penalties": ((2, 4, 3), (2, 3)),
    "soft_gather_penalties_backward": ((2, 4, 3), (2, 3), (2, 4), (2, 4), (2, 4, 3), (2, 3), (2,), (2,)),
    "assignment_penalties_backward": ((2, 4, 3), (2, 4, 3), (2, 3), (2,), (2,)),
}
_LABELS = torch.tensor([0, 2, 1, 1])
_MATRIX = torch.tensor([[0, 2, 1, 1], [2, 2, 0, 1]], dtype=torch.uint8)
OPCHECK_HARD = {
    "hard_gather": (_LABELS, (2, 3), False),
    "hard_scatter": (_LABELS, (2, 4, 2), 3, True),
    "shared_linear": ((5, 4), _MATRIX, (3,), None, False, 0),
    "shared_linear_backward": ((5, 4), _MATRIX, (3,), (5, 2), True, True, False),
}


OPCHECK_PACKED = {
    "shared_linear": ((5, 4), ops.pack_labels(_MATRIX), (2, 3), None, True, 1),
    "shared_linear_backward": ((5, 4), ops.pack_labels(_MATRIX), (3,), (5, 2), True, True, True),
}


@pytest.mark.parametrize(("name", "described"), [*OPCHECK.items(), *OPCHECK_HARD.items(), *OPCHECK_PACKED.items()])
def test_registration(name, described):
    inputs = tuple(tensor(i, *x) if isinstance(x, tuple) else x for i, x in enumerate(described))
    overload = getattr(torch.ops.equishare, name).default
    # The derivative lies outside of the operators, in autograd Functions.
    utilities = ("test_schema", "test_faketensor", "test_aot_dispatch_dynamic")
    torch.library.opcheck(overload, inputs, test_utils=utilities)


@pytest.mark.parametrize("name", ["shared_linear", "shared_linear, codebooks", "soft_gather", "hard_gather"])
def test_gradients_of_several_cotangents_at_once(name):
    rng = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 7, (300, 300), generator=rng)
    x, values, many, logits = (
        torch.randn(shape, generator=rng, dtype=torch.float64, requires_grad=True)
        for shape in ((3, 300), (7,), (2, 7), (300, 7))
    )
    out, inputs = {
        "shared_linear": (lambda: ops.shared_linear(x, labels, values), (x, values)),
        "shared_linear, codebooks": (lambda: ops.shared_linear(x, labels, many, block=250), (x, many)),
        "soft_gather": (lambda: ops.soft_gather(logits, values), (logits, values)),
        "hard_gather": (lambda: ops.hard_gather(labels, values), (values,)),
    }[name]
    y = out()
    cotangents = torch.randn((4, *y.shape), generator=rng, dtype=torch.float64)
    together = torch.autograd.grad(y, inputs, cotangents, is_grads_batched=True, retain_graph=True)
    each = [torch.autograd.grad(y, inputs, one, retain_graph=True) for one in cotangents]
    assert_same(together, tuple(torch.stack(own) for own in zip(*each, strict=True)))
