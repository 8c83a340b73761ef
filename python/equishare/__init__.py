"""equishare discovers the symmetries hidden in data by learning which parameters are shared."""

from equishare import ops, reference
from equishare.discovery import Discovery, discover
from equishare.partition import Partition, partition_distance
from equishare.problems import LinearProblem, MeanProblem

__all__ = [
    "Discovery",
    "LinearProblem",
    "MeanProblem",
    "Partition",
    "discover",
    "ops",
    "partition_distance",
    "reference",
]
