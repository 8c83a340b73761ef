"""Values of the fused operations against their plain twins, on every instruction set."""

import os
import subprocess
import sys

import pytest
import torch
from agreement import SOFT, assert_agree, dtypes, kernels_at_all_sizes, soft  # noqa: F401
from sharing_cases import labels, tensor

from equishare import _native, ops

# Around the width of a vector, both sides of the size where a second thread starts, several problems.
SHAPES = [((), 1, 1), ((), 1, 5), ((), 5, 1), ((3,), 7, 4), ((2, 3), 5, 17), ((), 33, 16)]
SHAPES += [((1,), 600, 40), ((3,), 90, 90)]
WITH_COLUMNS = [(n, c) for n in SOFT for c in (None, 1, 3) if c is None or n in ("soft_gather", "soft_scatter")]


@dtypes
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "columns"), WITH_COLUMNS)
def test_soft_values_and_gradients(name, columns, shape, dtype):
    batch, rows, groups = shape
    last = () if columns is None else (columns,)
    assert_agree(
        SOFT[name],
        tensor(0, *batch, rows, groups, dtype=dtype, scale=3),
        tensor(1, *batch, groups, *last, dtype=dtype),
        tensor(2, *batch, rows, *last, dtype=dtype),
        scale=3,
    )


LABELS = [(torch.uint8, torch.float32), (torch.int16, torch.float64)]
LABELS += [(torch.int32, torch.float64), (torch.int64, torch.float32)]
label_dtypes = pytest.mark.parametrize(("label_dtype", "dtype"), LABELS, ids=str)


@label_dtypes
@pytest.mark.parametrize("columns", [None, 3])
@pytest.mark.parametrize(("batch", "rows", "groups"), [((), 1, 1), ((3,), 7, 4), ((2, 3), 5, 6), ((), 20_000, 9)])
def test_hard_values_and_gradients(batch, rows, groups, columns, label_dtype, dtype):
    index = labels(3, *batch, rows, groups=groups, dtype=label_dtype)
    last = () if columns is None else (columns,)
    scale = 1 + rows**0.5 / 5
    values, x = tensor(1, *batch, groups, *last, dtype=dtype), tensor(2, *batch, rows, *last, dtype=dtype)
    assert_agree(lambda o, v: o.hard_gather(index, v), values, scale=scale)
    assert_agree(lambda o, x: o.hard_scatter(index, x, groups), x, scale=scale)


def test_sums_of_many_entries_keep_their_digits():
    x = torch.full((3_000_000,), 0.1)
    assert ops.hard_scatter(torch.zeros(len(x), dtype=torch.uint8), x, 1).item() == pytest.approx(3e5, rel=1e-6)


@label_dtypes
@pytest.mark.parametrize("batch", [(), (1,), (4,), (2, 3), (50,), (0,)], ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_shared_linear(batch, bias, label_dtype, dtype):
    index = labels(0, 21, 70, groups=5, dtype=label_dtype)
    inputs = [tensor(1, *batch, 70, dtype=dtype), tensor(2, 5, dtype=dtype)]
    inputs += [tensor(3, 21, dtype=dtype)] if bias else []
    assert_agree(lambda o, x, v, *b: o.shared_linear(x, index, v, *b), *inputs, scale=10)


def test_shared_linear_on_several_threads():
    index = labels(0, 300, 400, groups=9)
    assert_agree(lambda o, x, v: o.shared_linear(x, index, v), tensor(1, 2, 400), tensor(2, 9), scale=100)


BROADCAST = {
    "one set of logits, a batch of values": ("soft_gather", (1, 4, 3), (5, 3)),
    "a batch of logits, one vector": ("soft_gather", (5, 4, 3), (3,)),
    "both, with columns": ("soft_gather", (2, 1, 4, 3), (1, 5, 3, 2)),
    "scatter, one set of logits": ("soft_scatter", (1, 4, 3), (5, 4)),
    "scatter, one vector": ("soft_scatter", (5, 4, 3), (4,)),
    "project": ("soft_project", (2, 1, 4, 3), (5, 4)),
}


@pytest.mark.parametrize("case", BROADCAST)
def test_broadcast_leading_dimensions(case):
    name, *shapes = BROADCAST[case]
    assert_agree(lambda o, *a: getattr(o, name)(*a), *(tensor(i, *shape) for i, shape in enumerate(shapes)))


HARD_BROADCAST = {
    "one vector for a matrix of labels": ((2, 4), (3,)),
    "one vector of labels for a batch": ((4,), (1, 3, 2)),
    "both": ((5, 1, 4), (1, 2, 3)),
    "both with columns": ((5, 1, 4), (1, 2, 3, 2)),
}


@pytest.mark.parametrize("case", HARD_BROADCAST)
def test_hard_gather_broadcasts(case):
    label_shape, shape = HARD_BROADCAST[case]
    index = labels(0, *label_shape, groups=3)
    assert_agree(lambda o, v: o.hard_gather(index, v), tensor(1, *shape))


@soft
def test_inputs_need_not_be_contiguous(name):
    z, v, x = tensor(0, 3, 4, 2).permute(2, 1, 0), tensor(1, 3, 2).T, tensor(2, 4, 2).T
    assert not (z.is_contiguous() or v.is_contiguous() or x.is_contiguous())
    # value_and_gradient clones, and so keeps the strides.
    assert_agree(SOFT[name], z, v, x)


def test_labels_need_not_be_contiguous():
    index = labels(0, 7, 5, groups=3).T
    assert_agree(lambda o, v: o.hard_gather(index, v), tensor(1, 5, 3))
    assert_agree(lambda o, x: o.hard_scatter(index, x, 3), tensor(1, 7, 5).T)
    assert_agree(lambda o, x, v: o.shared_linear(x, index, v), tensor(1, 7), tensor(2, 3))


@pytest.mark.parametrize(("batch", "rows"), [((), 0), ((0,), 4), ((2, 0), 0)], ids=str)
def test_empty_inputs(batch, rows):
    z, v, x = tensor(0, *batch, rows, 3), tensor(1, *batch, 3), tensor(2, *batch, rows)
    index = labels(0, *batch, rows, groups=3)
    for function in SOFT.values():
        assert_agree(function, z, v, x)
    assert_agree(lambda o, v: o.hard_gather(index, v), v)
    assert_agree(lambda o, x: o.hard_scatter(index, x, 3), x)


def test_tensors_without_data():
    z, v = torch.empty(2, 5, 3, device="meta"), torch.empty(2, 3, device="meta")
    assert ops.soft_gather(z, v).shape == (2, 5)
    assert ops.assignment_penalties(z)[0].shape == (2,)
    assert ops.hard_gather(torch.zeros(7, dtype=torch.int32, device="meta"), v[0]).shape == (7,)


_Z, _V, _X, _I = torch.zeros(4, 3), torch.zeros(3), torch.zeros(4), torch.tensor([0, 1, 2, 1])
ERRORS = {
    "gather, groups": (
        lambda: ops.soft_gather(_Z, torch.zeros(4)),
        ValueError,
        r"values must have shape .*G = 3.*\(4,\)",
    ),
    "gather, batch read as columns": (
        lambda: ops.soft_gather(_Z, torch.zeros(9, 3)),
        ValueError,
        "columns exactly when",
    ),
    "gather, leading": (
        lambda: ops.soft_gather(torch.zeros(2, 4, 3), torch.zeros(5, 3, 1)),
        ValueError,
        "leading dimensions of logits",
    ),
    "gather, no groups": (lambda: ops.soft_gather(torch.zeros(4, 0), torch.zeros(0)), ValueError, "G at least 1"),
    "gather, one dimension": (lambda: ops.soft_gather(_V, _V), ValueError, "logits must have shape"),
    "gather, dtypes": (lambda: ops.soft_gather(_Z, _V.double()), TypeError, "values must have the dtype of logits"),
    "gather, integers": (lambda: ops.soft_gather(_Z.long(), _V.long()), TypeError, "logits must have a floating dtype"),
    "gather, no tensor": (lambda: ops.soft_gather([[0.0]], _V), TypeError, "logits must be a torch.Tensor, got list"),
    "gather, devices": (
        lambda: ops.soft_gather(_Z, _V.to("meta")),
        ValueError,
        "values must be on the device of logits",
    ),
    "scatter, rows": (lambda: ops.soft_scatter(_Z, _V), ValueError, r"x must have shape \(\.\.\., K\) with K = 4"),
    "project, columns": (lambda: ops.soft_project(_Z, torch.zeros(4, 2)), ValueError, "x must have fewer dimensions"),
    "penalties": (lambda: ops.assignment_penalties(_V), ValueError, r"logits must have shape .* got \(3,\)"),
    "label too large": (lambda: ops.hard_gather(_I + 1, _V), ValueError, "labels must lie in 0..2 .* from 1 to 3"),
    "label negative": (lambda: ops.hard_scatter(_I - 1, _X, 3), ValueError, "labels must lie in 0..2 .* from -1 to 1"),
    "label, half": (lambda: ops.hard_gather(_I + 1, _V.half()), ValueError, "labels must lie in 0..2"),
    "label, linear": (
        lambda: ops.shared_linear(_X, _I.int().expand(2, 4) + 1, _V),
        ValueError,
        "labels must lie in 0..2",
    ),
    "label dtype": (lambda: ops.hard_gather(_I.to(torch.int8), _V), TypeError, "labels must be uint8, int16, int32 or"),
    "labels no tensor": (lambda: ops.hard_gather([0], _V), TypeError, "labels must be a torch.Tensor"),
    "labels scalar": (lambda: ops.hard_gather(_I[0], _V), ValueError, "labels must have at least 1 dimension"),
    "labels device": (lambda: ops.hard_gather(_I.to("meta"), _V), ValueError, "labels must be on cpu, got meta"),
    "num_groups": (lambda: ops.hard_scatter(_I, _X, -1), ValueError, "num_groups must not be negative, got -1"),
    "scatter length": (lambda: ops.hard_scatter(_I, _V, 3), ValueError, "x must have shape .* K = 4"),
    "linear, x": (lambda: ops.shared_linear(_V, _I.expand(2, 4), _V), ValueError, r"labels must have shape \(O, I\)"),
    "linear, values": (
        lambda: ops.shared_linear(_X, _I.expand(2, 4), _Z),
        ValueError,
        r"values must have shape \(G,\)",
    ),
    "linear, bias": (
        lambda: ops.shared_linear(_X, _I.expand(2, 4), _V, _V),
        ValueError,
        r"bias must have shape \(2,\)",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_name_the_argument(case):
    call, error, message = ERRORS[case]
    with pytest.raises(error, match=message):
        call()


def test_the_forced_or_else_the_best_instruction_set_is_used():
    assert _native.instruction_sets()[0] == "baseline"
    assert _native.instruction_set() == (os.environ.get("EQUISHARE_ISA") or _native.instruction_sets()[-1])


@pytest.mark.parametrize("name", _native.instruction_sets())
def test_every_instruction_set(name):
    if name == _native.instruction_set():
        pytest.skip("the rest of this file runs on it")
    chosen = "vec_math or soft_values or halves or first_logit or many_columns or tiles or long_rows or step or "
    chosen += "shared_linear or excluded or bad_row or equal_bits or relax or forced or test_hard"
    here = os.path.dirname(__file__)
    files = [
        os.path.join(here, file)
        for file in ("test_vec_math.py", "test_ops.py", "test_soft.py", "test_hard.py", "test_relax.py")
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", chosen, *files],
        env={**os.environ, "EQUISHARE_ISA": name},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
