"""A forked child of a process that has computed on several threads; torch itself hangs there on more than one."""

import os

import pytest

from equishare import _native

CHILD = """
import os, signal, torch
from equishare import ops

torch.set_num_threads(2)
logits, values, x = torch.randn(2000, 200), torch.randn(200), torch.randn(2000)
labels = torch.arange(400_000, dtype=torch.int32).remainder(200).view(2000, 200)
leaf = logits.clone().requires_grad_()
calls = {
    "soft_gather": lambda: ops.soft_gather(logits, values),
    "soft_scatter": lambda: ops.soft_scatter(logits, x),
    "penalties": lambda: ops.assignment_penalties(logits)[0],
    "hard_gather": lambda: ops.hard_gather(labels, values),
    "hard_scatter": lambda: ops.hard_scatter(labels, logits, 200),
    "shared_linear": lambda: ops.shared_linear(values, labels, values),
    "gradient": lambda: torch.autograd.grad(ops.soft_gather(leaf, values), leaf, x)[0],
}
before = {name: call() for name, call in calls.items()}
for name, call in calls.items():
    child = os.fork()
    if child == 0:
        signal.alarm(120)  # a child that hangs ends, and the test fails
        os._exit(0 if torch.allclose(call().flatten()[:9], before[name].flatten()[:9], rtol=1e-4, atol=1e-5) else 1)
    assert os.waitpid(child, 0)[1] == 0, name
"""


@pytest.mark.skipif(_native.core is None, reason="plain PyTorch hangs in such a child")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_computes(run_python):
    # torch may warn that it forks with threads, depending on versions: that is what is tested.
    done = run_python("import warnings; warnings.simplefilter('ignore')\n" + CHILD)
    assert done.returncode == 0, done.stderr[-2000:]
