"""From a partition of the cells of a weight to the group of permutations that leaves it unchanged."""

from equishare.symmetry.automorphisms import automorphism_generators, cell_orbits

__all__ = ["automorphism_generators", "cell_orbits"]
