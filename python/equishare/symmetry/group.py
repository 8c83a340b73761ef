"""A group of permutations of the axes of a parameter, and what can be asked of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from torch import nn

from equishare.arrays import real_array
from equishare.checks import count, flag
from equishare.notebook import shown
from equishare.partition import Partition
from equishare.symmetry import export
from equishare.symmetry.arguments import checked_tolerance
from equishare.symmetry.averaging import Average, AveragedLinear, AveragedModule
from equishare.symmetry.axes import Element, as_element, as_points, starts_of_axes
from equishare.symmetry.elements import element_batches
from equishare.symmetry.evaluation import Evaluated
from equishare.symmetry.followers import Reduction
from equishare.symmetry.moving import Mover
from equishare.symmetry.orbits import cell_orbits
from equishare.symmetry.permutation_group import PermutationGroup
from equishare.symmetry.permutations import Permutation
from equishare.symmetry.structure import Structure, decimal_digits, readable

__all__ = ["Orbits", "SymmetryGroup"]

# Elements that an average is summed over unless the caller wants more.
_MOST_ELEMENTS = 10_000


@dataclass(frozen=True)
class Orbits:
    """What a symmetry group can move where: entries of one orbit share a label.

    Attributes:
        outputs: Partition of the outputs; of the entries, for a vector.
        inputs: Partition of the inputs; None for a vector.
        taps: Partition of the taps of a kernel, in the shape of its grid; None where there is no kernel.
        cells: Partition of all entries, in the shape of the weight.
    """

    outputs: Partition
    inputs: Partition | None
    taps: Partition | None
    cells: Partition


@dataclass(frozen=True, eq=False)
class SymmetryGroup:
    """A group of permutations of the axes of a parameter that leaves a pattern of tied entries unchanged.

        label[p_out[o], p_in[i]] = label[o, i]    (a kernel has p_tap, its taps numbered in C order, as a third one)

    :func:`equishare.symmetry_group` gives all permutations that do. :func:`equishare.named_group` gives the group that
    was named, and the pattern that it ties, which other permutations may keep too: A_5 ties what S_5 ties.

    A linear map tied in this pattern is equivariant: permuting its inputs by p_in permutes its outputs by p_out,
    y[p_out[o]] of x[p_in[i]] (Ravanbakhsh, Schneider, Póczos, ICML 2017).

    Attributes:
        partition: the pattern, in its shape.
        same_action: whether outputs and inputs had to be permuted alike.
        order: exact number of elements.
        generators: tuples of int64 permutations, one for each axis: (p_out, p_in) for a weight, (p_out, p_in, p_tap)
            for a kernel, (p,) for a vector; empty for the trivial group.
        orbits: partitions of the outputs, inputs, taps and cells into orbits.
        structure: the isomorphism type, as a tree.
        closure_gap: fewest cells to move from one group to another to turn the orbits on cells into the pattern; 0 if
            the pattern is exactly a symmetry.
        explanation: a sentence for a person.
        extension: the group of the pattern closed to a ring or torus, if it has shift structure up to its boundary;
            with a verdict of its own.
        covariance: whether outputs and inputs are the same variables, those of a covariance, so that an entry and its
            mirror image are one.
        verdict: ``exact``; of a pattern that was found in data ``approximate`` where its entries are only nearly equal,
            and ``none`` where the data tell neither a symmetry nor shifts up to the boundary.
        probability: that all of the group are symmetries of the truth, and where only shifts up to the boundary hold
            that of these; NaN of a pattern as it is, of one that was found in data and has no probability
            (:attr:`equishare.Discovery.symmetry_probability`), and with ``none``.
    """

    partition: Partition
    same_action: bool
    order: int
    generators: list[tuple[Permutation, ...]]
    orbits: Orbits
    structure: Structure
    closure_gap: int
    explanation: str
    _reduction: Reduction
    _factors: list[PermutationGroup]
    extension: SymmetryGroup | None = None
    verdict: str = "exact"
    covariance: bool = False
    probability: float = math.nan

    @property
    def name(self) -> str:
        """C_n, D_n (order 2n), Q_8, Dic_n, S_n, A_n, C_p ⋊ C_k, products ×, wreath products ≀, "trivial".

        Or "order N, k generators" where none of these was proved. :func:`equishare.named_group` takes the other names.
        """
        return str(self.structure)

    @property
    def is_trivial(self) -> bool:
        """Whether the identity is the only element."""
        return self.order == 1

    def random_element(self, rng: np.random.Generator) -> tuple[Permutation, ...]:
        """A uniformly distributed element, as a tuple of permutations like the generators."""
        points = np.arange(self._reduction.group.degree)
        for factor in self._factors:
            points = factor.random_element(rng)[points]
        return as_element(self._reduction.lift(points), self.partition.shape)

    def to_sympy(self) -> Any:
        """The group as a ``sympy.combinatorics.PermutationGroup``.

        Its points are the outputs 0, …, O − 1, then the inputs O, …, O + I − 1, then the taps of a kernel in C order.
        Those of a vector are its entries.

        Raises:
            ImportError: sympy is not installed.
        """
        return export.sympy_group(self._points(), self._degree)

    def to_gap(self) -> str:
        """The group as GAP reads it, ``Group((1,2,3)(4,5,6))``: points as those of :meth:`to_sympy`, from 1 on."""
        return export.gap_group(self._points())

    def permutation_matrices(self) -> list[tuple[scipy.sparse.csr_array, ...]]:
        """For each generator a tuple of sparse matrices, one for each axis, with ``P @ x = x[p]``.

        A weight W tied in the pattern commutes with them, ``P_out @ W = W @ P_in``, and so does the map that it is:
        ``P_out @ (W @ x) = W @ (P_in @ x)``. This is f(x ρ) = f(x) π of :func:`equishare.equivariance_error`.
        """
        return [export.matrices(generator) for generator in self.generators]

    def equivariant_basis(self) -> scipy.sparse.csr_array:
        """An orthonormal basis B (dimension, entries) of the parameters that the group leaves unchanged.

        The dimension is the number of orbits on cells, ``orbits.cells.num_groups``. Row k is 1 / √(size) on orbit k,
        the entries of the parameter in C order: ``(c @ B).reshape(shape)`` is the parameter with coordinates c, and
        ``w.ravel() @ B.T @ B`` projects w on the space, which takes the mean of each orbit. B holds one number for each
        entry, whatever the dimension.
        """
        return export.orthonormal_indicators(self.orbits.cells)

    def average(
        self, function: Callable[[Any], Any], invariant: bool = False, limit: int = _MOST_ELEMENTS
    ) -> Callable[[Any], Any]:
        """The function averaged over the group, which makes it equivariant.

            f̄(x) = 1/|G| Σ f(x ρ) π⁻¹    over all elements (π, ρ)

        ``x ρ`` has the columns ``x[:, ρ]``, and f̄(x ρ) = f̄(x) π up to rounding. An equivariant f is left as it is. All
        elements are visited, a batch of them at a time: f gets (elements · n, I) rows and must treat each alone. The
        average of a ``torch.nn.Linear`` is that of its weights over the orbits, and is exact for any order.

        Args:
            function: takes (n, I) to (n, O), arrays or tensors, where the group is that of a weight; (n, K) to (n, K)
                for a vector (K,); images (n, I, *grid) to (n, O, *grid) for a kernel, whose taps turn the grid.
            invariant: the outputs do not move, and may have any shape: f̄(x ρ) = f̄(x).
            limit: most elements to sum over.

        Returns:
            A function; a ``torch.nn.Module`` of a module, which it holds as ``function`` and trains through.

        Raises:
            TypeError: function cannot be called, or invariant is neither True nor False.
            ValueError: the group has more than ``limit`` elements, or limit is no positive integer; when called, shapes
                that do not fit.
        """
        if not callable(function):
            raise TypeError(f"function must be callable, got {type(function).__name__}")
        flag("invariant", invariant)
        count("limit", limit)
        mover = Mover(self.partition.shape, invariant)
        if _is_linear(function) and len(self.partition.shape) < 3:
            return self._averaged_linear(function, invariant)  # type: ignore[arg-type]
        if self.order > limit:
            raise ValueError(
                f"the average is over all elements: at most limit={limit} of them, and the group has "
                f"{readable(self.order)}. Average each nn.Linear, which takes no sum, or tie its weights as "
                f"es.pattern(group) does; average over a smaller group; raise limit; or take the mean over "
                f"group.random_element(rng), which is equivariant only nearly"
            )
        kind = AveragedModule if isinstance(function, nn.Module) else Average
        return kind(function, self._batches, mover)  # type: ignore[arg-type]

    def is_equivariant(self, function: Any, x: Any = None, tolerance: float = 1e-6) -> bool:
        """Whether a parameter, or a function on inputs x, commutes with every generator.

        A parameter w commutes if ``|w[p_out[o], p_in[i]] − w[o, i]| ≤ tolerance · max |w|``, a function if
        ``|f(x ρ) − f(x) π| ≤ tolerance · max |f(x)|`` in every entry. Then f commutes with every product of generators
        on x: no statement on other inputs, for which see :func:`equishare.equivalence_test`.

        Args:
            function: an array or tensor of the shape of the pattern; or a function as in :meth:`average`.
            x: inputs of a function; None for a parameter.
            tolerance: relative to the largest entry.

        Raises:
            TypeError: no real numbers, a function without x, or a parameter with one; tolerance is no number.
            ValueError: shapes that do not fit, values that are not finite, or a tolerance below 0.
        """
        if callable(function):
            return self._commutes(function, x, tolerance, invariant=False)
        if x is not None:
            raise TypeError(f"x is for a function, and {type(function).__name__} is none: leave x out for a parameter")
        values = real_array(function, "a parameter").astype(np.float64)
        if values.shape != self.partition.shape:
            raise ValueError(f"a parameter must have shape {self.partition.shape}, got {values.shape}")
        if not np.isfinite(values).all():
            raise ValueError("a parameter must be finite")
        most = checked_tolerance(tolerance) * np.abs(values).max()
        for generator in self.generators:
            cells = values.reshape([len(p) for p in generator])
            if (np.abs(cells[np.ix_(*generator)] - cells) > most).any():
                return False
        return True

    def is_invariant(self, function: Callable[[Any], Any], x: Any, tolerance: float = 1e-6) -> bool:
        """Whether a function gives the same for x ρ as for x, for every generator: ``|f(x ρ) − f(x)| ≤ …``.

        Args:
            function: as in :meth:`average`, its outputs of any shape (n, ...).
            x: inputs.
            tolerance: relative to the largest entry of f(x).

        Raises:
            TypeError, ValueError: as :meth:`is_equivariant`.
        """
        return self._commutes(function, x, tolerance, invariant=True)

    def __str__(self) -> str:
        return self.explanation

    def __repr__(self) -> str:
        judged = "verdict='none', " if self.verdict == "none" else ""
        if not math.isnan(self.probability):
            # Rounded down, so that none is sure.
            judged = f"verdict={self.verdict!r}, probability={math.floor(1000 * self.probability) / 1000:.3f}, "
        found = self.extension is not None and self.extension.verdict != "none"
        shifts = f"shifts up to the boundary {self.extension.verdict}, " if self.extension and found else ""
        return (
            f"SymmetryGroup({self.name}, {judged}{shifts}order={decimal_digits(self.order)}, "
            f"shape={self.partition.shape}, same_action={self.same_action}, generators={len(self.generators)}, "
            f"closure_gap={self.closure_gap})"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows: the explanation."""
        return shown(str(self))

    @property
    def _degree(self) -> int:
        return int(starts_of_axes(self.partition.shape)[-1])

    def _points(self) -> list[Permutation]:
        return [as_points(generator, self.partition.shape) for generator in self.generators]

    def _batches(self, size: int) -> Iterator[Element]:
        for points in element_batches(self._factors, self._reduction.group.degree, size):
            yield as_element(self._reduction.lift(points), self.partition.shape)

    def _commutes(self, function: Callable[[Any], Any], x: Any, tolerance: float, invariant: bool) -> bool:
        if x is None:
            raise TypeError("x must be given: a function is compared on inputs")
        known = Evaluated(function, Mover(self.partition.shape, invariant), x)
        most = checked_tolerance(tolerance) * np.abs(known.outputs).max(initial=0.0)
        places = (known.places(generator) for generator in self.generators)
        return all((np.abs(known.differences(*place)) <= most).all() for place in places)

    def _averaged_linear(self, function: nn.Linear, invariant: bool) -> AveragedLinear:
        mover, shape = Mover(self.partition.shape, invariant), tuple(function.weight.shape)
        mover.check_inputs((1, shape[1]))
        mover.check_outputs((1, shape[0]), 1)
        pairs = [(mover.outputs(g, shape[:1]), mover.inputs(g, shape[1:])) for g in self.generators]
        outputs = cell_orbits([(p_out,) for p_out, _ in pairs], shape[:1])
        return AveragedLinear(function, cell_orbits(pairs, shape), outputs)


def _is_linear(function: Any) -> bool:
    return isinstance(function, nn.Linear) and type(function).forward is nn.Linear.forward
