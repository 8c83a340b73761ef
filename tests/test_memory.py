"""The memory of large outputs: reused when a tensor dies, and never while it lives."""

import copy
import io
import os
import threading

import pytest
import torch
from agreement import value_and_gradient
from sharing_cases import tensor

from equishare import ops, reference
from equishare._native import core
from equishare.ops._memory import output

MIB = 1 << 20
LIMIT = 256 * MIB


@pytest.fixture(autouse=True)
def empty_pool():
    ops.empty_cache()
    assert core.pool.held() == 0
    yield
    ops.empty_cache()


def gradient(seed, rows=600, groups=600, dtype=torch.float32):
    """Gradient of logits, 1.4 MB unless told otherwise, and what it must be."""
    logits, values = tensor(seed, rows, groups, dtype=dtype), tensor(seed + 1, groups, dtype=dtype)
    _, found, _ = value_and_gradient(ops.soft_gather, logits, values)
    _, expected, _ = value_and_gradient(reference.soft_gather, logits, values)
    return found, expected


def test_sizes_that_no_memory_holds_are_torchs_to_refuse():
    labels, x = torch.zeros(4, dtype=torch.int64), torch.zeros(4)
    for groups in (2**62, 2**45):
        with pytest.raises(RuntimeError):
            ops.hard_scatter(labels, x, groups)


def test_a_block_larger_than_the_limit_drives_none_out():
    ops.empty_cache()
    like = torch.empty(0)
    small = output(like, (1 << 20,))
    del small
    held = core.pool.held()
    large = output(like, (100 << 20,))
    del large
    assert core.pool.held() == held > 0


def test_memory_goes_to_the_next_of_its_size_when_a_tensor_dies():
    first, _ = gradient(0)
    address = first.data_ptr()
    assert address % 64 == 0 and core.pool.held() == 0
    del first
    assert core.pool.held() == 2 * MIB
    again, expected = gradient(1)
    assert again.data_ptr() == address and core.pool.held() == 0
    torch.testing.assert_close(again, expected)
    other, _ = gradient(2, rows=1200)
    assert other.data_ptr() != address


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_of_every_dtype(dtype):
    found, expected = gradient(0, rows=1100, dtype=dtype)
    assert found.dtype == dtype and found.is_contiguous()
    del found
    assert core.pool.held() > 0
    again, _ = gradient(0, rows=1100, dtype=dtype)
    tolerance = {} if dtype.itemsize > 2 else {"atol": 1e-3, "rtol": 5e-2}
    torch.testing.assert_close(again, expected, **tolerance)


def test_memory_of_the_living_is_not_given_away():
    # Kept by itself, by a view, by an array of numpy, and by a graph that another gradient needs.
    whole, view, array = gradient(0), gradient(1), gradient(2)
    kept = [(whole[0], whole[1]), (view[0][5:7, ::2], view[1][5:7, ::2]), (array[0].numpy(), array[1].numpy())]
    logits, values = tensor(3, 600, 600).requires_grad_(), tensor(4, 600)
    (slope,) = torch.autograd.grad(ops.soft_gather(logits, values).square().sum(), logits, create_graph=True)
    (expected,) = torch.autograd.grad(reference.soft_gather(logits, values).square().sum(), logits, create_graph=True)
    del whole, view, array
    for seed in range(5, 10):
        gradient(seed)
    for found, right in kept:
        torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(right))
    torch.testing.assert_close(slope, expected)
    second, right = (torch.autograd.grad((x * x).sum(), logits)[0] for x in (slope, expected))
    torch.testing.assert_close(second, right)


def test_a_bounded_number_of_bytes_is_kept():
    capsules = [core.pool.take((size * MIB,), core.pool.floating, 8) for size in (100, 100, 100, 300)]
    assert core.pool.held() == 0
    while capsules:
        del capsules[-1]
        assert core.pool.held() <= LIMIT
    assert core.pool.held() == 200 * MIB  # of 300 MiB too much, of the oldest 100 too
    ops.empty_cache()
    assert core.pool.held() == 0


def test_small_outputs_are_as_before():
    found, _ = gradient(0, rows=60)
    del found
    assert core.pool.held() == 0


def test_such_a_tensor_is_as_any_other():
    found, expected = gradient(0)
    buffer = io.BytesIO()
    torch.save(found, buffer)
    buffer.seek(0)
    for other in (copy.deepcopy(found), found.clone(), torch.load(buffer)):
        torch.testing.assert_close(other, expected)
    found.share_memory_()
    torch.testing.assert_close(found, expected)
    found.requires_grad_().sum().backward()
    assert found.grad is not None


# Torch instantiates the Function itself as it traces.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_under_transforms_and_compilers():
    logits, values = tensor(0, 2, 600, 600), tensor(1, 2, 600)

    def loss(z, v):
        return ops.soft_gather(z, v).square().sum()

    def plain(z, v):
        return reference.soft_gather(z, v).square().sum()

    expected = torch.func.vmap(torch.func.grad(plain))(logits, values)
    for _ in range(2):
        torch.testing.assert_close(torch.func.vmap(torch.func.grad(loss))(logits, values), expected)
        leaf = logits[0].clone().requires_grad_()
        torch.compile(loss, backend="aot_eager")(leaf, values[0]).backward()
        torch.testing.assert_close(leaf.grad, expected[0])


def test_threads_do_not_share_memory():
    failures = []

    def work(seed):
        for step in range(5):
            found, expected = gradient(10 * seed + step)
            if not torch.allclose(found, expected):
                failures.append((seed, step))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert 0 < core.pool.held() <= LIMIT


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_child_does_not_wait_for_a_thread_of_its_parent(run_python):
    code = """
import os, threading, warnings
from equishare._native import core
from equishare.ops._memory import output
warnings.simplefilter("ignore", DeprecationWarning)  # a fork with threads about is what is tried here
take = lambda: core.pool.take((1 << 20,), core.pool.floating, 8)
done = threading.Event()
def churn():
    while not done.is_set():
        take()
threads = [threading.Thread(target=churn) for _ in range(2)]
for thread in threads: thread.start()
for _ in range(50):
    child = os.fork()
    if child == 0:
        take()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
done.set()
for thread in threads: thread.join()
print("forked")
"""
    done = run_python(code)
    assert done.returncode == 0 and done.stdout.strip() == "forked", done.stderr
