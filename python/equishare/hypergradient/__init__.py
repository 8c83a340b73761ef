"""Hypergradients: the derivative of an upper loss through the solution of a lower one, and how far to trust it."""

from equishare.hypergradient.api import hypergradient
from equishare.hypergradient.result import Hypergradient

__all__ = ["Hypergradient", "hypergradient"]
