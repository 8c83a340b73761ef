"""Diagnostics, curvature that is not positive, leaks and cost."""

import gc

import pytest
import torch
from hypergradient_cases import least_squares, lower_loss, quadratic, rand, relative, solved, spd, square, upper_loss
from torch.utils.flop_counter import FlopCounterMode

from equishare.hypergradient import Hypergradient, hypergradient

ONE = torch.ones(3, dtype=torch.float64)
EVERY = ("exact", "cg", "neumann", "unrolled", "identity", "direct")


# Diagnostics.


@pytest.mark.parametrize("method", EVERY)
def test_diagnostics_of_a_quadratic(method):
    matrix, alpha = spd(), 0.2
    lower, upper, b, s, target = quadratic(matrix)
    psi, lam = rand(31, 8), rand(30, 2)
    options = {"alpha": alpha} if method in ("neumann", "unrolled", "identity") else {}
    result = hypergradient(lower, upper, psi, lam, method, iterations=3, compare_exact=True, **options)
    if method == "unrolled":
        for _ in range(3):
            psi = psi - alpha * (matrix @ psi - b @ lam)
    v = psi - target
    exact = torch.linalg.solve(matrix, v)
    keep = torch.eye(8, dtype=torch.float64) - alpha * matrix
    series = alpha * (v + keep @ v + keep @ keep @ v)
    known = {"exact": exact, "identity": alpha * v, "direct": 0 * v, "neumann": series, "unrolled": series}
    if method in known:
        x = known[method]
        torch.testing.assert_close(result.gradients, s + b.T @ x)
        torch.testing.assert_close(result.residual, (matrix @ x - v).norm() / v.norm())
    truth = s + b.T @ exact
    torch.testing.assert_close(result.direct, s)
    torch.testing.assert_close(result.upper_loss, upper(psi, lam))
    torch.testing.assert_close(result.lower_loss, lower(psi, lam))
    torch.testing.assert_close(result.lower_gradient_norm, (matrix @ psi - b @ lam).norm())
    torch.testing.assert_close(result.indirect_ratio, (result.gradients - s).norm() / s.norm())
    torch.testing.assert_close(result.exact_error, (result.gradients - truth).norm() / truth.norm())
    assert int(result.iterations) == (3 if method in ("cg", "neumann", "unrolled") else 0)
    assert not result.negative_curvature
    eigenvalues = torch.linalg.eigvalsh(matrix)
    if method == "direct":
        assert result.lowest_curvature == torch.inf
    else:
        assert eigenvalues[0] - 1e-9 <= result.lowest_curvature <= eigenvalues[-1]
    if method == "exact":
        torch.testing.assert_close(result.lowest_curvature, eigenvalues[0])


def test_neumann_residual_is_that_of_the_series():
    matrix, alpha, terms = spd(), 0.2, 5
    lower, upper, _, _, target = quadratic(matrix)
    psi, lam = rand(31, 8), rand(30, 2)
    result = hypergradient(lower, upper, psi, lam, "neumann", alpha=alpha, iterations=terms)
    v = psi - target
    left = torch.linalg.matrix_power(torch.eye(8, dtype=torch.float64) - alpha * matrix, terms) @ v
    torch.testing.assert_close(result.residual, left.norm() / v.norm())


def test_leading_alpha():
    """Without it the indirect term is too large by 1 / α."""
    psi, lam = solved()
    few = hypergradient(lower_loss, upper_loss, psi, lam, "neumann", alpha=0.3, iterations=1000, compare_exact=True)
    assert few.exact_error < 1e-6


def test_cg_ends_by_itself():
    lower, upper, *_ = quadratic(spd())
    result = hypergradient(lower, upper, rand(31, 8), rand(30, 2), "cg", iterations=1000, tolerance=1e-12)
    assert int(result.iterations) <= 9 and result.residual < 1e-11
    loose = hypergradient(lower, upper, rand(31, 8), rand(30, 2), "cg", tolerance=0.1)
    assert int(loose.iterations) < int(result.iterations) and loose.residual <= 0.1


@pytest.mark.parametrize("method", ["cg", "neumann"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_iterations_beyond_convergence_are_not_made(method, dtype):
    matrix, target = spd(least=1.0, most=2.0).to(dtype), rand(13, 8, dtype=dtype)
    result = hypergradient(
        lambda p, q: 0.5 * p @ matrix @ p - p @ q,
        lambda p, q: p @ target,
        rand(31, 8, dtype=dtype),
        rand(30, 8, dtype=dtype),
        method,
        iterations=2000,
        tolerance=0.0,
    )
    assert int(result.iterations) < 100 and result.residual < 20 * torch.finfo(dtype).eps
    torch.testing.assert_close(result.gradients, torch.linalg.solve(matrix, target))


# Indefinite and singular H.


def indefinite():
    basis = torch.linalg.qr(rand(21, 8, 8))[0]
    values = torch.tensor([-2.0, -0.5, 0.5, 1, 2, 3, 4, 5], dtype=torch.float64)
    return basis @ torch.diag(values) @ basis.T


def test_indefinite_hessian_is_reported_and_the_iterate_kept():
    lower, upper, b, s, target = quadratic(indefinite())
    psi, lam = rand(31, 8), rand(30, 2)
    exact = hypergradient(lower, upper, psi, lam, "exact")
    torch.testing.assert_close(exact.gradients, s + b.T @ torch.linalg.solve(indefinite(), psi - target))
    assert exact.negative_curvature and exact.residual < 1e-12
    torch.testing.assert_close(exact.lowest_curvature, torch.tensor(-2.0, dtype=torch.float64))
    for method in ("cg", "neumann"):
        result = hypergradient(lower, upper, psi, lam, method, compare_exact=True)
        assert result.negative_curvature, method
        assert 0 < int(result.iterations) < 100
        assert result.gradients.isfinite().all() and result.residual > 1e-3
        # The same as asking for no more than the iterations that were used.
        same = hypergradient(lower, upper, psi, lam, method, iterations=int(result.iterations))
        torch.testing.assert_close(result.gradients, same.gradients)


def test_damping_above_the_lowest_curvature_mends_an_indefinite_hessian():
    lower, upper, b, s, target = quadratic(indefinite())
    psi, lam = rand(31, 8), rand(30, 2)
    lowest = float(hypergradient(lower, upper, psi, lam, "exact").lowest_curvature)
    for method in ("cg", "neumann", "exact"):
        result = hypergradient(lower, upper, psi, lam, method, damping=0.5 - lowest, iterations=1000)
        assert not result.negative_curvature and result.residual < 1e-7


def test_first_direction_of_negative_curvature_leaves_the_direct_term():
    result = hypergradient(lambda p, q: -least_squares(p, q), lambda p, q: square(p, q) + q.sum(), ONE, 2 * ONE)
    assert torch.equal(result.gradients, result.direct)
    assert result.negative_curvature and int(result.iterations) == 0
    assert float(result.residual) == 1 and float(result.lowest_curvature) == pytest.approx(-1)


def test_indefinite_replica_beside_sound_ones():
    sign = torch.tensor([1.0, -1.0, 2.0], dtype=torch.float64)
    psi, lam = rand(0, 3, 4), rand(1, 3, 4)
    result = hypergradient(
        lambda p, q: 0.5 * sign * (p - q).square().sum(1), lambda p, q: p.square().sum(1), psi, lam, batch_dims=1
    )
    assert result.negative_curvature.tolist() == [False, True, False]
    assert result.iterations.tolist() == [1, 0, 1]
    expected = 2 * psi
    expected[1] = 0
    torch.testing.assert_close(result.gradients, expected)


@pytest.mark.parametrize("method", ["exact", "cg", "neumann"])
@pytest.mark.parametrize("consistent", [True, False])
def test_singular_hessian(method, consistent):
    basis = torch.linalg.qr(rand(22, 6, 6))[0]
    values = torch.tensor([0.0, 0, 1, 2, 3, 4], dtype=torch.float64)
    matrix = basis @ torch.diag(values) @ basis.T
    lower, upper, b, s, target = quadratic(matrix)
    open_part = basis[:, 0] if not consistent else torch.zeros(6, dtype=torch.float64)
    v = basis[:, 2:] @ rand(23, 4) + open_part
    psi, lam = target + v, rand(30, 2)
    result = hypergradient(lower, upper, psi, lam, method, iterations=200)
    assert result.gradients.isfinite().all()
    assert not result.negative_curvature
    if consistent:
        torch.testing.assert_close(result.gradients, s + b.T @ torch.linalg.pinv(matrix) @ v, rtol=1e-6, atol=1e-6)
        assert result.residual < 1e-7
    else:
        assert result.residual > 0.01
    damped = hypergradient(lower, upper, psi, lam, method, damping=0.1, iterations=1000)
    assert damped.residual < 1e-7 and damped.lowest_curvature > 0


@pytest.mark.parametrize("options", [{"damping": 0.1}, {"damping": 0.1, "curvature": "gauss_newton"}, {}])
@pytest.mark.parametrize("method", ["exact", "cg", "neumann"])
def test_relu_and_l1(method, options):
    x, y = rand(50, 20, 3), rand(51, 20)
    psi = {"w": rand(52, 4, 3), "v": rand(53, 4)}
    psi["w"][3] = 0  # at the kink
    lam = torch.tensor(-2.0, dtype=torch.float64)

    def outputs(p, q):
        return torch.relu(x @ p["w"].T) @ p["v"], q.exp() * p["w"], y

    def loss(o):
        return (o[0] - o[2]).square().mean() + o[1].abs().sum()

    result = hypergradient(
        None,
        lambda p, q: (torch.relu(x @ p["w"].T) @ p["v"] + 1).abs().mean(),
        psi,
        lam,
        method,
        lower_outputs=outputs,
        output_loss=loss,
        iterations=2000,
        **options,
    )
    assert result.gradients.isfinite() and result.residual.isfinite()
    if "curvature" in options:
        assert not result.negative_curvature and result.residual < 1e-6


def test_alpha_too_large_is_cut_and_shows():
    lower, upper, *_ = quadratic(spd(most=4.0))
    result = hypergradient(lower, upper, rand(31, 8), rand(30, 2), "neumann", alpha=100.0)
    assert int(result.iterations) == 1 and result.residual > 1
    assert not result.negative_curvature


# Leaks and cost.


def live():
    """Tensors, and nodes of graphs: those that Python made, as the one of soft_gather, which holds its graph."""
    kinds = (torch.Tensor, torch.autograd.function.FunctionCtx)
    gc.collect()
    return sum(issubclass(type(x), kinds) for x in gc.get_objects())


@pytest.mark.parametrize("requires_grad", [True, False])
@pytest.mark.parametrize("method", EVERY)
def test_nothing_is_left_behind(method, requires_grad):
    psi, lam = solved()
    psi["values"].requires_grad_(requires_grad)
    lam["logits"].requires_grad_(requires_grad)

    def once(loss=lower_loss):
        return hypergradient(loss, upper_loss, psi, lam, method, iterations=5)

    def poisoned(p, q):
        return lower_loss(p, q) * torch.nan

    def twice():
        kept = once()
        with pytest.raises(FloatingPointError):
            once(poisoned)
        return kept

    for _ in range(3):
        twice()
    for _ in range(5):
        before = live()
        for _ in range(20):
            twice()
        after = live()
        if after >= before:  # else garbage of other tests went in between, and could hide a leak
            break
    assert after == before


def flops(run):
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


@pytest.mark.parametrize("curvature", ["hessian", "gauss_newton"])
@pytest.mark.parametrize("method", ["cg", "neumann"])
def test_an_iteration_costs_at_most_three_gradients(method, curvature):
    x, y = rand(60, 64, 16), rand(61, 64, 4)
    psi = [0.3 * rand(i, *shape) for i, shape in enumerate(((16, 32), (32, 32), (32, 4)))]
    lam = torch.tensor(0.0, dtype=torch.float64)

    def outputs(p, q):
        return torch.tanh(torch.tanh(x @ p[0]) @ p[1]) @ p[2] * q.exp()

    def loss(o):
        return (o - y).square().mean()

    def gradient():
        leaves = [p.clone().requires_grad_() for p in psi]
        torch.autograd.grad(loss(outputs(leaves, lam)), leaves)

    def run(iterations):
        result = hypergradient(
            None,
            lambda p, q: loss(outputs(p, q)),
            psi,
            lam,
            method,
            lower_outputs=outputs,
            output_loss=loss,
            curvature=curvature,
            damping=10.0,
            iterations=iterations,
            tolerance=0.0,
        )
        assert int(result.iterations) == iterations

    per_iteration = (flops(lambda: run(8)) - flops(lambda: run(3))) / 5
    assert 0 < per_iteration <= 3 * flops(gradient)


def test_result_is_frozen():
    result = hypergradient(least_squares, square, ONE, ONE)
    assert isinstance(result, Hypergradient)
    with pytest.raises(AttributeError):
        result.gradients = None
    assert relative(result.gradients, 2 * ONE) < 1e-12
