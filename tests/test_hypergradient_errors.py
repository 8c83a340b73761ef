"""What is not finite is named, and so are wrong arguments."""

import pytest
import torch
from hypergradient_cases import least_squares, rand, square

from equishare.hypergradient import hypergradient

ONE = torch.ones(3, dtype=torch.float64)


class Poison(torch.autograd.Function):
    """The identity, whose first or second derivative is NaN."""

    @staticmethod
    def forward(ctx, x, order):
        ctx.order = order
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return (g * torch.nan if ctx.order == 1 else Poison.apply(g, ctx.order - 1)), None


def tree_lower(p, q):
    return 0.5 * (p["w"] - q["a"]).square().sum() + 0.5 * (p["n"][0] - q["b"]).square().sum()


def tree_upper(p, q):
    return p["w"].square().sum() + p["n"][0].square().sum() + q["a"].sum()


NOT_FINITE = {
    "lower loss": ({}, {"lower_loss": lambda p, q: tree_lower(p, q) * torch.nan}, "^lower_loss is nan"),
    "upper loss": ({}, {"upper_loss": lambda p, q: tree_upper(p, q) + torch.inf}, "^upper_loss is inf"),
    "lower gradient": (
        {},
        {"lower_loss": lambda p, q: tree_lower(p, q) + Poison.apply(p["n"][0], 1).sum()},
        r"gradient of lower_loss is not finite in lower_params\['n'\]\[0\]: 3 of 3 entries",
    ),
    "upper gradient": (
        {},
        {"upper_loss": lambda p, q: tree_upper(p, q) + Poison.apply(p["w"][1:], 1).sum()},
        r"gradient of upper_loss is not finite in lower_params\['w'\]: 1 of 2 entries",
    ),
    "direct": (
        {},
        {"upper_loss": lambda p, q: tree_upper(p, q) + Poison.apply(q["b"], 1).sum()},
        r"gradient of upper_loss is not finite in upper_params\['b'\]",
    ),
    "product": (
        {"method": "cg"},
        {"lower_loss": lambda p, q: tree_lower(p, q) + Poison.apply(p["w"], 2).square().sum()},
        r"product of the Hessian with a direction in cg iteration 1 is not finite in lower_params\['w'\]",
    ),
    "power iteration": (
        {"method": "neumann"},
        {"lower_loss": lambda p, q: tree_lower(p, q) + Poison.apply(p["w"], 2).square().sum()},
        r"product of the Hessian with a direction in power iteration 1 is not finite in lower_params\['w'\]",
    ),
    "mixed": (
        {},
        {"lower_loss": lambda p, q: tree_lower(p, q) + (p["n"][0] * Poison.apply(q["b"], 1)).sum()},
        r"mixed derivative of lower_loss times the solution is not finite in upper_params\['b'\]",
    ),
    "sum": (
        {"method": "identity", "alpha": 1e308},
        {"upper_loss": lambda p, q: 1e8 * tree_upper(p, q)},
        r"the hypergradient is not finite in upper_params\['a'\]",
    ),
    "unrolled": (
        {"method": "unrolled", "iterations": 400, "alpha": 1e9},
        {"lower_loss": lambda p, q: tree_lower(p, q) + p["w"].pow(4).sum()},
        r"^(lower_loss is (inf|nan)|the gradient of lower_loss) at unrolled step \d",
    ),
}


@pytest.mark.parametrize("name", NOT_FINITE)
def test_what_is_not_finite_is_named(name):
    options, replaced, message = NOT_FINITE[name]
    losses = {"lower_loss": tree_lower, "upper_loss": tree_upper} | replaced
    psi = {"w": rand(2, 2), "n": [rand(1, 3)]}
    lam = {"a": rand(4, 2), "b": rand(3, 3)}
    with pytest.raises(FloatingPointError, match=message):
        hypergradient(losses["lower_loss"], losses["upper_loss"], psi, lam, **options)


def test_what_is_not_finite_names_the_replica():
    psi = rand(0, 3, 2)
    factor = torch.tensor([1.0, torch.nan, 1.0], dtype=torch.float64)

    def good(p, q):
        return (p - q).square().sum(1)

    with pytest.raises(FloatingPointError, match="lower_loss is nan, replica 1"):
        hypergradient(lambda p, q: factor * good(p, q), good, psi, psi, batch_dims=1)
    with pytest.raises(FloatingPointError, match=r"upper_loss is not finite in lower_params, replica 2: 1 of 6"):
        hypergradient(
            good, lambda p, q: good(p, q) + Poison.apply(p[2, 1], 1) * torch.eye(3)[2], psi, psi, batch_dims=1
        )


# Wrong arguments.

PAIR = {"lower_outputs": lambda p, q: p - q, "output_loss": lambda o: o.square().sum()}
WRONG = {
    "method": ({"method": "newton"}, ValueError, "method must be one of cg, .*direct; got 'newton'"),
    "curvature": ({"curvature": "fisher"}, ValueError, "curvature must be one of hessian, gauss_newton; got 'fisher'"),
    "batch_dims": ({"batch_dims": 2}, ValueError, "batch_dims must be one of 0, 1; got 2"),
    "no iterations": ({"iterations": 0}, ValueError, "iterations must be at least 1, got 0"),
    "iterations": ({"iterations": 2.0}, TypeError, "iterations must be an integer, got float"),
    "tolerance": ({"tolerance": -1.0}, ValueError, "tolerance must be a finite number of at least 0, got -1.0"),
    "damping": ({"damping": -0.1}, ValueError, "damping must be a finite number of at least 0, got -0.1"),
    "damping nan": ({"damping": float("nan")}, ValueError, "damping must be a finite number"),
    "alpha": ({"method": "neumann", "alpha": 0.0}, ValueError, "alpha must be a finite number above 0, or None, got 0"),
    "alpha of cg": ({"alpha": 0.1}, ValueError, "alpha belongs to the methods neumann, .*; got it with 'cg'"),
    "damped unrolling": (
        {"method": "unrolled", "damping": 0.1},
        ValueError,
        "damping belongs to the methods cg, neumann, exact; got 0.1 with 'unrolled'",
    ),
    "bent identity": (
        {"method": "identity", "curvature": "gauss_newton", **PAIR},
        ValueError,
        "curvature belongs to the methods .*; got 'gauss_newton' with 'identity'",
    ),
    "Gauss-Newton of what": ({"curvature": "gauss_newton"}, ValueError, "needs lower_outputs and output_loss"),
    "half": ({"output_loss": square}, ValueError, "lower_outputs and output_loss go together"),
    "no lower loss": ({"lower_loss": None}, ValueError, "lower_loss must be a function, or .* given, got None"),
    "upper loss": ({"upper_loss": None}, TypeError, "upper_loss must be a function, got NoneType"),
    "outputs": ({**PAIR, "output_loss": 3}, TypeError, "output_loss must be a function, got int"),
    "no lower": ({"lower_params": {}}, ValueError, "lower_params must hold at least one entry, got no tensors"),
    "no upper": ({"upper_params": [ONE[:0]]}, ValueError, "upper_params must hold .* got empty tensors"),
    "integers": (
        {"lower_params": {"n": [torch.arange(3)]}},
        TypeError,
        r"lower_params\['n'\]\[0\] must have a floating dtype, got torch.int64",
    ),
    "complex": ({"upper_params": ONE + 0j}, TypeError, "upper_params must have a floating dtype, got torch.complex128"),
    "number": ({"upper_params": [1.0]}, TypeError, r"upper_params\[0\] must be a torch.Tensor, .* got float"),
    "device": ({"upper_params": ONE.to("meta")}, ValueError, "upper_params must be on the device of lower_params, cpu"),
    "float": ({"lower_loss": lambda p, q: 1.0}, TypeError, "lower_loss must return a torch.Tensor, got float"),
    "vector": (
        {"upper_loss": lambda p, q: p.square()},
        ValueError,
        r"upper_loss must return a scalar, shape \(\), with batch_dims=0, got shape \(3,\)",
    ),
    "lower vector": (
        {"lower_loss": lambda p, q: p.square()[None]},
        ValueError,
        r"lower_loss must return a scalar, .* got shape \(1, 3\)",
    ),
    "output vector": (
        {**PAIR, "curvature": "gauss_newton", "output_loss": lambda o: o},
        ValueError,
        r"output_loss must return a scalar, .* got shape \(3,\)",
    ),
    "integer loss": ({"upper_loss": lambda p, q: p.sum().long()}, TypeError, "upper_loss must return a floating dtype"),
    "scalar of a batch": (
        {"batch_dims": 1},
        ValueError,
        r"lower_loss must return one value per replica, shape \(3,\), with batch_dims=1, got shape \(\)",
    ),
    "no leading axis": (
        {"batch_dims": 1, "lower_params": [ONE, ONE[0]]},
        ValueError,
        r"lower_params\[1\] must have a leading axis .* got shape \(\)",
    ),
    "unequal leading axes": (
        {"batch_dims": 1, "lower_params": [ONE, ONE[:2]]},
        ValueError,
        r"lower_params\[1\] must have a leading axis .* 3 as of lower_params\[0\], got shape \(2,\)",
    ),
    "unequal levels": (
        {"batch_dims": 1, "upper_params": ONE[:2]},
        ValueError,
        "upper_params must have as many replicas as lower_params with batch_dims=1, 3, got 2",
    ),
    "large": (
        {"method": "exact", "lower_params": torch.zeros(2049)},
        ValueError,
        'method="exact" forms a dense matrix and takes lower_params of at most 2048 entries, got 2049',
    ),
    "large to compare": (
        {"compare_exact": True, "lower_params": torch.zeros(2049)},
        ValueError,
        "compare_exact=True forms a dense matrix",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(name):
    changed, error, message = WRONG[name]
    given = {"lower_loss": least_squares, "upper_loss": square, "lower_params": ONE, "upper_params": ONE} | changed
    with pytest.raises(error, match=message):
        hypergradient(**given)


def test_losses_that_ignore_what_they_are_given_are_refused():
    fixed = torch.ones(2, requires_grad=True)
    given = {"w": torch.ones(2)}, {"a": torch.ones(2)}
    with pytest.raises(ValueError, match="upper_loss must depend on lower_params or upper_params"):
        hypergradient(lambda w, a: (w["w"] * a["a"]).square().sum(), lambda w, a: fixed.sum(), *given)
