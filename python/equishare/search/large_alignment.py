"""Pairs of permutations that may be symmetries of a large noisy weight, without a table of all pairs of cells.

With one variance v for all cells the scores of :mod:`equishare.search.alignment` are matrix products. For a given
permutation π of the outputs, mapping input i to j adds

    Σ_o L[o, i, π(o), j] = Σ_o W[o, i] W[π(o), j] / 2v − Σ_o (W[o, i]² + W[π(o), j]²) / 4v
                           − ½ O log 4πv − Σ_o log f(W[π(o), j])

and likewise for the outputs. So whichever side is known tells the other, and the two improve each other until they
stand still. What is left is to find a few images: W'W does not depend on π at all, so a beam search maps some inputs to
inputs with the same products.
"""

from __future__ import annotations

import numpy as np
import scipy

from equishare.search.alignment import Permutations, background

# Inputs that the beam maps, partial maps that it keeps, and how many of them are completed for an image of the first.
_MAPPED = 16
_BEAM = 64
_COMPLETED = 2
# Images of an input that are searched.
_IMAGES = 12
_ROUNDS = 8


class LargeAlignment:
    """Scores and searches pairs of permutations of one weight; memory and the time of a score are O(O I) numbers.

    Args:
        estimates: ŵ (O, I).
        variances: v (O, I), of which the median counts.
    """

    def __init__(self, estimates: np.ndarray, variances: np.ndarray) -> None:
        unit = float(np.sqrt(np.median(variances)))
        self.shape = estimates.shape
        self._weight = (estimates - np.median(estimates)) / unit
        log_density = background(self._weight, np.ones(self.shape))(self._weight)
        # Of a cell on either side; the last term is that of a cell which is mapped to itself.
        self._from = -0.25 * self._weight**2 - 0.5 * np.log(4 * np.pi)
        self._to = -0.25 * self._weight**2 - log_density
        self._itself = 0.5 * self._weight**2 + self._from + self._to
        self._products = _Products(self._weight)

    def search(self, first: int) -> list[tuple[float, Permutations]]:
        """Complete maps with their scores, best first, for some images of the input ``first``; not the identity."""
        found: dict[bytes, tuple[float, Permutations]] = {}
        for sources, images in self._products.partial_maps(first):
            gain = self._gain_outputs(sources, images)
            outputs = scipy.optimize.linear_sum_assignment(gain, maximize=True)[1]
            score, maps = self._improve(outputs)
            moved = any((p != np.arange(len(p))).any() for p in maps)
            if score > 0 and moved:
                found[b"".join(p.tobytes() for p in maps)] = (score, maps)
        return sorted(found.values(), key=lambda pair: -pair[0])

    def _gain_outputs(self, sources: np.ndarray, images: np.ndarray) -> np.ndarray:
        """(O, O) what mapping each output to each adds, given the images of some inputs."""
        gain = 0.5 * self._weight[:, sources] @ self._weight[:, images].T
        gain += self._from[:, sources].sum(1)[:, None] + self._to[:, images].sum(1)
        gain[np.diag_indices_from(gain)] -= self._itself[:, sources[sources == images]].sum(1)
        return gain

    def _gain_inputs(self, outputs: np.ndarray) -> np.ndarray:
        """(I, I) the same for inputs, given the images of all outputs."""
        gain = 0.5 * self._weight.T @ self._weight[outputs]
        gain += self._from.sum(0)[:, None] + self._to[outputs].sum(0)
        gain[np.diag_indices_from(gain)] -= self._itself[outputs == np.arange(len(outputs))].sum(0)
        return gain

    def _improve(self, outputs: np.ndarray) -> tuple[float, Permutations]:
        """Assign the inputs for given outputs, then the outputs for given inputs, while the score grows."""
        score, best = -np.inf, (outputs, np.arange(self.shape[1]))
        every = np.arange(self.shape[1])
        for _ in range(_ROUNDS):
            gain = self._gain_inputs(outputs)
            inputs = scipy.optimize.linear_sum_assignment(gain, maximize=True)[1]
            total = float(gain[every, inputs].sum())
            if not total > score + 1e-6:
                break
            score, best = total, (outputs, inputs)
            outputs = scipy.optimize.linear_sum_assignment(self._gain_outputs(every, inputs), maximize=True)[1]
        return score, best


class _Products:
    """The products of the columns of a weight, which permuting its rows leaves as they are."""

    def __init__(self, weight: np.ndarray) -> None:
        products = weight.T @ weight
        # Noise of variance one adds the number of rows to a square, and to all products a variance.
        squares = np.maximum(np.diag(products) - len(weight), 1.0)
        self._products = products
        self._variance = np.add.outer(squares, squares) + len(weight)
        np.fill_diagonal(self._variance, 4 * squares + 2 * len(weight))
        off = ~np.eye(len(products), dtype=bool)
        self._log_density = np.zeros_like(products)
        if off.any():
            tell = background(products[off], self._variance[off])
            self._log_density[off] = tell(products[off])
        # Columns of one value set have the same squares, and the same sorted entries.
        self._sorted = np.sort(weight, axis=0)

    def partial_maps(self, first: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Some inputs and their images, several ways for each image of the input ``first``."""
        unlike = ((self._sorted - self._sorted[:, [first]]) ** 2).sum(0)
        likely = np.argsort(unlike, kind="stable")
        likely = likely[likely != first][:_IMAGES]
        order = self._order(first)
        found = [(order, images) for image in likely for images in self._beam(order, int(image))]
        # The image may be the input itself, with others moved.
        return found + [(order, images) for images in self._beam(order, first)]

    def _order(self, first: int) -> np.ndarray:
        """Inputs to map one after another: next the one whose products with those before are the rarest together."""
        order, known = [first], -self._log_density[first].copy()
        known[first] = -np.inf
        while len(order) < min(_MAPPED, len(self._products)):
            best = int(known.argmax())
            order.append(best)
            known -= self._log_density[best]
            known[order] = -np.inf
        return np.array(order)

    def _beam(self, order: np.ndarray, image: int) -> np.ndarray:
        """The best images (n, m) of these inputs, the first of them given."""
        maps, score = np.array([[image]]), np.zeros(1)
        for step in range(1, len(order)):
            before, one = order[:step], order[step]
            # ratio[state, mapped, j]: that the product of (before, one) is that of (its image, j).
            theirs, variance = self._products[maps], self._variance[maps] + self._variance[before, one][:, None]
            ratio = -0.5 * (
                (theirs - self._products[before, one][:, None]) ** 2 / variance + np.log(2 * np.pi * variance)
            )
            ratio -= self._log_density[maps]
            # A product that is mapped to itself tells nothing.
            states, places = np.nonzero(maps == before)
            ratio[states, places, one] = 0.0
            total = score[:, None] + ratio.sum(1)
            np.put_along_axis(total, maps, -np.inf, 1)
            kept = min(_BEAM, int(np.isfinite(total).sum()))
            best = np.argpartition(-total.ravel(), kept - 1)[:kept]
            parent, images = np.divmod(best, total.shape[1])
            score = total.ravel()[best]
            maps = np.column_stack([maps[parent], images])
        return maps[np.argsort(-score)[:_COMPLETED]]
