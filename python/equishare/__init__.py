"""equishare discovers the symmetries hidden in data by learning which parameters are shared.

Names are imported when they are first asked for, so that the command line can answer without loading torch.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from equishare import nn, ops, reference, sharing, theory
    from equishare.discover import discover
    from equishare.hypergradient import Hypergradient, hypergradient
    from equishare.partition import Partition, partition_distance
    from equishare.problems import (
        CovarianceProblem,
        FactorProblem,
        GeneralizedLinearProblem,
        LinearProblem,
        MeanProblem,
        ModelProblem,
    )
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
    "CovarianceProblem",
    "Discovery",
    "FactorProblem",
    "GeneralizedLinearProblem",
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

# Where names come from that are no submodules.
_HOMES = {
    "discover": ("discover",),
    "hypergradient": ("Hypergradient", "hypergradient"),
    "partition": ("Partition", "partition_distance"),
    "problems": (
        "CovarianceProblem",
        "FactorProblem",
        "GeneralizedLinearProblem",
        "LinearProblem",
        "MeanProblem",
        "ModelProblem",
    ),
    "result.discovery": ("Discovery", "ModelDiscovery"),
    "sharing": ("compact", "harden", "model_parameters", "share", "sharing_parameters"),
    "symmetry": (
        "SymmetryGroup",
        "equivalence_test",
        "equivariance_error",
        "named_group",
        "pattern",
        "symmetry_group",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


class _Package(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name == "__version__":
            from importlib.metadata import version

            return version("equishare")
        if name.startswith("__") or not name.isidentifier():
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            value = import_module(f"{__name__}.{_HOME_OF.get(name, name)}")
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}.{name}":
                raise
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
        value = getattr(value, name) if name in _HOME_OF else value
        setattr(self, name, value)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        # An import of the submodule `discover` or `hypergradient` would hide the function of this name.
        hides = name in _HOME_OF and isinstance(value, ModuleType)
        super().__setattr__(name, getattr(value, name) if hides else value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})


sys.modules[__name__].__class__ = _Package
