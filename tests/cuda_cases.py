"""Every CUDA kernel against float64 formulas: checks that take sizes, a dtype and a device."""

import torch
from sharing_cases import labels, tensor

from equishare import reference
from equishare._native import kernels, label_range, launch

F32, F64, BF16, F16 = torch.float32, torch.float64, torch.bfloat16, torch.float16
BOUND = {F32: 3e-5, F64: 1e-12, BF16: 3e-2, F16: 4e-3}
LABEL_DTYPES = (torch.uint8, torch.int16, torch.int32, torch.int64)


def near(ours, theirs, scale=1.0):
    bound = scale * BOUND[ours.dtype]
    torch.testing.assert_close(ours.double(), theirs.detach().double(), rtol=bound, atol=bound, equal_nan=True)


def unwritten(*shape, like, dtype=None):
    return torch.full(shape, float("nan"), dtype=dtype or like.dtype, device=like.device)


def arithmetic(dtype):
    return F64 if dtype == F64 else F32


def inputs(device, dtype, *shapes, scale=1.0):
    return [tensor(i, *shape, dtype=dtype, scale=scale).to(device) for i, shape in enumerate(shapes)]


def random_labels(device, dtype, *shape, groups):
    most = min(groups, torch.iinfo(dtype).max + 1)
    return labels(3, *shape, groups=most, dtype=dtype).to(device)


def soft_gather(z, v):
    (b, k, g), c = z.shape, v.shape[-1]
    theta, stats = unwritten(b, k, c, like=z), unwritten(b, k, 2, like=z, dtype=arithmetic(z.dtype))
    launch("soft_gather", z, (b, k, g, c), (z, v, theta, stats))
    return theta, stats


def soft_gather_backward(z, v, u, theta, stats, with_values=True):
    dz, dv = torch.full_like(z, float("nan")), torch.full_like(v, float("nan")) if with_values else None
    launch("soft_gather_backward", z, (*z.shape, v.shape[-1]), (z, v, u, theta, stats, dz, dv))
    return dz, dv


def soft_scatter(z, x):
    out = unwritten(z.shape[0], z.shape[2], x.shape[2], like=z)
    launch("soft_scatter", z, (*z.shape, x.shape[-1]), (z, x, out))
    return out


def check_soft(device, dtype, b, k, g, c):
    z, v, u = inputs(device, dtype, (b, k, g), (b, g, c), (b, k, c))
    z = 3 * z
    theta, stats = soft_gather(z, v)
    exact = [x.double().requires_grad_() for x in (z, v)]
    expected = reference.soft_gather(*exact)
    dz, dv = torch.autograd.grad((expected * u.double()).sum(), exact)
    near(theta, expected, 1 + c / 100)
    scale = 5 + k**0.5
    for with_values in (True, False):
        ours = soft_gather_backward(z, v, u, theta, stats, with_values)
        near(ours[0], dz, 4 + c / 30)
        if with_values:
            near(ours[1], dv, scale)
    near(soft_scatter(z, u), dv, scale)


def check_penalties(device, dtype, b, k, g, with_values):
    z, v, u, w_entropy, w_norm = inputs(device, dtype, (b, k, g), (b, g), (b, k), (b,), (b,))
    z = 3 * z
    v, u = (v, u) if with_values else (None, None)
    theta = unwritten(b, k, like=z) if with_values else None
    entropy, column_norm, norms = unwritten(b, like=z), unwritten(b, like=z), unwritten(b, g, like=z)
    stats = unwritten(b, k, 3, like=z)
    launch("penalties", z, (b, k, g, 1), (z, v, theta, entropy, column_norm, stats, norms))
    exact_z = z.double().requires_grad_()
    expected = reference.assignment_penalties(exact_z)
    near(entropy, expected[0])
    near(column_norm, expected[1], 5)
    objective = (expected[0] * w_entropy).sum() + (expected[1] * w_norm).sum()
    exact = [exact_z]
    if with_values:
        exact.append(v.double().requires_grad_())
        expected_theta = torch.einsum("bkg,bg->bk", torch.softmax(exact_z, -1), exact[1])
        near(theta, expected_theta)
        objective = objective + (expected_theta * u).sum()
    gradients = torch.autograd.grad(objective, exact)
    dz, dv = torch.full_like(z, float("nan")), unwritten(b, g, like=z) if with_values else None
    arrays = (z, v, u, theta, stats, norms, w_entropy, w_norm, dz, dv)
    launch("penalties_backward", z, (b, k, g, 1), arrays)
    near(dz, gradients[0], 4)
    if with_values:
        near(dv, gradients[1], 5 + k**0.5)


def check_hard(device, dtype, b, k, g, c, label_dtype, shared):
    index = random_labels(device, label_dtype, *(() if shared else (b,)), k, groups=g)
    v, x = inputs(device, dtype, (b, g, c), (b, k, c))
    of = (index, index.itemsize, 0 if shared else k)
    out = torch.full_like(x, float("nan"))
    launch("hard_gather", v, (b, k, g, c), (*of, v, out))
    index = index.expand(b, k)
    assert torch.equal(out, reference.hard_gather(index, v))
    out = torch.full_like(v, float("nan"))
    launch("hard_scatter", v, (b, k, g, c), (*of, x, out))
    near(out, reference.hard_scatter(index, x.double(), g), 2)
    if index.numel():
        index = index.contiguous()
        assert label_range(index) == (int(index.min()), int(index.max()))


def check_linear(device, dtype, n, o, i, g, label_dtype, with_bias):
    index = random_labels(device, label_dtype, o, i, groups=g)
    x, v, bias, u = inputs(device, dtype, (n, i), (g,), (o,), (n, o))
    sizes, of = (n, o, i, g), (index, index.itemsize, 0)
    y, dx, dv = unwritten(n, o, like=x), unwritten(n, i, like=x), unwritten(g, like=x)
    launch("shared_linear", x, sizes, (*of, x, v, bias if with_bias else None, y))
    weight = v.double()[index.long()]
    near(y, x.double() @ weight.T + (bias.double() if with_bias else 0), 5 + i**0.5)
    launch("shared_linear_backward", x, sizes, (*of, x, v, u, dx, dv))
    near(dx, u.double() @ weight, 5 + o**0.5)
    outer = (u.double().T @ x.double()).flatten()
    near(dv, reference.hard_scatter(index.flatten(), outer, g), 5 + (o * i * n / max(g, 1)) ** 0.5)
    for need_x, need_values in ((True, False), (False, True)):
        alone = [torch.full_like(t, float("nan")) if need else None for t, need in ((dx, need_x), (dv, need_values))]
        launch("shared_linear_backward", x, sizes, (*of, x, v, u, *alone))
        assert all(a is None or torch.equal(a, b) for a, b in zip(alone, (dx, dv), strict=True))


def check_relax(device, dtype, b, k, g):
    z, x, u, w_entropy, w_norm = inputs(device, dtype, (b, k, g), (b, k), (b, k), (b,), (b,))
    sizes = (b, k, g, 1)
    state = unwritten(kernels(z).relax_workspace(*sizes), like=z)
    theta, psi, colsum = unwritten(b, k, like=z), unwritten(b, g, like=z), unwritten(b, g, like=z)
    entropy, column_norm = unwritten(b, like=z), unwritten(b, like=z)
    launch("relax_forward", z, sizes, (z, x, theta, psi, colsum, entropy, column_norm, state))
    exact = z.double().requires_grad_()
    a = torch.softmax(exact, -1)
    expected = (reference.soft_project(exact, x.double()), *reference.assignment_penalties(exact))
    for ours, theirs in zip((theta, entropy, column_norm, colsum), (*expected, a.sum(-2)), strict=True):
        near(ours, theirs, 5 + k**0.5)
    near(torch.einsum("bkg,bg->bk", a.to(dtype), psi), expected[0], 5)
    objective = (expected[0] * u).sum() + (expected[1] * w_entropy).sum() + (expected[2] * w_norm).sum()
    (gradient,) = torch.autograd.grad(objective, exact)
    dz = torch.full_like(z, float("nan"))
    launch("relax_backward", z, sizes, (z, x, u, w_entropy, w_norm, state, dz, None, *[0.0] * 6))
    near(dz, gradient, 4)
    moments = torch.zeros(kernels(z).relax_moments(*sizes), dtype=dtype, device=z.device)
    stepped, parameter = z.clone(), torch.nn.Parameter(z.double())
    adam = (0.05, 0.8, 0.95, 1e-3, 1 - 0.8, 1 - 0.95)
    launch("relax_backward", z, sizes, (stepped, x, u, w_entropy, w_norm, state, None, moments, *adam))
    parameter.grad = gradient
    torch.optim.Adam([parameter], lr=0.05, betas=(0.8, 0.95), eps=1e-3).step()
    near(stepped, parameter, 10)


def check_barriers(device):
    """Cases that between them pass every barrier of the kernels in a way that needs it."""
    for sizes in ((1, 40, 40, 1), (2, 5, 1100, 1), (1, 3, 9000, 1), (1, 70, 20, 3), (520, 70, 3, 1)):
        check_soft(device, F32, *sizes)
    for sizes in ((1, 40, 40), (1, 5, 1100), (2, 7, 4)):
        check_penalties(device, F32, *sizes, True)
        check_relax(device, F32, *sizes)
    for sizes in ((1, 300, 7, 1), (1, 300, 200, 1), (2, 20, 3, 5)):
        check_hard(device, F32, *sizes, torch.uint8, False)
    for sizes in ((2, 20, 32, 9), (9, 20, 33, 120)):
        check_linear(device, F32, *sizes, torch.uint8, False)
