"""Problems: data, and parameters of which some may be equal. One file a problem."""

from equishare.problems.answers import About, Quality, Refit
from equishare.problems.base import Estimate, Problem, Proposal, Session, Slot
from equishare.problems.covariance import CovarianceProblem
from equishare.problems.estimates import BlockEstimate
from equishare.problems.factors import FactorProblem
from equishare.problems.generalized import GeneralizedLinearProblem
from equishare.problems.linear import LinearProblem
from equishare.problems.means import MeanProblem
from equishare.problems.network.problem import ModelProblem

__all__ = [
    "About",
    "BlockEstimate",
    "CovarianceProblem",
    "Estimate",
    "FactorProblem",
    "GeneralizedLinearProblem",
    "LinearProblem",
    "MeanProblem",
    "ModelProblem",
    "Problem",
    "Proposal",
    "Quality",
    "Refit",
    "Session",
    "Slot",
]
