"""How fast do hypergradients approach the exact one, and what does an iteration cost?

    python benchmarks/bench_hypergradient.py [--replicas 64] [--out bench_hypergradient.json]

First agreement: on a two-layer tanh network with soft-shared weights and a solved lower level, exact against central
differences of the upper loss with the lower level solved anew. Then the relative error against exact by iteration,
the cost of a CG iteration in gradient evaluations, by floating-point operations and by time, and the time of a batch of
replicas against a loop over them.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from equishare import ops
from equishare.files import written_whole
from equishare.hypergradient import hypergradient

ITERATIONS = (1, 2, 5, 8, 10, 20, 50, 100, 200, 500, 1000)
METHODS = ("cg", "neumann", "unrolled")
Function = Callable[[], object]


def seeded(seed: int, *shape: int) -> Tensor:
    """Normal float64 numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Network:
    """y = w · tanh(W x), W (H, I) with G soft-shared values; ψ = [values, w], Λ = [logits, log ridge]."""

    def __init__(self, hidden: int = 6, inputs: int = 5, groups: int = 4) -> None:
        self.shape = (hidden, inputs)
        truth = torch.tanh(seeded(0, 200, inputs) @ seeded(1, groups)[torch.arange(hidden * inputs) % groups].view(
            hidden, inputs
        ).T) @ seeded(2, hidden)  # fmt: skip
        self.x, self.y = seeded(0, 200, inputs), truth + 0.3 * seeded(3, 200)
        self.logits = [seeded(4, hidden * inputs, groups), torch.tensor(-4.0, dtype=torch.float64)]
        self.start = [seeded(5, groups), seeded(6, hidden)]

    def error(self, psi: Any, lam: Any, rows: slice) -> Tensor:
        """Mean squared error on some samples."""
        weight = ops.soft_gather(lam[0], psi[0]).reshape(self.shape)
        return (torch.tanh(self.x[rows] @ weight.T) @ psi[1] - self.y[rows]).square().mean()

    def lower(self, psi: Any, lam: Any) -> Tensor:
        """Training error and ridge."""
        return self.error(psi, lam, slice(0, 100)) + lam[1].exp() * sum(p.square().sum() for p in psi)

    def upper(self, psi: Any, lam: Any) -> Tensor:
        """Validation error."""
        return self.error(psi, lam, slice(100, 200))

    def solve(self, lam: Any, start: Any) -> list[Tensor]:
        """The lower level: L-BFGS, then Newton steps to the last digits."""
        psi = [p.clone().requires_grad_() for p in start]
        optimizer = torch.optim.LBFGS(psi, max_iter=1000, line_search_fn="strong_wolfe")

        def closure() -> float:
            loss = self.lower(psi, lam)
            for p, g in zip(psi, torch.autograd.grad(loss, psi), strict=True):
                p.grad = g
            return float(loss.detach())

        optimizer.step(closure)
        sizes = [p.numel() for p in psi]

        def of_vector(vector: Tensor) -> Tensor:
            return self.lower(vector.split(sizes), lam)

        vector = torch.cat([p.detach() for p in psi])
        slope, curvature = torch.func.grad(of_vector), torch.func.jacrev(torch.func.grad(of_vector))
        for _ in range(5):
            vector = vector - torch.linalg.solve(curvature(vector), slope(vector))
        return list(vector.split(sizes))

    def central_difference(self, psi: Any, direction: Any, step: float = 1e-4) -> float:
        """Derivative of U(ψ*(Λ), Λ) along a direction of Λ."""
        values = []
        for sign in (1, -1):
            lam = [x + sign * step * d for x, d in zip(self.logits, direction, strict=True)]
            values.append(float(self.upper(self.solve(lam, psi), lam)))
        return (values[0] - values[1]) / (2 * step)


def seconds(run: Function, repeats: int = 5) -> float:
    """Best of a few runs."""
    run()
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


def flops(run: Function) -> int:
    """Floating-point operations of matrix products."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def cost(curvature: str) -> dict[str, float]:
    """Of a CG iteration on a four-layer network, in gradient evaluations."""
    x, y = seeded(0, 512, 64), seeded(1, 512, 8)
    shapes = ((64, 256), (256, 256), (256, 256), (256, 8))
    psi = [seeded(i, *shape) / shape[0] ** 0.5 for i, shape in enumerate(shapes)]
    lam = torch.tensor(0.0, dtype=torch.float64)

    def outputs(p: Any, q: Any) -> Tensor:
        hidden = x
        for layer in p[:-1]:
            hidden = torch.tanh(hidden @ layer)
        return hidden @ p[-1] * q.exp()

    def loss(o: Tensor) -> Tensor:
        return (o - y).square().mean()

    def gradient() -> None:
        leaves = [p.clone().requires_grad_() for p in psi]
        torch.autograd.grad(loss(outputs(leaves, lam)), leaves)

    def run(iterations: int) -> Function:
        def solve() -> None:
            result = hypergradient(
                None, lambda p, q: loss(outputs(p, q)), psi, lam, "cg", iterations=iterations, tolerance=0.0,
                lower_outputs=outputs, output_loss=loss, curvature=curvature, damping=10.0,
            )  # fmt: skip
            assert int(result.iterations) == iterations

        return solve

    few, many = 2, 12
    return {
        "flops": (flops(run(many)) - flops(run(few))) / (many - few) / flops(gradient),
        "time": (seconds(run(many)) - seconds(run(few))) / (many - few) / seconds(gradient),
    }


def batch(network: Network, psi: Any, replicas: int) -> dict[str, float]:
    """Seconds of replicas in one call and in a loop, ten CG iterations each."""
    many = [[p.expand(replicas, *p.shape) for p in tree] for tree in (psi, network.logits)]
    lower, upper = torch.vmap(network.lower), torch.vmap(network.upper)

    def at_once() -> None:
        hypergradient(lower, upper, *many, batch_dims=1, iterations=10, tolerance=0.0)

    def one() -> None:
        hypergradient(network.lower, network.upper, psi, network.logits, iterations=10, tolerance=0.0)

    return {"batch": seconds(at_once), "loop": replicas * seconds(one)}


def main() -> None:
    """Check, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--replicas", type=int, default=64)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    network = Network()
    psi = network.solve(network.logits, network.start)
    exact = hypergradient(network.lower, network.upper, psi, network.logits, "exact")
    direction = [seeded(7, *x.shape) for x in network.logits]
    along = sum(float((g * d).sum()) for g, d in zip(exact.gradients, direction, strict=True))
    difference = network.central_difference(psi, direction)
    if abs(along - difference) > 1e-5 * abs(difference):
        raise SystemExit(f"exact gives {along}, central differences {difference}")
    print(f"exact against central differences: {abs(along - difference) / abs(difference):.1e} relative")
    print(f"‖∂L/∂ψ‖ {float(exact.lower_gradient_norm):.1e}, lowest curvature {float(exact.lowest_curvature):.2e}\n")

    print(f"{'iterations':>10s}" + "".join(f"{method:>12s}" for method in METHODS) + "   (relative error)")
    errors: dict[str, list[float]] = {method: [] for method in METHODS}
    for iterations in ITERATIONS:
        for method in METHODS:
            result = hypergradient(
                network.lower, network.upper, psi, network.logits, method, iterations=iterations, tolerance=0.0,
                compare_exact=True,
            )  # fmt: skip
            assert result.exact_error is not None
            errors[method].append(float(result.exact_error))
        print(f"{iterations:10d}" + "".join(f"{errors[method][-1]:12.1e}" for method in METHODS), flush=True)

    print("\na CG iteration in gradient evaluations")
    costs = {curvature: cost(curvature) for curvature in ("hessian", "gauss_newton")}
    for curvature, of in costs.items():
        print(f"{curvature:>14s}  {of['flops']:.2f} by operations, {of['time']:.2f} by time", flush=True)
    times = batch(network, psi, arguments.replicas)
    print(f"\n{arguments.replicas} replicas: batch {times['batch']:.4f} s, loop {times['loop']:.4f} s, "
          f"ratio {times['loop'] / times['batch']:.1f}")  # fmt: skip
    if arguments.out is not None:
        document = {
            "iterations": ITERATIONS,
            "errors": errors,
            "cg_iteration_in_gradients": costs,
            "replicas": arguments.replicas,
            "seconds": times,
            "threads": torch.get_num_threads(),
            "machine": platform.processor(),
        }
        with written_whole(arguments.out) as path:
            path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
