"""Hard sharing and shared_linear at the sizes, label widths and storage types of each of their kernels."""

import pytest
import torch
from sharing_cases import CASES, labels, sample, tensor, total

from equishare import ops
from equishare.nn import SharedLinear
from equishare.ops import hard

STORAGE = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
storage = pytest.mark.parametrize("dtype", STORAGE, ids=str)
# Tables of one to sixteen registers on the several instruction sets, tables in memory, every width of labels.
GROUPS = [(g, torch.uint8) for g in (1, 2, 4, 5, 8, 9, 16, 17, 32, 33, 64, 65, 128, 129, 200, 256)]
GROUPS += [(g, torch.int16) for g in (3, 16, 31, 60, 100, 300, 1500)]
GROUPS += [(g, torch.int32) for g in (7, 16, 130, 2000, 40_000)] + [(g, torch.int64) for g in (6, 33, 70_000)]
groups_and_labels = pytest.mark.parametrize(("groups", "label_dtype"), GROUPS, ids=str)


def assert_rounded(ours, exact, size, arithmetic=torch.float64):
    """Ours is the exact result but for its rounding and for that of sums whose terms have the given total size."""
    unit = torch.finfo(ours.dtype).eps
    arithmetic = 20 * torch.finfo(arithmetic).eps
    least = torch.finfo(ours.dtype).smallest_normal
    assert ours.shape == exact.shape
    error = (ours.double() - exact).abs()
    assert (error <= 0.51 * unit * exact.abs() + arithmetic * size + least).all()


def sums(x, index, groups):
    return torch.zeros(groups, *x.shape[1:], dtype=torch.float64).index_add_(0, index.long(), x.double())


def assert_scattered(ours, x, index, groups):
    # In double whatever is stored.
    assert_rounded(ours, sums(x, index, groups), sums(x.abs(), index, groups))


@storage
@groups_and_labels
def test_entries(groups, label_dtype, dtype):
    rows = 12_345
    index = labels(0, rows, groups=groups, dtype=label_dtype)
    values, x = tensor(1, groups, dtype=dtype), tensor(2, rows, dtype=dtype)
    values[0] = float("nan")
    theta = ops.hard_gather(index, values)
    assert theta.dtype == dtype
    assert torch.equal(theta.isnan(), index == 0) and torch.equal(theta[index > 0], values[index.long()][index > 0])
    assert_scattered(ops.hard_scatter(index, x, groups), x, index, groups)


@storage
@pytest.mark.parametrize("groups", [16, 200, 300])
def test_outputs_larger_than_the_cache(groups, dtype):
    values = tensor(1, groups, dtype=dtype)
    index = labels(0, (17 << 20) // values.itemsize + 3, groups=groups, dtype=torch.int16)
    index = index.to(torch.uint8) if groups <= 256 else index
    assert torch.equal(ops.hard_gather(index, values), values[index.long()])


def test_streamed_outputs_of_a_batch_start_anywhere():
    values, index = tensor(1, 3, 9).float(), labels(0, 3, 1_500_001, groups=9, dtype=torch.uint8)
    assert torch.equal(ops.hard_gather(index, values), values.gather(1, index.long()))


SLICES = {
    "short": (3000, 4, 2),
    "a tail": (300, 6, 19),
    "cached sums": (5000, 20, 33),
    "several rows to a group": (900, 200, 40),
    "fewer rows than groups": (300, 900, 70),
    "no rows": (0, 3, 40),
    "one row": (1, 300, 20),
    "long": (50, 5, 9001),
}


@storage
@pytest.mark.parametrize("case", SLICES)
def test_slices(case, dtype):
    rows, groups, columns = SLICES[case]
    index = labels(0, rows, groups=groups, dtype=torch.uint8 if groups <= 256 else torch.int16)
    values, x = tensor(1, groups, columns, dtype=dtype), tensor(2, rows, columns, dtype=dtype)
    assert torch.equal(ops.hard_gather(index, values), values[index.long()])
    assert_scattered(ops.hard_scatter(index, x, groups), x, index, groups)


@storage
@pytest.mark.parametrize("columns", [(), (2,), (50,)], ids=str)
@pytest.mark.parametrize(("batch", "rows", "groups"), [(700, 9, 4), (5, 3000, 20)])
def test_problems_of_a_batch(batch, rows, groups, columns, dtype):
    index = labels(0, batch, rows, groups=groups, dtype=torch.uint8)
    values, x = tensor(1, batch, groups, *columns, dtype=dtype), tensor(2, batch, rows, *columns, dtype=dtype)
    expected = torch.stack([v[i.long()] for v, i in zip(values, index, strict=True)])
    assert torch.equal(ops.hard_gather(index, values), expected)
    scattered = ops.hard_scatter(index, x, groups)
    one = ops.hard_scatter(index[0], x if columns else x[..., None], groups)
    for b in range(batch):
        assert_scattered(scattered[b], x[b], index[b], groups)
        assert_scattered(one[b].view_as(scattered[b]), x[b], index[0], groups)
    if columns:
        assert torch.equal(ops.hard_gather(index[0], values), values[:, index[0].long()])


# outputs, inputs, groups, label dtype: on both sides of tiles, of registers and of tables.
WEIGHTS = {
    "one output": (1, 5000, 5, torch.uint8),
    "one input": (5000, 1, 5, torch.uint8),
    "more than a tile": (150, 300, 16, torch.uint8),
    "inputs in blocks": (5, 5000, 60, torch.uint8),
    "outputs in blocks": (600, 37, 30, torch.int32),
    "many groups": (67, 65, 200, torch.uint8),
    "more groups": (130, 70, 3000, torch.int16),
    "a value each": (66, 64, 66 * 64, torch.int64),
}
SAMPLES = [0, 1, 2, 5, 15, 16, 17, 29, 64, 130]


def linear_inputs(case, samples, dtype):
    outputs, inputs, groups, label_dtype = WEIGHTS[case]
    index = labels(0, outputs, inputs, groups=groups, dtype=label_dtype)
    x, values = tensor(1, samples, inputs, dtype=dtype), tensor(2, groups, dtype=dtype)
    return index, x, values, tensor(3, outputs, dtype=dtype), tensor(4, samples, outputs, dtype=dtype)


@storage
@pytest.mark.parametrize("samples", SAMPLES)
@pytest.mark.parametrize("case", WEIGHTS)
def test_linear(case, samples, dtype):
    index, x, values, bias, u = linear_inputs(case, samples, dtype)
    w, x_, u_ = values.double()[index.long()], x.double(), u.double()
    arithmetic = torch.float64 if dtype == torch.float64 else torch.float32
    y, size = x_ @ w.T + bias.double(), x_.abs() @ w.abs().T + 1
    assert_rounded(ops.shared_linear(x, index, values, bias), y, size, arithmetic)
    variables = x.clone().requires_grad_(), values.clone().requires_grad_()
    grad_x, grad_values = torch.autograd.grad(ops.shared_linear(variables[0], index, variables[1]), variables, u)
    assert_rounded(grad_x, u_ @ w, u_.abs() @ w.abs(), arithmetic)
    outer, size = (u_.T @ x_).flatten(), (u_.abs().T @ x_.abs()).flatten()
    exact, size = (sums(t, index.flatten(), len(values)) for t in (outer, size))
    assert_rounded(grad_values, exact, size, arithmetic)


def test_linear_of_more_samples_than_a_block():
    index, x, values, _, u = linear_inputs("more than a tile", 1100, torch.float64)
    x.requires_grad_(), values.requires_grad_()
    w = values[index.long()]
    for ours, theirs in zip(
        torch.autograd.grad(ops.shared_linear(x, index, values), (x, values), u),
        torch.autograd.grad(x @ w.T, (x, values), u),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize("layout", ["transposed", "every second"])
def test_linear_of_strided_inputs(layout):
    index, x, values, bias, u = linear_inputs("more than a tile", 20, torch.float64)
    expected = x @ values[index.long()].T + bias
    if layout == "transposed":
        x, index = x.T.contiguous().T, index.T.contiguous().T
    else:
        x, index, values, bias = (t.repeat_interleave(2, -1)[..., ::2] for t in (x, index, values, bias))
    assert not (x.is_contiguous() or index.is_contiguous())
    torch.testing.assert_close(ops.shared_linear(x, index, values, bias), expected)
    torch.testing.assert_close(ops.shared_linear(x.reshape(4, 5, -1), index, values, bias).flatten(0, 1), expected)


BAD = [(position, value) for position in (0, 4095, 4096, -1) for value in (-1, 9)]
OPERATIONS = {
    "gather": lambda i: ops.hard_gather(i, tensor(0, 9)),
    "gather slices": lambda i: ops.hard_gather(i, tensor(0, 9, 40)),
    "gather halves": lambda i: ops.hard_gather(i, tensor(0, 9).half()),
    "scatter": lambda i: ops.hard_scatter(i, tensor(0, len(i)), 9),
    "scatter slices": lambda i: ops.hard_scatter(i, tensor(0, len(i), 20), 9),
    "scatter two columns": lambda i: ops.hard_scatter(i, tensor(0, len(i), 2), 9),
    "scatter a batch": lambda i: ops.hard_scatter(i.view(-1, 7), tensor(0, len(i) // 7, 7), 9),
    "gather for a batch": lambda i: ops.hard_gather(i.view(-1, 7), tensor(0, len(i) // 7, 9)),
    "linear, no sample": lambda i: ops.shared_linear(tensor(0, 0, 300), i.view(-1, 300), tensor(1, 9)),
    "linear, one sample": lambda i: ops.shared_linear(tensor(0, 300), i.view(-1, 300), tensor(1, 9)),
    "linear, few samples": lambda i: ops.shared_linear(tensor(0, 3, 300), i.view(-1, 300), tensor(1, 9)),
    "linear, many samples": lambda i: ops.shared_linear(tensor(0, 64, 300), i.view(-1, 300), tensor(1, 9)),
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("label_dtype", [torch.int16, torch.int32, torch.int64, torch.uint8], ids=str)
def test_no_label_out_of_range_passes(label_dtype, operation):
    for position, value in BAD:
        index = labels(0, 8400, groups=9, dtype=label_dtype)
        index[position] = value % 256 if label_dtype == torch.uint8 else value
        with pytest.raises(ValueError, match=r"labels must lie in 0\.\.8 for 9 group\(s\), got labels from"):
            OPERATIONS[operation](index)


NOTHING = {
    "no problems": lambda index: ops.hard_gather(index, torch.ones(0, 5, 1)),
    "no groups": lambda index: ops.hard_gather(index, torch.ones(0)),
    "no columns": lambda index: ops.hard_gather(index, torch.ones(5, 0)),
    "no entries to add": lambda index: ops.hard_scatter(index, torch.ones(0, 4900, 1), 5),
    "no columns to add": lambda index: ops.hard_scatter(index, torch.ones(4900, 0), 5),
    "no samples": lambda index: ops.shared_linear(torch.ones(0, 70), index.view(70, 70), torch.ones(5)),
}


@pytest.mark.parametrize("case", NOTHING)
@pytest.mark.parametrize("spoilt", [5, -1])
def test_labels_are_checked_where_there_is_nothing_to_compute(case, spoilt):
    index = torch.arange(4900).remainder(5)
    if case != "no groups":
        assert NOTHING[case](index).numel() == 0
    index[4321] = spoilt
    with pytest.raises(ValueError, match="labels must lie in 0"):
        NOTHING[case](index)


@pytest.mark.parametrize("needed", [(True, True), (True, False), (False, True)], ids=str)
def test_labels_spoilt_between_forward_and_backward(needed):
    index, x, values, _, _ = linear_inputs("more than a tile", 20, torch.float64)
    x.requires_grad_(needed[0]), values.requires_grad_(needed[1])
    y = ops.shared_linear(x, index, values)
    index.data[3, 4] = 99
    with pytest.raises(ValueError, match="labels must lie in"):
        y.sum().backward()


HARD_CASES = [name for name in CASES if name.startswith(("hard", "shared"))]


@pytest.mark.parametrize("name", HARD_CASES)
def test_derivatives_of_the_kernels(name, monkeypatch):
    # Samples so small would otherwise be served by torch's own gather.
    monkeypatch.setattr(hard, "_FEW_ENTRIES", -1)
    fused, plain, inputs = sample(name, requires_grad=True)
    assert torch.autograd.gradcheck(fused, inputs)
    assert torch.autograd.gradgradcheck(fused, inputs)
    for i in range(len(inputs)):
        alone = tuple(x.detach().requires_grad_(i == j) for j, x in enumerate(inputs))
        ours, theirs = (torch.autograd.grad(total(f)(*alone), alone[i]) for f in (fused, plain))
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("name", HARD_CASES)
def test_few_entries_and_kernels_agree(name, monkeypatch):
    fused, _, inputs = sample(name)
    few = fused(*inputs)
    monkeypatch.setattr(hard, "_FEW_ENTRIES", -1)
    torch.testing.assert_close(fused(*inputs), few)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_equal_bits_for_equal_thread_counts(threads):
    index, x, values, bias, u = linear_inputs("more than a tile", 64, torch.float32)
    entries, flat = tensor(5, index.numel()).float(), index.flatten()
    x.requires_grad_(), values.requires_grad_()

    def results():
        y = ops.shared_linear(x, index, values, bias)
        return y, *torch.autograd.grad(y, (x, values), u), ops.hard_scatter(flat, entries, 16)

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        first = results()
        for _ in range(5):
            assert all(torch.equal(a, b) for a, b in zip(first, results(), strict=True))
    finally:
        torch.set_num_threads(before)


def test_neither_the_weight_nor_its_gradient_is_stored():
    size = 512
    layer, dense = SharedLinear(size, size, labels(0, size, size, groups=200)), torch.nn.Linear(size, size)

    def bytes_at_rest(module):
        return sum(t.nbytes for t in (*module.parameters(), *module.buffers()))

    x = tensor(1, 64, size).float().requires_grad_()
    with torch.profiler.profile(profile_memory=True) as profile:
        layer(x).sum().backward()
    most = max(e.self_cpu_memory_usage for e in profile.events())
    assert 0 < most <= x.nbytes  # the labels alone would take twice as much
    assert layer.values.grad is not None and x.grad is not None
    assert bytes_at_rest(layer) <= 0.26 * bytes_at_rest(dense)
    held = [v for v in vars(layer).values() if isinstance(v, torch.Tensor)]
    assert not held and set(layer.state_dict()) == {"values", "bias", "codes"}
