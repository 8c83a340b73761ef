"""The soft operations at the edges of their kernels: pivots, tiles, columns, long rows, halves, memory, determinism."""

from functools import partial

import pytest
import torch
from agreement import (
    DTYPES,
    SOFT,
    assert_agree,
    assert_near,
    dtypes,
    kernels_at_all_sizes,  # noqa: F401
    soft,
    value_and_gradient,
)
from sharing_cases import leaves, tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from equishare import ops, reference
from equishare.ops import soft as soft_module


@dtypes
@soft
def test_huge_logits_and_excluded_groups(name, dtype):
    inf = float("inf")
    logits = torch.tensor(
        [[1e4, -1e4, 0], [-1e4, -1e4, -1e4], [1e4, 1e4, -1e4], [-inf, 0, 1], [-inf, -inf, 5], [9999.5, 1e4, 1e4]],
        dtype=dtype,
    )
    v, x = tensor(1, 3, dtype=dtype), tensor(2, 6, dtype=dtype)
    ours = assert_agree(SOFT[name], logits, v, x)
    assert all(y.isfinite().all() for y in ours)
    gradient = ours[-3]
    assert torch.equal(gradient[3:5][logits[3:5] == -inf], torch.zeros(3, dtype=dtype))
    double = torch.autograd.functional.hvp(
        lambda z: sum((y * y).sum() for y in leaves(SOFT[name](ops, z, v, x))), logits, torch.ones_like(logits)
    )[1]
    assert double.isfinite().all()


@dtypes
@soft
def test_a_group_that_no_row_uses(name, dtype):
    logits = tensor(0, 4, 3, dtype=dtype)
    logits[:, 1] = -float("inf")
    v, x = tensor(1, 3, dtype=dtype), tensor(2, 4, dtype=dtype)
    ours = assert_agree(SOFT[name], logits, v, x)
    assert all(y.isfinite().all() for y in ours)


@dtypes
@pytest.mark.parametrize("bad", ["nan", "all excluded", "infinite"])
def test_a_bad_row_spoils_that_row_only(bad, dtype):
    logits, values = tensor(0, 6, 20, dtype=dtype), tensor(1, 20, dtype=dtype)
    if bad == "nan":
        logits[2, 3] = float("nan")
    elif bad == "infinite":
        logits[2, 3] = float("inf")
    else:
        logits[2] = -float("inf")
    spoilt = torch.arange(6) == 2
    theta, grad_logits, _ = value_and_gradient(ops.soft_gather, logits, values)
    assert torch.equal(theta.isnan(), spoilt)
    assert torch.equal(grad_logits.isnan(), spoilt[:, None].expand(6, 20))
    _, _, grad_x = value_and_gradient(ops.soft_scatter, logits, tensor(2, 6, dtype=dtype))
    assert torch.equal(grad_x.isnan(), spoilt)


class Allocations(TorchDispatchMode):
    """Largest number of bytes held at once by tensors created while it is on."""

    def __init__(self):
        super().__init__()
        self.live, self.peak = {}, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for made in tree_leaves(result):
            if isinstance(made, torch.Tensor):
                storage = made.untyped_storage()
                self.live[storage.data_ptr()] = StorageWeakRef(storage), storage.nbytes()
        self.live = {k: v for k, v in self.live.items() if not v[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self.live.values()))
        return result


def test_softmax_is_never_stored():
    logits, values = tensor(0, 300, 200).requires_grad_(), tensor(1, 200).requires_grad_()
    gradient_alone = logits.nbytes

    def peak(function):
        with Allocations() as memory:
            torch.autograd.grad(function(logits, values).sum(), (logits, values))
        return memory.peak

    assert peak(reference.soft_gather) > 1.9 * gradient_alone  # or the measure measures nothing
    small = 20 * 8 * (300 + 200)
    assert gradient_alone <= peak(ops.soft_gather) <= gradient_alone + small


def test_softmax_is_never_stored_in_eager_mode():
    # The mode above makes operations take the dispatcher; the profiler sees the eager path.
    logits, values = tensor(0, 300, 200).requires_grad_(), tensor(1, 200).requires_grad_()
    with torch.profiler.profile(profile_memory=True) as profile:
        result = torch.autograd.grad(ops.soft_gather(logits, values).sum(), (logits, values))
    sizes = [e.self_cpu_memory_usage for e in profile.events() if e.self_cpu_memory_usage >= logits.nbytes // 4]
    assert sizes == [logits.nbytes]
    assert result[0].shape == logits.shape


@pytest.mark.parametrize("threads", [1, 2, 3])
@soft
def test_equal_bits_for_equal_thread_counts(name, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        z, v, x = tensor(0, 1000, 50, dtype=torch.float32), tensor(1, 50).float(), tensor(2, 1000).float()
        first = value_and_gradient(partial(SOFT[name], ops), z, v, x)
        for _ in range(5):
            again = value_and_gradient(partial(SOFT[name], ops), z, v, x)
            assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    finally:
        torch.set_num_threads(before)


HALF_SHAPES = [((), 5, 3), ((), 40, 70), ((20,), 6, 5), ((2,), 33, 200)]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("shape", HALF_SHAPES, ids=str)
@pytest.mark.parametrize("columns", [None, 3, 70])
@pytest.mark.parametrize("name", ["soft_gather", "soft_scatter"])
def test_halves_are_stored_and_computed_with_in_float32(name, columns, shape, dtype):
    batch, rows, groups = shape
    last = () if columns is None else (columns,)
    inputs = [
        tensor(0, *batch, rows, groups, dtype=dtype),
        tensor(1, *batch, groups, *last, dtype=dtype),
        tensor(2, *batch, rows, *last, dtype=dtype),
    ]
    ours = value_and_gradient(partial(SOFT[name], ops), *inputs)
    # The weights of the cotangents must be those that the halves hold.
    doubled = [x.double().requires_grad_() for x in inputs]
    result = leaves(SOFT[name](reference, *doubled))
    scalar = sum((y * tensor(70 + i, *y.shape, dtype=dtype).double()).sum() for i, y in enumerate(result))
    theirs = (*result, *torch.autograd.grad(scalar, doubled, materialize_grads=True))
    rounding = torch.finfo(dtype).eps
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == dtype
        torch.testing.assert_close(
            a.double(), b.detach(), rtol=2 * rounding, atol=rounding * float(b.detach().abs().max()) / 4 + 1e-6
        )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_other_soft_operations_on_halves_take_the_plain_composition(dtype):
    z, v, x = tensor(0, 5, 3, dtype=dtype), tensor(1, 3, dtype=dtype), tensor(2, 5, dtype=dtype)
    for name in ("soft_project", "assignment_penalties", "soft_gather_penalties"):
        ours, theirs = (leaves(SOFT[name](o, z, v, x)) for o in (ops, reference))
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("first", [-1e30, -200.0, -50.0, 50.0, 3e4])
def test_a_row_whose_first_logit_is_far_from_the_rest(first, dtype):
    # The first logit is the pivot of its row unless the sums would lose their range by it.
    logits = tensor(0, 70, 90, dtype=dtype)
    logits[::3, 0] = first
    logits[1::7, 0] = -float("inf")
    values = tensor(1, 90, dtype=dtype)
    assert_agree(lambda o, z, v: o.soft_gather(z, v), logits, values, scale=3)
    assert_agree(lambda o, z, v: o.soft_gather(z, 1e30 * v) / 1e30, logits, values, scale=3)


# Around the tiles and blocks of the products: few and many columns, cut by rows and by columns.
COLUMN_SHAPES = [((), 10, 10, 2500), ((), 130, 64, 100), ((3,), 9, 5, 17), ((), 300, 70, 33), ((2,), 50, 3, 400)]


@dtypes
@pytest.mark.parametrize("shape", COLUMN_SHAPES, ids=str)
@pytest.mark.parametrize("threads", [1, 3])
def test_many_columns(shape, dtype, threads):
    batch, rows, groups, columns = shape
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        logits = tensor(0, *batch, rows, groups, dtype=dtype)
        values, x = tensor(1, *batch, groups, columns, dtype=dtype), tensor(2, *batch, rows, columns, dtype=dtype)
        assert_agree(lambda o, z, v: o.soft_gather(z, v), logits, values, scale=20)
        assert_agree(lambda o, z, x: o.soft_scatter(z, x), logits, x, scale=20)
    finally:
        torch.set_num_threads(before)


@dtypes
@pytest.mark.parametrize("batch", [8, 15, 16, 17, 50])
def test_tiles_of_small_problems(batch, dtype):
    logits, values = tensor(0, batch, 9, 5, dtype=dtype), tensor(1, batch, 5, dtype=dtype)
    logits[3, 2, 1] = -float("inf")
    assert_agree(lambda o, z, v: o.soft_gather(z, v), logits, values, scale=3)


@dtypes
@pytest.mark.parametrize("shape", [((), 7, 1500), ((), 70, 64), ((2,), 5, 700)], ids=str)
def test_long_rows_and_blocks_of_rows(shape, dtype):
    batch, rows, groups = shape
    z, v = tensor(0, *batch, rows, groups, dtype=dtype), tensor(1, *batch, groups, dtype=dtype)
    for name in ("soft_gather", "assignment_penalties", "soft_gather_penalties"):
        assert_agree(SOFT[name], z, v, tensor(2, *batch, rows, dtype=dtype), scale=10)


@dtypes
def test_a_step_on_reused_buffers(dtype):
    z, v, u = tensor(0, 3, 40, 20, dtype=dtype), tensor(1, 3, 20, dtype=dtype), tensor(2, 3, 40, dtype=dtype)
    weights = tensor(3, 3, dtype=dtype), tensor(4, 3, dtype=dtype)
    step = ops.soft_step_forward(z * 0, v)
    gradients = ops.soft_step_backward(z, v, step, u, *weights)
    assert ops.soft_step_forward(z, v, out=step) is step
    assert ops.soft_step_backward(z, v, step, u, *weights, out=gradients) is gradients
    logits, values = z.clone().requires_grad_(), v.clone().requires_grad_()
    theirs = reference.soft_gather_penalties(logits, values)
    assert_near((step.theta, step.entropy, step.column_norm), theirs)
    assert_near(gradients, torch.autograd.grad(theirs, (logits, values), (u, *weights)))


def test_a_step_names_what_does_not_fit():
    z, v = tensor(0, 4, 3), tensor(1, 3)
    step, one = ops.soft_step_forward(z, v), torch.ones((), dtype=z.dtype)
    with pytest.raises(ValueError, match=r"values must be a contiguous .* shape \(3,\)"):
        ops.soft_step_forward(z, v[:2])
    with pytest.raises(ValueError, match="theta must be a contiguous"):
        ops.soft_step_forward(tensor(0, 5, 3), v, out=step)
    with pytest.raises(ValueError, match="u must be a contiguous"):
        ops.soft_step_backward(z, v, step, v, one, one)
    with pytest.raises(ValueError, match="logits must be a float32 or float64"):
        ops.soft_step_forward(z.half(), v.half())


@dtypes
@pytest.mark.parametrize("place", ["logits", "part of logits", "values", "u", "theta", "each other"])
def test_a_step_is_not_written_over_what_it_reads(place, dtype):
    memory = tensor(0, 2000, dtype=dtype)
    z, v, u, one = memory[:12].view(4, 3), memory[12:15], memory[15:19], torch.ones((), dtype=dtype)
    step = ops.soft_step_forward(z, v)
    out = {
        "logits": (z, memory[100:103]),
        "part of logits": (memory[1:13].view(4, 3), memory[100:103]),
        "values": (memory[100:112].view(4, 3), v),
        "u": (memory[18:30].view(4, 3), memory[100:103]),
        "theta": (memory[100:112].view(4, 3), step.theta[:3]),
        "each other": (memory[100:112].view(4, 3), memory[111:114]),
    }[place]
    before = memory.clone()
    with pytest.raises(ValueError, match=r"grad_\w+ is overwritten and must not share memory with \w+"):
        ops.soft_step_backward(z, v, step, u, one, one, out=out)
    assert torch.equal(memory, before)
    beside = (memory[19:31].view(4, 3), memory[31:34])
    expected = ops.soft_step_backward(z.clone(), v.clone(), step, u.clone(), one, one)
    ours = ops.soft_step_backward(z, v, step, u, one, one, beside)
    assert all(torch.equal(a, b) for a, b in zip(ours, expected, strict=True))
    with pytest.raises(ValueError, match="theta is overwritten and must not share memory with values"):
        ops.soft_step_forward(z, step.theta[:3], out=step)


@pytest.mark.parametrize("shape", [(0, 4, 3), (2, 0, 3)], ids=str)
def test_a_step_of_nothing(shape):
    z, v, u, one = torch.empty(shape), torch.ones(shape[0], 3), torch.ones(shape[:2]), torch.ones(shape[0])
    step = ops.soft_step_forward(z, v)
    gradients = ops.soft_step_backward(z, v, step, u, one, one)
    again = ops.soft_step_backward(z, v, ops.soft_step_forward(z, v, out=step), u, one, one, out=gradients)
    assert again[0].shape == shape and torch.equal(again[1], torch.zeros(shape[0], 3))


@dtypes
def test_small_single_problems_take_the_plain_composition(dtype, monkeypatch):
    logits, values = tensor(0, 6, 5, dtype=dtype), tensor(1, 5, dtype=dtype)
    kernel = value_and_gradient(ops.soft_gather, logits, values)
    monkeypatch.setattr(soft_module, "_PLAIN", 30)
    plain = value_and_gradient(ops.soft_gather, logits, values)
    assert_near(plain, kernel)
    eager = value_and_gradient(reference.soft_gather, logits, values)
    assert_near(plain, eager)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert ops.soft_gather(logits, values).dtype == dtype
