"""From permutation groups to a name and a sentence.

:mod:`~equishare.symmetry.names.recognition` tries a table of families, one file each: ``abelian``, ``dihedral``,
``symmetric``, ``frobenius``, ``wreath`` (with ``coordinates``) and ``direct`` (with ``decomposition``).
:mod:`~equishare.symmetry.names.explanation` says in words what was found.
"""

from equishare.symmetry.names.explanation import explain
from equishare.symmetry.names.recognition import recognise, recognise_pattern

__all__ = ["explain", "recognise", "recognise_pattern"]
