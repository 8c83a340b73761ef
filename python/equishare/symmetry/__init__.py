"""From a partition of the cells of a weight to the group of permutations that leaves it unchanged."""

from equishare.symmetry.automorphisms import automorphism_generators
from equishare.symmetry.equivalence import Equivalence, equivalence_test
from equishare.symmetry.equivariance import EquivarianceError, equivariance_error
from equishare.symmetry.from_pattern import part_of_symmetry, symmetry_group
from equishare.symmetry.given import pattern
from equishare.symmetry.group import Orbits, SymmetryGroup
from equishare.symmetry.named import named_group
from equishare.symmetry.orbits import cell_orbits

__all__ = [
    "Equivalence",
    "EquivarianceError",
    "Orbits",
    "SymmetryGroup",
    "automorphism_generators",
    "cell_orbits",
    "equivalence_test",
    "equivariance_error",
    "named_group",
    "part_of_symmetry",
    "pattern",
    "symmetry_group",
]
