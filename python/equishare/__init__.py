"""equishare discovers the symmetries hidden in data by learning which parameters are shared."""

from equishare.discovery import Discovery, discover
from equishare.partition import Partition, partition_distance
from equishare.problems import LinearProblem, MeanProblem

__all__ = ["Discovery", "LinearProblem", "MeanProblem", "Partition", "discover", "partition_distance"]
