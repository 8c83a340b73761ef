"""The CUDA kernels over tables of sizes: emulated on the CPU everywhere, and on a device where there is one."""

import cuda_cases as cases
import pytest
import torch
from cuda_cases import BF16, F16, F32, F64, LABEL_DTYPES
from sharing_cases import tensor

from equishare import ops, reference

dtypes = pytest.mark.parametrize("dtype", [F32, F64, BF16, F16], ids=str)
search_dtypes = pytest.mark.parametrize("dtype", [F32, F64], ids=str)

# Not multiples of a warp or a tile, a team of lanes or a block a row, too long for shared memory, batches,
# several chunks, columns on both sides of a tile, nothing at all.
SOFT = [(1, 1, 1, 1), (1, 1, 5, 1), (1, 5, 1, 1), (3, 7, 4, 1), (2, 33, 17, 1), (1, 65, 64, 1), (1, 3, 1100, 1)]
SOFT += [(2, 4, 2056, 1), (1, 2, 9000, 1), (2, 300, 24, 1), (1, 40, 260, 1), (2, 0, 3, 1), (0, 4, 3, 1)]
SOFT += [(1, 3, 2, 3), (2, 70, 66, 5), (1, 10, 10, 130), (1, 300, 5, 2), (2, 0, 3, 2), (2, 3, 4, 0)]


@dtypes
@pytest.mark.parametrize("sizes", SOFT, ids=str)
def test_soft_sharing(device, dtype, sizes):
    cases.check_soft(device, dtype, *sizes)


@search_dtypes
@pytest.mark.parametrize("with_values", [False, True], ids=["alone", "joint"])
@pytest.mark.parametrize("sizes", [s[:3] for s in SOFT if s[3] == 1], ids=str)
def test_penalties(device, dtype, sizes, with_values):
    cases.check_penalties(device, dtype, *sizes, with_values)


@search_dtypes
@pytest.mark.parametrize("sizes", [*(s[:3] for s in SOFT if s[3] == 1 and s[1]), (3, 90, 90)], ids=str)
def test_relax(device, dtype, sizes):
    cases.check_relax(device, dtype, *sizes)


HARD = [(1, 1, 1, 1), (3, 7, 4, 1), (1, 1000, 9, 1), (2, 33, 100, 1), (1, 3000, 300, 1), (1, 50, 9000, 1)]
HARD += [(2, 13, 5, 3), (1, 70, 3, 130), (2, 40, 200, 8), (2, 0, 3, 1), (0, 3, 3, 2)]


@dtypes
@pytest.mark.parametrize("label_dtype", LABEL_DTYPES, ids=str)
@pytest.mark.parametrize("sizes", HARD, ids=str)
def test_hard_sharing(device, dtype, label_dtype, sizes):
    for shared in (False, True):
        cases.check_hard(device, dtype, *sizes, label_dtype, shared)


LINEAR = [(1, 1, 1, 1), (1, 21, 70, 5), (3, 16, 64, 7), (5, 9, 33, 300), (9, 70, 66, 5), (70, 20, 40, 120)]
LINEAR += [(0, 4, 3, 2), (1, 5, 8, 5000), (1, 3, 0, 2)]


@dtypes
@pytest.mark.parametrize("label_dtype", LABEL_DTYPES, ids=str)
@pytest.mark.parametrize("sizes", LINEAR, ids=str)
def test_shared_linear(device, dtype, label_dtype, sizes):
    for with_bias in (False, True):
        cases.check_linear(device, dtype, *sizes, label_dtype, with_bias)


@dtypes
def test_arrays_that_do_not_begin_at_a_multiple_of_16_bytes(device, dtype):
    def shifted(x):
        return torch.cat((x.new_zeros(1), x.flatten()))[1:].view(x.shape)

    z, v, u = cases.inputs(device, dtype, (2, 9, 32), (2, 32, 1), (2, 9, 1))
    aligned, other = cases.soft_gather(z, v), cases.soft_gather(shifted(z), shifted(v))
    cases.near(other[0], aligned[0])
    for ours, theirs in zip(
        cases.soft_gather_backward(shifted(z), shifted(v), u, *aligned),
        cases.soft_gather_backward(z, v, u, *aligned),
        strict=True,
    ):
        cases.near(ours, theirs, 5)


@dtypes
@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("bad", ["nan", "all excluded", "infinite"])
def test_a_bad_row_spoils_that_row_only(device, dtype, bad, columns):
    z, v, u = cases.inputs(device, dtype, (1, 6, 40), (1, 40, columns), (1, 6, columns))
    good = cases.soft_gather(z, v)
    good_gradient = cases.soft_gather_backward(z, v, u, *good)[0]
    z[0, 2, 3] = float("inf" if bad == "infinite" else "nan")
    if bad == "all excluded":
        z[0, 2] = -float("inf")
    results = cases.soft_gather(z, v)
    gradient = cases.soft_gather_backward(z, v, u, *results, with_values=False)[0]
    others = [0, 1, 3, 4, 5]
    for ours, theirs in ((results[0], good[0]), (gradient, good_gradient)):
        assert ours[0, 2].isnan().any()
        assert torch.equal(ours[0, others], theirs[0, others])


@dtypes
@pytest.mark.parametrize("columns", [1, 2])
def test_excluded_groups(device, dtype, columns):
    z, v, u = cases.inputs(device, dtype, (1, 5, 1030), (1, 1030, columns), (1, 5, columns))
    z[0, :, :1025] = -float("inf")  # whole packs and whole threads of a row
    z[0, 1, 1026] = -float("inf")
    results = cases.soft_gather(z, v)
    dz, dv = cases.soft_gather_backward(z, v, u, *results)
    assert all(x.isfinite().all() for x in (*results, dz, dv))
    assert not dz[0, :, :1025].any() and not dv[0, :1025].any()
    cases.near(results[0], reference.soft_gather(z.double(), v.double()))


@search_dtypes
def test_decided_rows_and_unused_groups(device, dtype):
    z = torch.tensor([[1e4, -1e4, -1e4], [0.0, 1e4, -1e4], [1e4, 0.0, -float("inf")]], dtype=dtype, device=device)
    z = z.repeat(2, 1, 1)
    x, u = (tensor(i, 2, 3, dtype=dtype).to(device) for i in (0, 1))
    one = torch.ones(2, dtype=dtype, device=device)
    relaxed = ops.relax_forward(z, x)
    mean = (x[:, 0] + x[:, 2]) / 2
    cases.near(relaxed.theta, torch.stack((mean, x[:, 1], mean), 1))
    assert not relaxed.psi[:, 2].any() and not relaxed.entropy.any()
    assert not ops.relax_backward(z, x, relaxed, u, one, one).any()
    assert not ops.soft_step_backward(z, x, ops.soft_step_forward(z, x), u, one, one)[0].any()


@pytest.mark.parametrize("order", [1, 2])
def test_equal_sizes_give_equal_bits(emulation, monkeypatch, order):
    def results():
        with emulation.in_place_of_device(monkeypatch):
            z, v, u = cases.inputs("cpu", F32, (2, 300, 40), (2, 40, 1), (2, 300, 1))
            theta, stats = cases.soft_gather(z, v)
            gradients = cases.soft_gather_backward(z, v, u, theta, stats)
            index = cases.random_labels("cpu", torch.uint8, 300, groups=200)
            sums = cases.unwritten(2, 200, 1, like=z)
            cases.launch("hard_scatter", z, (2, 300, 200, 1), (index, 1, 0, u, sums))
            return theta, *gradients, sums

    first = results()
    with emulation.options(order=order):
        assert all(torch.equal(a, b) for a, b in zip(first, results(), strict=True))


@pytest.mark.parametrize("most_blocks", [1, 3])
def test_grids_beyond_the_limit(emulation, monkeypatch, most_blocks):
    with emulation.in_place_of_device(monkeypatch), emulation.options(most_blocks=most_blocks):
        cases.check_barriers("cpu")


@pytest.mark.cuda
def test_large_sizes_on_a_device():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    cases.check_soft("cuda", F32, 1, 4096, 4096, 1)
    cases.check_soft("cuda", F32, 1, 65_536, 64, 1)
    cases.check_soft("cuda", F32, 1, 1024, 64, 256)
    cases.check_hard("cuda", F32, 1, 1 << 24, 64, 1, torch.uint8, True)
    cases.check_linear("cuda", F32, 64, 4096, 4096, 64, torch.uint8, True)
    cases.check_relax("cuda", F32, 600, 5, 5)
