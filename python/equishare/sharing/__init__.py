"""Sharing inside any ``torch.nn.Module``: training decides which entries of a parameter are equal.

:func:`share` marks a parameter, :func:`harden` turns its soft assignment into a partition, and :func:`compact` stores
the result small.
"""

from equishare.sharing.assignment import Assignment
from equishare.sharing.compaction import compact
from equishare.sharing.hardening import harden, impose
from equishare.sharing.parametrization import SharedParameter
from equishare.sharing.registration import share
from equishare.sharing.search import assignments, model_parameters, shared_parameters, sharing_parameters

__all__ = [
    "Assignment",
    "SharedParameter",
    "assignments",
    "compact",
    "harden",
    "impose",
    "model_parameters",
    "share",
    "shared_parameters",
    "sharing_parameters",
]
