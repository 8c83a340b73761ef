"""Labels of up to 16 groups, two a byte: packing, the linear map that reads them, and the layer that keeps them."""

import copy
import io
import pickle

import pytest
import torch

from equishare import ops, reference
from equishare.nn import SharedLinear
from equishare.ops.linear import linear, linear_grad

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
# Samples, outputs, inputs, groups: odd and even rows, less and more than a vector, a block and a tile.
SIZES = ((1, 3, 5, 4), (1, 90, 63, 16), (1, 70, 4229, 11), (3, 80, 129, 16), (21, 90, 61, 5), (64, 90, 257, 16))


def drawn(sizes, dtype=torch.float32):
    generator = torch.Generator().manual_seed(sum(sizes))
    samples, outputs, inputs, groups = sizes
    x, values, bias, u = (
        torch.randn(*shape, generator=generator).to(dtype)
        for shape in ((samples, inputs), (groups,), (outputs,), (samples, outputs))
    )
    return x, torch.randint(groups, (outputs, inputs), generator=generator), values, bias, u


@pytest.mark.parametrize("shape", [(0,), (1,), (7,), (8,), (3, 5), (2, 3, 6), (4, 0)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64])
def test_labels_come_back(shape, dtype):
    labels = torch.randint(16, shape).to(dtype)
    packed = ops.pack_labels(labels)
    assert packed.dtype == torch.uint8 and packed.shape == (*shape[:-1], (shape[-1] + 1) // 2)
    back = ops.unpack_labels(packed, shape[-1])
    assert back.dtype == torch.uint8 and torch.equal(back.long(), labels.long())


def test_the_first_of_two_is_the_low_half():
    assert ops.pack_labels(torch.tensor([1, 2, 15])).tolist() == [0x21, 0x0F]


@pytest.mark.parametrize(
    ("labels", "exception", "message"),
    [
        (torch.tensor([0, 16]), ValueError, r"0\.\.15, got labels from 0 to 16; with more groups leave them"),
        (torch.tensor([-1, 3]), ValueError, "got labels from -1 to 3"),
        (torch.tensor([0.5]), TypeError, "integers, got torch.float32"),
        ([0, 1], TypeError, "integers, got list"),
        (torch.tensor(3), ValueError, r"shape \(\.\.\., I\), got \(\)"),
    ],
)
def test_what_cannot_be_packed(labels, exception, message):
    with pytest.raises(exception, match=message):
        ops.pack_labels(labels)


@pytest.mark.parametrize(
    ("packed", "exception", "message"),
    [
        (torch.zeros(2, 2, dtype=torch.uint8), ValueError, r"\(\.\.\., 5\) for 9 labels, two a byte, got \(2, 2\)"),
        (torch.zeros((), dtype=torch.uint8), ValueError, r"got \(\)"),
        (torch.zeros(2, 5), TypeError, "uint8, as pack_labels gives it, got torch.float32"),
        ([1], TypeError, "got list"),
    ],
)
def test_what_cannot_be_unpacked(packed, exception, message):
    with pytest.raises(exception, match=message):
        ops.unpack_labels(packed, 9)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_shared_linear_is_that_of_bytes(sizes, dtype):
    x, labels, values, bias, u = drawn(sizes, dtype)
    packed = ops.pack_labels(labels)
    exact = reference.shared_linear(x.double(), labels, values.double(), bias.double())
    y = ops.shared_linear(x, packed, values, bias, packed=True)
    error = {torch.float32: 2e-6, torch.float64: 1e-14, torch.bfloat16: 1e-2, torch.float16: 1e-3}[dtype]
    assert y.dtype == dtype and (y - exact).abs().max() <= error * exact.abs().max()
    found = []
    for form, is_packed in ((packed, True), (labels.to(torch.uint8), False)):
        leaves = [t.clone().requires_grad_() for t in (x, values, bias)]
        ops.shared_linear(leaves[0], form, *leaves[1:], packed=is_packed).backward(u)
        found.append([leaf.grad for leaf in leaves])
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=0)


@pytest.mark.parametrize("sizes", [(1, 90, 63, 4), (1, 70, 300, 16), (4, 90, 61, 3)], ids=str)
def test_values_that_no_label_names_leave_no_trace(sizes):
    x, labels, values, _, _ = drawn(sizes)
    labels = labels.clamp(min=1)
    values[0] = float("inf")
    y = ops.shared_linear(x, ops.pack_labels(labels), values, packed=True)
    torch.testing.assert_close(y, reference.shared_linear(x, labels, values))
    torch.testing.assert_close(ops.shared_linear(x, labels.to(torch.uint8), values), y)


def test_gradients_of_gradients():
    x, labels, values, bias, _ = drawn((3, 70, 61, 5), torch.float64)
    packed = ops.pack_labels(labels)
    leaves = [t.requires_grad_() for t in (x, values, bias)]

    def function(*leaves):
        return ops.shared_linear(leaves[0], packed, *leaves[1:], packed=True)

    assert torch.autograd.gradcheck(function, leaves, fast_mode=True)
    assert torch.autograd.gradgradcheck(function, leaves, fast_mode=True)


@pytest.mark.parametrize("samples", [0, 1, 3, 64])
def test_labels_out_of_range_are_refused(samples):
    labels = torch.zeros(70, 63, dtype=torch.uint8)
    labels[69, 62] = 9
    with pytest.raises(ValueError, match=r"0\.\.8 for 9 group\(s\), got labels from 0 to 9"):
        ops.shared_linear(torch.ones(samples, 63), ops.pack_labels(labels), torch.ones(9), packed=True)


def test_the_half_byte_behind_an_odd_row_is_no_label():
    x, labels, values, _, _ = drawn((1, 80, 63, 5))
    packed = ops.pack_labels(labels)
    packed[:, -1] |= 0xF0
    torch.testing.assert_close(ops.shared_linear(x, packed, values, packed=True), x @ values[labels].T)


@pytest.mark.parametrize(
    ("labels", "exception", "message"),
    [
        (
            torch.zeros(4, 6, dtype=torch.uint8),
            ValueError,
            r"\(O, ⌈I/2⌉\), packed, and x .* \(4, 6\) and x \(2, 6",
        ),
        (torch.zeros(4, 3, dtype=torch.int64), TypeError, "packed labels must be uint8, two a byte .*int64"),
    ],
)
def test_forms_that_do_not_fit(labels, exception, message):
    with pytest.raises(exception, match=message):
        ops.shared_linear(torch.ones(2, 6), labels, torch.ones(3), packed=True)


def test_registered_operations():
    x, labels, values, bias, u = drawn((3, 70, 61, 5))
    packed = ops.pack_labels(labels)
    checks = ("test_schema", "test_faketensor")
    torch.library.opcheck(linear.overload, (x, packed, values, bias, True, 0), test_utils=checks)
    torch.library.opcheck(linear_grad.overload, (x, packed, values, u, True, True, True), test_utils=checks)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("samples", [1, 5])
def test_transforms_and_traces(samples):
    x, labels, values, bias, _ = drawn((samples, 90, 61, 5))
    layer = SharedLinear(61, 90, labels)
    with torch.no_grad():
        layer.values.copy_(values), layer.bias.copy_(bias)
    expected = layer(x)
    batched = torch.vmap(layer)(x.expand(3, *x.shape))
    torch.testing.assert_close(batched[1], expected)
    torch.testing.assert_close(torch.func.jvp(layer, (x,), (x,))[0], expected)
    for recorded in (torch.jit.trace(layer, x), torch.export.export(layer, (x,)).module()):
        torch.testing.assert_close(recorded(2 * x), layer(2 * x))


@pytest.mark.parametrize(("groups", "size"), [(2, 8), (16, 8), (17, 16)])
def test_the_layer_keeps_half_a_byte_for_up_to_16_groups(groups, size):
    layer = SharedLinear(32, 8, torch.arange(256).reshape(8, 32) % groups, bias=False)
    assert layer.codes.nbytes == 8 * size * 2
    assert layer.labels.dtype == torch.uint8 and torch.equal(layer.labels, torch.arange(256).reshape(8, 32) % groups)
    assert list(layer.state_dict()) == ["values", "codes"]


@pytest.mark.parametrize("groups", [3, 16, 200])
def test_layers_are_saved_copied_and_converted(groups):
    labels = torch.arange(7 * 37).reshape(7, 37) % groups
    layer = SharedLinear(37, 7, labels)
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other = SharedLinear(37, 7, labels.flip(0))
    other.load_state_dict(torch.load(file, weights_only=True))
    x = torch.randn(2, 37)
    for same in (other, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), layer.double().float()):
        assert torch.equal(same(x), layer(x)) and torch.equal(same.labels.long(), labels)


@pytest.mark.parametrize("groups", [3, 200])
def test_states_and_layers_of_version_0_1(groups):
    labels = torch.arange(7 * 37).reshape(7, 37) % groups
    layer, other = SharedLinear(37, 7, labels), SharedLinear(37, 7, labels.flip(0))
    state = layer.state_dict()
    state["labels"] = labels.to(torch.uint8)
    del state["codes"]
    assert not any(other.load_state_dict(state))
    assert torch.equal(other.labels.long(), labels) and "labels" in state
    old = copy.deepcopy(layer)
    old._buffers["labels"] = labels.to(torch.uint8)
    del old._buffers["codes"], old.block
    loaded = pickle.loads(pickle.dumps(old))
    assert torch.equal(loaded(torch.ones(1, 37)), layer(torch.ones(1, 37))) and list(loaded.state_dict()) == list(
        layer.state_dict()
    )
    with pytest.raises(RuntimeError, match="size mismatch for codes"):
        other.load_state_dict(state | {"labels": torch.zeros(5, 4, dtype=torch.uint8)})
