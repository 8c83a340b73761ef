"""The direct gradient in assignment logits: what autograd gives, in one pass."""

import pytest
import torch
from model_cases import columns_problem, linear_data, linear_problem, made, mse, split

import equishare as es
from equishare.methods.sinkhorn import Sinkhorn
from equishare.problems.network.replicas import Replicas, stacked
from equishare.relax.assignment import SOFTMAX, as_softmax_logits
from equishare.relax.direct import DirectGradient


@pytest.mark.parametrize("assignment", [SOFTMAX, Sinkhorn(3)], ids=["softmax", "sinkhorn"])
@pytest.mark.parametrize(("make", "singles"), [(linear_problem, {"weight"}), (columns_problem, set())])
def test_it_is_that_of_autograd(make, singles, assignment):
    problem = make()
    replicas = Replicas([problem])
    generator = torch.Generator().manual_seed(0)

    def noisy(state):
        return {n: t + torch.randn(t.shape, generator=generator, dtype=t.dtype) for n, t in stacked(state, 3).items()}

    def upper_loss(lower, upper):
        soft = {name: as_softmax_logits(assignment, logits) for name, logits in upper.items()}
        value = replicas.losses(lower, soft, stacked(replicas.buffers, 3), problem.val.first(), False)
        for logits in upper.values():
            entropy, norm = assignment.penalties(logits)
            value = value + 0.3 * entropy + 0.7 * norm / logits.shape[-2]
        return value

    direct = DirectGradient(replicas.slots, assignment)
    assert direct.singles == singles
    for _ in range(2):  # the second call writes into the memory of the first
        lower, upper = noisy(replicas.soft_start), noisy(replicas.logits)
        wanted = {name: t.clone().requires_grad_() for name, t in upper.items()}
        expected = torch.autograd.grad(upper_loss(lower, wanted).sum(), list(wanted.values()))
        found = direct(upper_loss, lower, upper, (0.3, 0.7))
        assert list(found) == list(upper)
        for own, theirs in zip(found.values(), expected, strict=True):
            assert torch.allclose(own, theirs, atol=1e-12)


class Spare(torch.nn.Module):
    """A shared parameter that the output does not depend on."""

    def __init__(self):
        super().__init__()
        self.used, self.spare = torch.nn.Linear(3, 3, bias=False), torch.nn.Linear(3, 3, bias=False)

    def forward(self, x):
        return self.used(x)


@pytest.mark.parametrize("names", [["used.weight", "spare.weight"], ["spare.weight"]])
def test_a_parameter_that_the_output_does_not_depend_on_is_refused(names):
    model = made(Spare)
    for name in names:
        es.share(model, name)
    with pytest.raises(ValueError, match=r"does not change with spare\.weight"):
        es.ModelProblem(model, *split(linear_data(), 40), mse)
