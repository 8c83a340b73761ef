"""The best labels for given values: an integer least-squares problem for each block, solved by a beam."""

from __future__ import annotations

import numpy as np

from equishare.problems.estimates import BlockEstimate

# Partial blocks kept.
BEAM = 32


def decode(estimate: BlockEstimate, values: np.ndarray) -> np.ndarray:
    """Labels that minimise the misfit (ŵ − ψ[label])ᵀ Ω (ŵ − ψ[label]), block by block: rows of a linear map.

    With S = RᵀR, R upper triangular, the misfit of a block is ``Σ_i (Σ_{j ≥ i} R_ij d_j (ψ[l_j] − ŵ_j))²``. The i-th
    term depends only on the labels of entries i, i + 1, …. So labels are chosen from the last entry to the first, and
    the ``BEAM`` best partial blocks are kept (the K-best sphere decoder; Anderson and Mohan 1984). The result is exact
    where the beam holds all G^L blocks, and for blocks of one entry.
    """
    weight, scale = estimate.blocks(estimate.values), estimate.blocks(estimate.scale)
    outputs, inputs = weight.shape
    # A Cholesky factor that exists also where the samples leave a direction of the weights open.
    eigenvalues, vectors = np.linalg.eigh(estimate.curvature)
    root = np.sqrt(np.maximum(eigenvalues, 0))[..., None] * np.swapaxes(vectors, -1, -2)
    factor = np.linalg.qr(root).R.reshape(-1, inputs, inputs)  # of each block, or of all alike
    deviation = (values[None, :, None] - weight[:, None, :]) * scale[:, None, :]  # (O, G, I)
    chosen = np.zeros((outputs, 1, inputs))
    cost = np.zeros((outputs, 1))
    rows = np.arange(outputs)[:, None]
    back = []  # of each step the partial block that was extended, and its new label
    for i in range(inputs - 1, -1, -1):
        after = (chosen[:, :, i + 1 :] @ factor[:, i, i + 1 :, None])[..., 0]
        grown = cost[:, :, None] + (after[:, :, None] + factor[:, i, i, None, None] * deviation[:, None, :, i]) ** 2
        grown = grown.reshape(outputs, -1)
        keep = min(BEAM, grown.shape[1])
        best = np.argpartition(grown, keep - 1, axis=1)[:, :keep]
        cost = np.take_along_axis(grown, best, 1)
        parent, group = np.divmod(best, len(values))
        longer = np.empty((outputs, keep, inputs))
        longer[:, :, i + 1 :] = chosen[:, :, i + 1 :][rows, parent]
        longer[:, :, i] = deviation[rows, group, i]
        chosen = longer
        back.append((parent, group))
    labels, state = np.empty((outputs, inputs), np.int64), cost.argmin(1)
    for i, (parent, group) in enumerate(reversed(back)):
        labels[:, i] = group[rows[:, 0], state]
        state = parent[rows[:, 0], state]
    return labels.reshape(estimate.values.shape)
