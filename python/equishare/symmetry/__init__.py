"""From a partition of the cells of a weight to the group of permutations that leaves it unchanged."""

from equishare.symmetry.automorphisms import automorphism_generators, cell_orbits
from equishare.symmetry.group import Orbits, SymmetryGroup, symmetry_group

__all__ = ["Orbits", "SymmetryGroup", "automorphism_generators", "cell_orbits", "symmetry_group"]
