"""equishare discovers the symmetries hidden in data by learning which parameters are shared."""

from equishare import nn, ops, reference, sharing, theory
from equishare.discover import discover
from equishare.hypergradient import Hypergradient, hypergradient
from equishare.partition import Partition, partition_distance
from equishare.problems import LinearProblem, MeanProblem, ModelProblem
from equishare.result.discovery import Discovery, ModelDiscovery
from equishare.sharing import compact, harden, model_parameters, share, sharing_parameters
from equishare.symmetry import (
    SymmetryGroup,
    equivalence_test,
    equivariance_error,
    named_group,
    pattern,
    symmetry_group,
)

__all__ = [
    "Discovery",
    "Hypergradient",
    "LinearProblem",
    "MeanProblem",
    "ModelDiscovery",
    "ModelProblem",
    "Partition",
    "SymmetryGroup",
    "compact",
    "discover",
    "equivalence_test",
    "equivariance_error",
    "harden",
    "hypergradient",
    "model_parameters",
    "named_group",
    "nn",
    "ops",
    "partition_distance",
    "pattern",
    "reference",
    "share",
    "sharing",
    "sharing_parameters",
    "symmetry_group",
    "theory",
]
