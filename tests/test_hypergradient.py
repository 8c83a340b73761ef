"""Values: against exact, against finite differences of the lower level solved anew, batches against loops."""

import functools

import pytest
import torch
from hypergradient_cases import (
    X_VAL,
    Y_VAL,
    X,
    Y,
    finite_differences,
    flat,
    lower_loss,
    lower_outputs,
    output_loss,
    quadratic,
    rand,
    relative,
    solve_lower,
    solved,
    spd,
    upper_loss,
)
from torch.func import functional_call, vmap
from torch.utils._pytree import tree_leaves, tree_map, tree_structure

from equishare.hypergradient import hypergradient

GN = {"curvature": "gauss_newton", "lower_outputs": lower_outputs, "output_loss": output_loss}
# Options, and the relative error against exact that they are good for at a solved lower level.
METHODS = {
    "exact": ({"method": "exact"}, 0.0),
    "cg": ({"method": "cg", "tolerance": 1e-13}, 1e-10),
    "neumann": ({"method": "neumann", "iterations": 1000}, 1e-7),
    "neumann alpha": ({"method": "neumann", "iterations": 2000, "alpha": 0.1}, 1e-7),
    "unrolled": ({"method": "unrolled", "iterations": 400}, 1e-7),
    "unrolled alpha": ({"method": "unrolled", "iterations": 500, "alpha": 0.3}, 1e-7),
    "identity": ({"method": "identity"}, 0.5),
    "identity alpha": ({"method": "identity", "alpha": 0.5}, 1.0),
    "direct": ({"method": "direct"}, 1.0),
    "exact, damped": ({"method": "exact", "damping": 1e-3}, 0.02),
    "cg, damped": ({"method": "cg", "damping": 1e-3}, 0.02),
    "exact, Gauss-Newton": ({"method": "exact", **GN}, 0.2),
    "cg, Gauss-Newton": ({"method": "cg", **GN}, 0.2),
    "neumann, Gauss-Newton": ({"method": "neumann", "iterations": 1000, **GN}, 0.2),
}
methods = pytest.mark.parametrize("name", METHODS)
solved_once = functools.cache(solved)


@pytest.fixture(scope="module")
def truth():
    return finite_differences(*solved_once())


def test_exact_is_the_derivative_of_the_solved_problem(truth):
    psi, lam = solved_once()
    result = hypergradient(lower_loss, upper_loss, psi, lam, "exact")
    assert relative(result.gradients, truth) < 1e-7
    assert relative(result.direct, truth) > 0.1


@methods
def test_method_against_exact(name, truth):
    options, bound = METHODS[name]
    psi, lam = solved_once()
    exact = hypergradient(lower_loss, upper_loss, psi, lam, "exact")
    result = hypergradient(lower_loss, upper_loss, psi, lam, **options, compare_exact=True)
    error = relative(result.gradients, exact.gradients)
    assert error <= bound
    assert relative(result.gradients, truth) <= bound + 1e-7
    assert float(result.exact_error) == pytest.approx(error, rel=1e-6, abs=1e-9)
    assert float(result.residual) < max(10 * bound, 1e-9)


@methods
def test_structure_shape_and_dtype(name):
    psi, lam = solved_once()
    psi, lam = tree_map(lambda x: x.float(), psi), [lam["logits"].float(), (lam["log_ridge"],)]

    def cast(function):
        return lambda p, q: function(p, {"logits": q[0], "log_ridge": q[1][0].float()}, X.float(), Y.float())

    options, _ = METHODS[name]
    if "curvature" in options:
        options = options | {
            "lower_outputs": lambda p, q: (tree_leaves(p), q[0].sum()),
            "output_loss": lambda o: sum((x * x).sum() for x in o[0]) + o[1],
        }
    result = hypergradient(cast(lower_loss), cast(upper_loss), psi, lam, **options | {"iterations": 3})
    for tree in (result.gradients, result.direct):
        assert tree_structure(tree) == tree_structure(lam)
        for mine, given in zip(tree_leaves(tree), tree_leaves(lam), strict=True):
            assert (mine.shape, mine.dtype) == (given.shape, given.dtype)
            assert mine.is_contiguous() and not mine.requires_grad


@pytest.mark.parametrize("method", ["cg", "neumann", "unrolled"])
def test_error_falls_with_iterations(method):
    psi, lam = solved_once()
    counts = (1, 2, 3, 4, 5, 6) if method == "cg" else (1, 4, 16, 64, 256)
    results = [
        hypergradient(lower_loss, upper_loss, psi, lam, method, iterations=k, tolerance=0, compare_exact=True)
        for k in counts
    ]
    errors = [float(r.exact_error) for r in results]
    assert errors[0] > 1e-2 and errors[-1] < 1e-5
    assert all(b < a for a, b in zip(errors, errors[1:], strict=False))
    assert [int(r.iterations) for r in results] == list(counts)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_unrolling_from_the_minimum_is_the_neumann_series(steps):
    matrix = spd()
    lower, upper, b, _, _ = quadratic(matrix)
    lam = rand(30, 2)
    psi = torch.linalg.solve(matrix, b @ lam)
    options = {"iterations": steps, "alpha": 0.2, "tolerance": 0}
    series = hypergradient(lower, upper, psi, lam, "neumann", **options)
    unrolled = hypergradient(lower, upper, psi, lam, "unrolled", **options)
    terms = [0.2 * torch.linalg.matrix_power(torch.eye(8, dtype=torch.float64) - 0.2 * matrix, j) for j in range(steps)]
    v = psi - quadratic(matrix)[4]
    expected = series.direct + b.T @ sum(terms) @ v
    for result in (series, unrolled):
        torch.testing.assert_close(result.gradients, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(series.residual, unrolled.residual, rtol=1e-9, atol=0)


@pytest.mark.parametrize("steps", [1, 5])
def test_unrolled_is_the_derivative_of_the_last_iterate(steps):
    psi, lam = solved_once(5)
    psi = tree_map(lambda x: x + 0.3, psi)
    result = hypergradient(lower_loss, upper_loss, psi, lam, "unrolled", iterations=steps, alpha=0.2)
    lam = tree_map(lambda x: x.clone().requires_grad_(), lam)
    there = tree_map(lambda x: x.clone().requires_grad_(), psi)
    for _ in range(steps):
        slopes = torch.autograd.grad(lower_loss(there, lam), tree_leaves(there), create_graph=True)
        slopes = iter(slopes)
        there = tree_map(lambda x, s=slopes: x - 0.2 * next(s), there)
    value = upper_loss(there, lam)
    expected = torch.autograd.grad(value, tree_leaves(lam))
    assert relative(result.gradients, expected) < 1e-12
    torch.testing.assert_close(result.upper_loss, value.detach())


@pytest.mark.parametrize("method", ["exact", "cg", "neumann"])
@pytest.mark.parametrize("damping", [0.0, 0.3, 10.0])
def test_damping_solves_the_damped_system(method, damping):
    matrix = spd()
    lower, upper, b, s, target = quadratic(matrix)
    psi, lam = rand(31, 8), rand(30, 2)
    result = hypergradient(lower, upper, psi, lam, method, damping=damping, iterations=1000, tolerance=1e-12)
    x = torch.linalg.solve(matrix + damping * torch.eye(8, dtype=torch.float64), psi - target)
    torch.testing.assert_close(result.gradients, s + b.T @ x, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("method", ["exact", "cg", "neumann"])
def test_gauss_newton_is_the_hessian_of_a_least_squares_problem(method):
    design, y = rand(40, 20, 3), rand(41, 20)

    def outputs(psi, lam):
        return design @ psi * lam.exp()

    def loss(o):
        return (o - y).square().sum()

    def upper(psi, lam):
        return (psi - 1).pow(4).sum()

    psi, lam = rand(42, 3), torch.tensor(0.1, dtype=torch.float64)
    options = {"method": method, "iterations": 5000, "tolerance": 1e-12, "lower_outputs": outputs, "output_loss": loss}
    plain = hypergradient(None, upper, psi, lam, **options)
    other = hypergradient(None, upper, psi, lam, curvature="gauss_newton", **options)
    torch.testing.assert_close(plain.gradients, other.gradients, rtol=1e-8, atol=1e-10)
    assert not other.negative_curvature


@pytest.mark.parametrize("method", ["exact", "cg", "neumann", "unrolled", "identity"])
def test_scalar_parameters(method):
    """L = (ψ − λ)² / 2 and U = ψ³ / 3: dU/dλ = ψ²; every method is exact in one iteration."""

    def lower(psi, lam):
        return 0.5 * (psi - lam).square()

    def upper(psi, lam):
        return psi**3 / 3

    lam = torch.tensor(1.5, dtype=torch.float64)
    result = hypergradient(lower, upper, lam.clone(), lam, method, iterations=1)
    assert result.gradients.shape == ()
    torch.testing.assert_close(result.gradients, lam**2)


@pytest.mark.parametrize("method", ["exact", "cg", "neumann", "unrolled", "identity", "direct"])
def test_parameters_that_a_loss_ignores_have_gradient_zero(method):
    psi, lam = {"used": rand(0, 3), "idle": rand(1, 2)}, {"used": rand(2, 3), "direct": rand(3, 3), "idle": rand(4)}

    def lower(p, q):
        return 0.5 * (p["used"] - q["used"]).square().sum()

    def upper(p, q):
        return p["used"].square().sum() + q["direct"].sum()

    psi["used"] = lam["used"]
    result = hypergradient(lower, upper, psi, lam, method, iterations=1)
    torch.testing.assert_close(result.gradients["direct"], torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(result.gradients["used"], 2 * psi["used"] * (method != "direct"))
    assert torch.equal(result.gradients["idle"], torch.zeros((), dtype=torch.float64))


@pytest.mark.parametrize("method", ["exact", "cg", "neumann", "unrolled", "identity", "direct"])
@pytest.mark.parametrize("linear", [True, False])
def test_losses_without_curvature_or_dependence(method, linear):
    """A linear lower loss has H = 0; a constant one no gradient at all. The direct term is what remains."""

    def lower(psi, lam):
        return psi.sum() if linear else torch.zeros((), dtype=torch.float64)

    def upper(psi, lam):
        return (psi * lam).sum()

    psi, lam = rand(0, 3), rand(1, 3)
    result = hypergradient(lower, upper, psi, lam, method, iterations=3, compare_exact=True)
    moved = psi - 3.0 if linear and method == "unrolled" else psi
    torch.testing.assert_close(result.gradients, moved)
    assert float(result.exact_error) == 0


def test_minibatches():
    psi, lam = solved_once()
    for i in range(3):
        rows = slice(10 * i, 10 * i + 10)
        here = solve_lower(psi, lam, lambda p, q, r=rows: lower_loss(p, q, X[r], Y[r]))
        pair = (
            lambda p, q, r=rows: lower_loss(p, q, X[r], Y[r]),
            lambda p, q, r=rows: upper_loss(p, q, X_VAL[r], Y_VAL[r]),
        )
        exact = hypergradient(*pair, here, lam, "exact")
        result = hypergradient(*pair, here, lam, "cg", tolerance=1e-12)
        assert relative(result.gradients, exact.gradients) < 1e-8
        assert relative(result.gradients, hypergradient(lower_loss, upper_loss, here, lam).gradients) > 1e-3


def batch(seeds):
    pairs = [solved_once(seed) for seed in seeds]
    stacked = [tree_map(lambda *x: torch.stack(x), *trees) for trees in zip(*pairs, strict=True)]
    return pairs, stacked


def replicated(loss):
    return lambda p, q: vmap(loss)(p, q)


@methods
def test_batch_is_a_loop(name):
    options = METHODS[name][0] | {"iterations": 40}
    pairs, (psi, lam) = batch((4, 5, 8))
    # Of unequal difficulty, so that the replicas stop at different iterations.
    batched = options | {"batch_dims": 1, "compare_exact": True}
    if "lower_outputs" in options:
        batched |= {"lower_outputs": vmap(lower_outputs), "output_loss": vmap(output_loss)}
    result = hypergradient(replicated(lower_loss), replicated(upper_loss), psi, lam, **batched)
    for i, (one_psi, one_lam) in enumerate(pairs):
        one = hypergradient(lower_loss, upper_loss, one_psi, one_lam, **options, compare_exact=True)
        assert relative(tree_map(lambda x, i=i: x[i], result.gradients), one.gradients) < 1e-9
        assert relative(tree_map(lambda x, i=i: x[i], result.direct), one.direct) < 1e-12
        for field in (
            "upper_loss",
            "lower_loss",
            "lower_gradient_norm",
            "residual",
            "iterations",
            "negative_curvature",
            "lowest_curvature",
            "indirect_ratio",
            "exact_error",
        ):
            mine, theirs = getattr(result, field), getattr(one, field)
            assert mine.shape == (3,) and theirs.shape == ()
            torch.testing.assert_close(mine[i], theirs, rtol=1e-5, atol=1e-9)


def test_batched_scalars_and_a_replica_without_upper_gradient():
    psi = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    weight = torch.tensor([1.0, 0.0, 2.0], dtype=torch.float64)
    for method in ("exact", "cg", "neumann", "unrolled", "identity"):
        result = hypergradient(
            lambda p, q: 0.5 * (p - q) ** 2, lambda p, q: weight * p**2, psi, psi, method, batch_dims=1, iterations=2
        )
        torch.testing.assert_close(result.gradients, 2 * weight * psi)
        assert float(result.residual[1]) == 0


@pytest.mark.parametrize("method", ["cg", "exact", "neumann"])
def test_models_by_functional_call(method):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1)).double()
    psi = dict(model.named_parameters())
    lam = {"decay": torch.nn.Parameter(torch.zeros(4, dtype=torch.float64))}

    def lower(p, q):
        decay = sum(w.exp() * x.square().sum() for w, x in zip(q["decay"], p.values(), strict=True))
        return (functional_call(model, p, (X,))[:, 0] - Y).square().mean() + decay

    def upper(p, q):
        return (functional_call(model, p, (X_VAL,))[:, 0] - Y_VAL).square().mean()

    result = hypergradient(lower, upper, psi, lam, method, iterations=2000, damping=0.5, compare_exact=True)
    exact = hypergradient(lower, upper, psi, lam, "exact", damping=0.5)
    assert relative(result.gradients, exact.gradients) < 1e-6
    assert all(p.grad is None and p.requires_grad for p in (*psi.values(), lam["decay"]))


@pytest.mark.parametrize("requires_grad", [True, False])
def test_inputs_are_left_alone(requires_grad):
    psi, lam = (tree_map(lambda x: x.clone().requires_grad_(requires_grad), t) for t in solved_once())
    leaves = [*tree_leaves(psi), *tree_leaves(lam)]
    for x in leaves:
        x.grad = torch.full_like(x, 7.0)
    before = [x.detach().clone() for x in leaves]
    expected = hypergradient(lower_loss, upper_loss, *solved_once())
    with torch.no_grad():
        result = hypergradient(lower_loss, upper_loss, psi, lam)
    assert relative(result.gradients, expected.gradients) == 0
    for x, old in zip(leaves, before, strict=True):
        assert torch.equal(x, old) and x.requires_grad == requires_grad and torch.equal(x.grad, torch.full_like(x, 7.0))


@pytest.mark.parametrize("scale", [1e-30, 1e-10, 1e10, 1e30])
def test_float32_gradients_of_any_size(scale):
    matrix = spd().float()
    lower, _, b, _, target = (x.float() if isinstance(x, torch.Tensor) else x for x in quadratic(spd()))
    psi, lam = rand(31, 8).float(), rand(30, 2).float()

    def smooth(p, q):
        return 0.5 * p @ matrix @ p - p @ b @ q

    def upper(p, q):
        return scale * ((p - target) * target).sum()

    result = hypergradient(smooth, upper, psi, lam)
    expected = b.T @ torch.linalg.solve(matrix, target)
    torch.testing.assert_close(result.gradients / scale, expected, rtol=1e-4, atol=1e-5)
    assert flat(result.gradients).isfinite().all()
