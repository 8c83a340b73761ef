"""From a partition of the cells of a weight to the group of permutations that leaves it unchanged."""

from equishare.symmetry.automorphisms import automorphism_generators
from equishare.symmetry.equivariance import EquivarianceError, equivariance_error
from equishare.symmetry.group import Orbits, SymmetryGroup, symmetry_group
from equishare.symmetry.orbits import cell_orbits

__all__ = [
    "EquivarianceError",
    "Orbits",
    "SymmetryGroup",
    "automorphism_generators",
    "cell_orbits",
    "equivariance_error",
    "symmetry_group",
]
