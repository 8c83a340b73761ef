"""SharedLinear.from_weight: the nearest weight with few values, by exact clustering."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from equishare import ops, reference
from equishare.clustering import _MOST_BINS, least_squares_groups
from equishare.nn import SharedLinear


def scatter(value, labels):
    return sum(((value[labels == g] - value[labels == g].mean()) ** 2).sum() for g in np.unique(labels))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("groups", [1, 2, 3, 5])
def test_groups_are_the_best_of_all(seed, groups):
    value = np.random.default_rng(seed).normal(size=9).round(1)
    labels, means = least_squares_groups(value, groups)
    x = np.sort(value)
    best = min(
        scatter(x, np.searchsorted(cuts, np.arange(9), side="right"))
        for cuts in itertools.combinations(range(1, 9), groups - 1)
    )
    assert scatter(value, labels) == pytest.approx(best, abs=1e-12)
    assert means == pytest.approx([value[labels == g].mean() for g in range(groups)])


@pytest.mark.parametrize("scale", [1e-200, 1, 1e300])
@pytest.mark.parametrize("offset", [0, 1e6])
def test_units_and_offsets_do_not_matter(scale, offset):
    value = np.random.default_rng(0).normal(size=200)
    labels, means = least_squares_groups((value + offset) * scale, 4)
    expected, _ = least_squares_groups(value, 4)
    assert np.array_equal(labels, expected)
    assert np.isfinite(means).all()


@pytest.mark.parametrize("value", [[3.0], [2, 2, 2], [1, 4, 1, 4]])
def test_few_different_numbers_are_few_groups(value):
    labels, means = least_squares_groups(np.array(value, dtype=float), 7)
    assert means.tolist() == sorted(set(value)) and means[labels].tolist() == value


@pytest.mark.parametrize("draw", ["normal", "standard_cauchy", "exponential"])
def test_many_numbers_are_clustered_better_than_by_starts(draw):
    value = getattr(np.random.default_rng(1), draw)(size=_MOST_BINS + 20_000)
    labels, means = least_squares_groups(value, 6)
    ours = ((value - means[labels]) ** 2).sum()
    theirs = KMeans(6, n_init=3, random_state=0).fit(value[:, None]).inertia_
    assert ours <= theirs * (1 + 1e-6)
    assert ours == pytest.approx(scatter(value, labels))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("block", [None, 1, 4, 5, 100])
@pytest.mark.parametrize("bias", [True, False])
def test_the_layer_has_the_nearest_weight(dtype, block, bias):
    torch.manual_seed(0)
    linear = torch.nn.Linear(40, 10, bias=bias, dtype=dtype)
    linear.weight.data[7:] *= 4
    layer = SharedLinear.from_weight(linear.weight, 3, linear.bias, block=block)
    step = 10 if block is None else min(block, 10)
    for first in range(0, 10, step):
        rows = slice(first, first + step)
        weight = linear.weight[rows].detach().double().numpy()
        labels, means = least_squares_groups(weight.ravel(), 3)
        found = layer.weight[rows].detach().double().numpy()
        np.testing.assert_allclose(found.ravel(), means[labels], rtol=2 * torch.finfo(dtype).eps)
    assert layer.weight.dtype == dtype and (layer.bias is not None) == bias
    assert layer.partition.num_groups == 3 * -(-10 // step)
    x = torch.randn(6, 40, dtype=dtype)
    torch.testing.assert_close(layer(x), layer.to_linear()(x))
    assert f"block={min(block, 10)}" in repr(layer) if block else "block" not in repr(layer)
    other = SharedLinear(40, 10, layer.labels.flip(0), bias, dtype=dtype, block=block)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(x), layer(x))


@pytest.mark.parametrize("block", [1, 300, 512])
def test_codebooks_of_many_weights(block):
    torch.manual_seed(0)
    linear = torch.nn.Linear(256, 512)
    layer = SharedLinear(256, 512, torch.randint(16, (512, 256)), block=block)
    x = torch.randn(3, 256, requires_grad=True)
    y = layer(x)
    y.backward(torch.ones_like(y))
    found = [x.grad.clone(), layer.values.grad.clone(), layer.bias.grad.clone()]
    x.grad = layer.values.grad = layer.bias.grad = None
    expected = torch.nn.functional.linear(x, layer.weight, layer.bias)
    torch.testing.assert_close(y, expected)
    expected.backward(torch.ones_like(y))
    for ours, theirs in zip(found, (x.grad, layer.values.grad, layer.bias.grad), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    assert linear.weight.shape == layer.weight.shape


def test_more_codebooks_are_nearer():
    torch.manual_seed(0)
    weight = torch.randn(64, 256) * torch.logspace(-1, 1, 64)[:, None]
    errors = [
        (SharedLinear.from_weight(weight, 8, block=block).weight - weight).square().sum().item()
        for block in (None, 16, 4, 1)
    ]
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize("kind", [np.asarray, np.ndarray.tolist, lambda w: w.astype(np.float16)])
def test_arrays(kind):
    weight = np.random.default_rng(0).normal(size=(3, 8))
    weight.setflags(write=False)
    layer = SharedLinear.from_weight(kind(weight), 24, bias=[1, 2, 3])
    assert layer.values.dtype == torch.float32 and layer.bias.tolist() == [1, 2, 3]
    np.testing.assert_allclose(layer.weight.detach(), weight, atol=2e-3)


WEIGHT = torch.arange(6.0).reshape(2, 3)
REFUSED = {
    "a vector": ((torch.ones(3), 2), ValueError, r"weight must have 2 dimension\(s\), got shape \(3,\)"),
    "no numbers": ((torch.ones(0, 3), 2), ValueError, r"outputs and inputs, got shape \(0, 3\)"),
    "NaN": ((WEIGHT / 0, 2), ValueError, "weight must be finite, got 6 NaN or infinite"),
    "complex": ((WEIGHT * 1j, 2), TypeError, "weight must hold real numbers"),
    "words": ((np.array([["a"]]), 2), TypeError, "weight must hold real numbers"),
    "a layer": ((torch.nn.Linear(3, 2), 2), TypeError, "must be an array or a tensor, got a Linear: give its weight"),
    "the bias first": ((WEIGHT, torch.ones(2), 2), TypeError, "num_groups must be an integer, got a Tensor"),
    "no groups": ((WEIGHT, 0), ValueError, "num_groups must be at least 1, got 0"),
    "half a group": ((WEIGHT, 2.5), TypeError, "num_groups must be an integer, got 2.5"),
    "a bool": ((WEIGHT, True), TypeError, "num_groups must be an integer, got True"),
    "many groups": ((WEIGHT, 5000), ValueError, "num_groups must be at most 4096, got 5000"),
    "another bias": ((WEIGHT, 2, torch.ones(3)), ValueError, r"bias must have shape \(2,\), got \(3,\)"),
    "a bias of two dimensions": ((WEIGHT, 2, WEIGHT), ValueError, r"bias must have 1 dimension\(s\)"),
    "no block": ((WEIGHT, 2, None, 0), ValueError, "block must be at least 1, got 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    arguments, exception, message = REFUSED[case]
    with pytest.raises(exception, match=message):
        SharedLinear.from_weight(*arguments)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("groups", [3, 16, 40, 300])
@pytest.mark.parametrize("block", [1, 7, 90, 200])
def test_codebooks_agree_with_the_plain_form(dtype, groups, block):
    generator = torch.Generator().manual_seed(block)
    outputs, inputs = 90, 61
    labels = torch.randint(groups, (outputs, inputs), generator=generator)
    values, bias = (
        torch.randn(*shape, dtype=dtype, generator=generator) for shape in ((-(-outputs // block), groups), (90,))
    )
    is_packed = groups <= 16
    codes = ops.pack_labels(labels) if is_packed else labels
    for samples in (0, 1, 5, 64):
        x, u = (torch.randn(samples, own, dtype=dtype, generator=generator) for own in (inputs, outputs))
        found = []
        for call in (
            lambda x, v, b: ops.shared_linear(x, codes, v, b, is_packed, block),
            lambda x, v, b: reference.shared_linear(x, labels, v, b, block=block),
        ):
            leaves = [one.clone().requires_grad_() for one in (x, values, bias)]
            y = call(*leaves)
            found.append([y.detach(), *torch.autograd.grad(y, leaves, u)])
        tolerance = {"rtol": 0.05, "atol": 0.5} if dtype is torch.bfloat16 else {"rtol": 1e-4, "atol": 1e-4}
        for ours, expected in zip(*found, strict=True):
            torch.testing.assert_close(ours, expected, **tolerance)


def test_gradients_of_gradients_of_codebooks():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(5, (70, 61), generator=generator)
    leaves = [
        torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_() for shape in ((3, 61), (10, 5))
    ]

    def function(x, values):
        return ops.shared_linear(x, labels, values, block=7)

    assert torch.autograd.gradcheck(function, leaves, fast_mode=True)
    assert torch.autograd.gradgradcheck(function, leaves, fast_mode=True)


@pytest.mark.parametrize("outputs", [6, 90])  # torch's own gather, our kernel
@pytest.mark.parametrize("samples", [0, 1, 3, 64])
def test_a_label_beyond_its_codebook_is_refused(outputs, samples):
    labels = torch.zeros(outputs, 61, dtype=torch.int16)
    labels[0, 60] = 4  # the first value of the next one
    with pytest.raises(ValueError, match=r"0\.\.3 for 4 group\(s\), got labels from 0 to 4"):
        ops.shared_linear(torch.ones(samples, 61), labels, torch.ones(-(-outputs // 2), 4), block=2)


@pytest.mark.parametrize(
    ("block", "shape", "message"),
    [
        (0, (3, 4), "block must be at least 1, got 0"),
        (4, (4,), r"\(⌈O/block⌉, G\), here \(3, G\), got \(4,\)"),
        (4, (2, 4), r"here \(3, G\), got \(2, 4\)"),
        (None, (3, 4), r"values must have shape \(G,\), got \(3, 4\)"),
    ],
)
def test_codebooks_that_do_not_fit(block, shape, message):
    with pytest.raises(ValueError, match=message):
        ops.shared_linear(torch.ones(2, 6), torch.zeros(10, 6, dtype=torch.uint8), torch.ones(shape), block=block)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_codebooks_under_transforms_and_compilers():
    torch.manual_seed(0)
    layer = SharedLinear.from_weight(torch.randn(90, 61), 8, block=4)
    x = torch.randn(3, 5, 61)
    expected = x @ layer.weight.T
    torch.testing.assert_close(torch.vmap(layer)(x), expected)
    torch.testing.assert_close(torch.compile(layer, backend="aot_eager", fullgraph=True)(x), expected)
    torch.testing.assert_close(torch.export.export(layer, (x,)).module()(x), expected)


@pytest.mark.parametrize("block", [1, 40, 90])  # gathered, a kernel for each, one codebook
@pytest.mark.parametrize("frozen", ["x", "values"])
def test_what_is_frozen_has_no_gradient(block, frozen):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (90, 2000), generator=generator)
    leaves = {
        "x": torch.randn(3, 2000, generator=generator, requires_grad=frozen != "x"),
        "values": torch.randn(-(-90 // block), 4, generator=generator, requires_grad=frozen != "values"),
    }
    (wanted,) = (one for one in leaves.values() if one.requires_grad)
    (found,) = torch.autograd.grad(ops.shared_linear(leaves["x"], labels, leaves["values"], block=block).sum(), wanted)
    plain = reference.shared_linear(leaves["x"], labels, leaves["values"], block=block).sum()
    torch.testing.assert_close(found, torch.autograd.grad(plain, wanted)[0], rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_block_of_more_outputs_than_there_are_is_one_codebook(dtype):
    x, values = torch.randn(2, 70, dtype=dtype), torch.randn(1, 5, dtype=dtype)
    labels = torch.randint(5, (90, 70))
    expected = ops.shared_linear(x, labels, values[0])
    assert torch.equal(ops.shared_linear(x, labels, values, block=2**63 - 1), expected)


@pytest.mark.parametrize("block", [7.0, "a", True])
def test_a_block_that_is_no_integer_is_refused(block):
    with pytest.raises(TypeError, match="block must be an integer"):
        ops.shared_linear(torch.ones(2, 6), torch.zeros(10, 6, dtype=torch.uint8), torch.ones(2, 3), block=block)


def test_gradients_of_halves_are_summed_in_float32():
    x, u = torch.full((64, 61), 40.0).half(), torch.full((64, 90), 30.0).half()
    u[:, 1::2] *= -1
    values = torch.ones(45, 1).half().requires_grad_()
    ops.shared_linear(x, torch.zeros(90, 61, dtype=torch.uint8), values, block=2).backward(u)
    assert (values.grad == 0).all()


@pytest.mark.parametrize("block", [None, 4])
@pytest.mark.parametrize("view", ["expanded", "strided"])
def test_labels_of_a_vmap_may_lie_anywhere_in_memory(block, view):
    labels = torch.randint(5, (6, 90, 61), generator=torch.Generator().manual_seed(0))
    labels[1] = 5  # which is not read
    labels = labels[:1].expand(3, -1, -1) if view == "expanded" else labels[::2]
    values, x = torch.randn((5,) if block is None else (23, 5)), torch.randn(3, 2, 61)

    def function(labels, x):
        return ops.shared_linear(x, labels, values, block=block)

    expected = torch.stack([function(*one) for one in zip(labels, x, strict=True)])
    torch.testing.assert_close(torch.vmap(function)(labels, x), expected)
    if view == "strided":
        labels[2] = 5
        with pytest.raises(ValueError, match="got labels from 0 to 5"):
            torch.vmap(function)(labels, x)
