"""A small network with soft-shared weights, and quadratics, for the tests of hypergradients."""

import torch
from torch.func import grad, jacrev
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from equishare import ops


def rand(seed, *shape, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def flat(tree):
    return torch.cat([x.reshape(-1) for x in tree_leaves(tree)])


def unflat(vector, like):
    leaves, spec = tree_flatten(like)
    parts = vector.split([x.numel() for x in leaves])
    return tree_unflatten([p.reshape(x.shape) for p, x in zip(parts, leaves, strict=True)], spec)


def relative(a, b):
    a, b = flat(a), flat(b)
    return float((a - b).norm() / b.norm())


# y = w · tanh(W x) + c with W (2, 3) of three shared values; the ridge is an upper parameter, a scalar.
X, Y = rand(0, 40, 3), rand(1, 40)
X_VAL, Y_VAL = rand(2, 30, 3), rand(3, 30)


def predict(psi, lam, x):
    weight = ops.soft_gather(lam["logits"], psi["values"]).reshape(2, 3)
    head, offset = psi["rest"]
    return torch.tanh(x @ weight.T) @ head + offset


def lower_loss(psi, lam, x=X, y=Y):
    ridge = lam["log_ridge"].exp() * sum((p * p).sum() for p in tree_leaves(psi))
    return (predict(psi, lam, x) - y).square().mean() + ridge


def upper_loss(psi, lam, x=X_VAL, y=Y_VAL):
    return (predict(psi, lam, x) - y).square().mean() + 0.01 * lam["logits"].square().sum()


def lower_outputs(psi, lam):
    """Outputs with ψ among them, so that the Gauss–Newton matrix holds the ridge."""
    return {"y": predict(psi, lam, X), "psi": psi, "ridge": lam["log_ridge"].exp()}


def output_loss(outputs):
    ridge = outputs["ridge"] * sum((p * p).sum() for p in tree_leaves(outputs["psi"]))
    return (outputs["y"] - Y).square().mean() + ridge


def start(seed=4):
    psi = {"values": rand(seed, 3), "rest": (rand(seed + 1, 2), rand(seed + 2))}
    lam = {"logits": rand(seed + 3, 6, 3), "log_ridge": torch.tensor(-3.0, dtype=torch.float64)}
    return psi, lam


def solve_lower(psi, lam, loss=lower_loss):
    """Newton's method with halved steps, to the last digit."""

    def of_vector(vector):
        return loss(unflat(vector, psi), lam)

    vector = flat(psi)
    for _ in range(200):
        slope, curvature = grad(of_vector)(vector), jacrev(grad(of_vector))(vector)
        if slope.norm() < 1e-13:
            break
        values, basis = torch.linalg.eigh(curvature)
        step = basis @ ((basis.T @ slope) / values.abs().clamp(min=1e-4))
        size = 1.0
        while size > 1e-4 and of_vector(vector - size * step) > of_vector(vector) + 1e-15:
            size /= 2
        vector = vector - size * step
    assert slope.norm() < 1e-12
    return unflat(vector, psi)


def solved(seed=4):
    psi, lam = start(seed)
    return solve_lower(psi, lam), lam


def finite_differences(psi, lam, step=1e-4):
    """dU/dΛ with the lower level solved anew on both sides of each entry."""
    base, found = flat(lam), []
    for i in range(len(base)):
        values = []
        for sign in (1, -1):
            moved = base.clone()
            moved[i] += sign * step
            there = unflat(moved, lam)
            values.append(upper_loss(solve_lower(psi, there), there))
        found.append((values[0] - values[1]) / (2 * step))
    return unflat(torch.stack(found), lam)


def quadratic(matrix, target=None):
    """L = ½ψᵀHψ − ψᵀBΛ with minimum H⁻¹BΛ, and U = ½‖ψ − target‖² + Λᵀs: dU/dΛ = s + BᵀH⁻¹(ψ − target)."""
    n = len(matrix)
    b, s = rand(11, n, 2), rand(12, 2)
    target = rand(13, n) if target is None else target

    def lower(psi, lam):
        return 0.5 * psi @ matrix @ psi - psi @ b @ lam

    def upper(psi, lam):
        return 0.5 * (psi - target).square().sum() + lam @ s

    return lower, upper, b, s, target


def spd(n=8, seed=20, least=0.5, most=4.0):
    basis = torch.linalg.qr(rand(seed, n, n))[0]
    return basis @ torch.diag(torch.linspace(least, most, n, dtype=torch.float64)) @ basis.T


def least_squares(psi, lam):
    return 0.5 * (psi - lam).square().sum()


def square(psi, lam):
    return psi.square().sum()
