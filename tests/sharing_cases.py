"""Sample inputs of every operation, shared by the tests of values, derivatives and registration."""

import torch

from equishare import ops, reference


def tensor(seed, *shape, dtype=torch.float64, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def labels(seed, *shape, groups, dtype=torch.int64):
    return torch.randint(0, groups, shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


_L, _ROWS = labels(0, 2, 4, groups=3), labels(1, 5, 4, groups=3, dtype=torch.uint8)

# name: (function of the implementation and the differentiable inputs, shapes of those inputs)
CASES = {
    "soft_gather": (lambda o, z, v: o.soft_gather(z, v), ((2, 4, 3), (2, 3))),
    "soft_gather columns": (lambda o, z, v: o.soft_gather(z, v), ((2, 4, 3), (2, 3, 2))),
    "soft_scatter": (lambda o, z, x: o.soft_scatter(z, x), ((2, 4, 3), (2, 4))),
    "soft_scatter columns": (lambda o, z, x: o.soft_scatter(z, x), ((2, 4, 3), (2, 4, 2))),
    "soft_project": (lambda o, z, x: o.soft_project(z, x), ((2, 4, 3), (2, 4))),
    "assignment_penalties": (lambda o, z: o.assignment_penalties(z), ((2, 4, 3),)),
    "soft_gather_penalties": (lambda o, z, v: o.soft_gather_penalties(z, v), ((2, 4, 3), (2, 3))),
    "hard_gather": (lambda o, v: o.hard_gather(_L, v), ((2, 3),)),
    "hard_gather columns": (lambda o, v: o.hard_gather(_L, v), ((2, 3, 2),)),
    "hard_scatter": (lambda o, x: o.hard_scatter(_L, x, 3), ((2, 4),)),
    "hard_scatter columns": (lambda o, x: o.hard_scatter(_L, x, 3), ((2, 4, 2),)),
    "shared_linear": (lambda o, x, v, b: o.shared_linear(x, _ROWS, v, b), ((4,), (3,), (5,))),
    "shared_linear many samples": (lambda o, x, v, b: o.shared_linear(x, _ROWS, v, b), ((7, 4), (3,), (5,))),
}


def sample(name, requires_grad=False):
    """The operation of both implementations and inputs for it: fused, plain, inputs."""
    function, shapes = CASES[name]
    inputs = tuple(tensor(i, *shape).requires_grad_(requires_grad) for i, shape in enumerate(shapes))
    return (lambda *a: function(ops, *a)), (lambda *a: function(reference, *a)), inputs


def leaves(result):
    return result if isinstance(result, tuple) else (result,)


def total(function):
    """A scalar of the results, curved in them, so that no derivative vanishes."""
    return lambda *inputs: sum((y * y).sum() for y in leaves(function(*inputs)))
