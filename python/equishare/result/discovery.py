"""The answer: which entries are shared, with which values, and how it was found."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from equishare.arrays import in_order, sample_matrix
from equishare.checks import flag
from equishare.modes import evaluating
from equishare.partition import Partition
from equishare.problems.answers import About, Belief, Predictor, Quality
from equishare.problems.base import Slot
from equishare.problems.factor_tables import predicted
from equishare.problems.families import Family
from equishare.problems.generalized import offset_of
from equishare.problems.network.problem import INPUTS
from equishare.problems.network.refit import group_values
from equishare.problems.network.replicas import slots_of
from equishare.problems.network.samples import in_words
from equishare.result.archive import load_discovery, save_discovery
from equishare.result.cautions import SIGNIFICANCE, cautions
from equishare.result.confidence import Confidence
from equishare.result.origin import Origin
from equishare.result.plotting import Plotting
from equishare.result.verdict import judged, not_judged, symmetry_probability
from equishare.result.view import ParameterView, View
from equishare.sharing import impose
from equishare.symmetry import EquivarianceError, SymmetryGroup, equivariance_error, symmetry_group

_T = TypeVar("_T")


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Discovery(Plotting):
    """A discovered sharing pattern, and what was fitted with it.

    Means, a linear map and other problems with a single unnamed parameter have a bare answer: ``values`` and ``theta``
    are arrays, ``confidence`` is one ``Confidence`` and ``symmetry()`` one group. Where parameters have names, as in a
    network, these are dicts by name. ``partitions`` always is such a dict; ``partition`` is the one partition, where
    all parameters have the same.

    Attributes:
        slots: the parameters among whose entries ties were looked for.
        partitions: partition of each parameter by name; of the parameter's shape for single entries, (K,) for slices.
            Parameters that are tied alike have equal partitions.
        group_values: shared values ψ of each parameter, (G,), or (G, …) for slices; empty for a network that was loaded
            without its model.
        bias: (O,) bias of a linear map, or None.
        model: hardened copy of a network, refitted on training and validation samples; else None.
        validation_loss: with these partitions, fitted on the training samples and measured on the validation samples;
            for means and maps the mean squared error per sample and output.
        no_sharing_loss: the same without sharing; NaN after Ctrl-C.
        method: name of the method that found it.
        seed: that the method was given.
        history: columns of equal length; ``validation_loss`` against ``step`` or ``num_groups``.
        about: what was asked, and of which data.
        is_of_model: whether it is of a network.
        complete: whether the search ran to its end. After Ctrl-C it is False: the pattern is the best until then, and
            the model has seen the training samples alone.
        settled: False where the loss of a network was still falling at the end of the longest fit: more ``steps``, or
            another ``lr``, may change the answer.
        confidences: how sure each partition is, where ``discover`` was called with ``resamples``, and of factors with
            up to 1,000 levels; else empty.
        origin: what it takes to repeat it; None where that is not known.
        quality: how well it rests on the data: unshared estimates, standard errors, R², the test of any dependence.
        belief: what the evidence says beside the partition, from which ``spread``, ``posterior_mean`` and
            ``symmetry_log_odds`` are read; None for methods that do not ask it, and for networks.
        predictor: of factors, what predictions need beside the effects of levels; else None.
    """

    slots: tuple[Slot, ...]
    partitions: dict[str, Partition]
    group_values: dict[str, np.ndarray]
    validation_loss: float
    no_sharing_loss: float
    method: str
    seed: int
    history: dict[str, np.ndarray]
    about: About
    bias: np.ndarray | None = None
    model: nn.Module | None = None
    is_of_model: bool = False
    complete: bool = True
    settled: bool = True
    confidences: dict[str, Confidence] = field(default_factory=dict)
    origin: Origin | None = None
    belief: Belief | None = None
    quality: Quality = field(default_factory=Quality)
    predictor: Predictor | None = None

    @property
    def is_bare(self) -> bool:
        """Whether there is a single parameter without a name, so that answers are not dicts by name."""
        return len(self.partitions) == 1 and not self.slots[0].named

    def _bare(self, by_name: dict[str, _T]) -> Any:
        return by_name[self.slots[0].key] if self.is_bare else by_name

    @property
    def partition(self) -> Partition:
        """The partition, where there is one.

        Raises:
            ValueError: parameters have different partitions; see ``partitions``.
        """
        found = list(self.partitions.values())
        if any(not np.array_equal(p.labels.ravel(), found[0].labels.ravel()) for p in found[1:]):
            raise ValueError(f"there are several partitions: partitions[name] for {', '.join(self.partitions)}")
        return found[0]

    @property
    def values(self) -> Any:
        """Shared values ψ: (G,) of the one parameter, or a dict of them by name.

        Raises:
            ValueError: the discovery of a network was loaded without its model.
        """
        self._require_model()
        return self._bare(self.group_values)

    @property
    def theta(self) -> Any:
        """The shared parameter ``θ = ψ[label]`` in its shape; of a network a dict of tensors by name.

        Raises:
            ValueError: the discovery of a network was loaded without its model.
        """
        self._require_model()
        if self.model is None:
            return self._bare({n: self.group_values[n][p.labels] for n, p in self.partitions.items()})
        parents = {name: name.rpartition(".") for name in self.partitions}
        return {n: getattr(self.model.get_submodule(p), leaf).detach() for n, (p, _, leaf) in parents.items()}

    @property
    def names(self) -> tuple[tuple[str, ...], ...]:
        """What the data call the entries along each axis of the partition.

        (outputs, inputs) of a map, (entries,) of means. Empty along an axis whose columns had no names.
        """
        labels = self.slots[0].labels
        return labels or ((),) * len(self.slots[0].shape_of(self.slots[0].key))

    @property
    def levels(self) -> dict[str, tuple[str, ...]]:
        """The names of the levels of each factor, in the order of its partition; empty for other problems."""
        return {slot.key: slot.labels[0] for slot in self.slots if slot.noun == "level"}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to beware of, a sentence each; empty where nothing was noticed.

        No dependence to be seen, few samples, collinear inputs, groups that may be one, values that may be a continuum,
        a validation loss above that without sharing, a search or a fit that did not end.
        """
        return cautions(self.view())

    def predict(self, x: Any, *, averaged: bool = False, offset: Any = None, numeric: Any = None) -> Any:
        """Outputs for new inputs.

        Of a linear map ``W x + b`` with the shared weights ``theta``, an array (n, O), or a tensor for a tensor; of a
        generalised one the mean, a probability or an expected count. Of a
        network what ``model`` gives in evaluation mode, without gradients. Of factors the mean of the outcome, (n,): a
        probability, an expected count or a number. A level that was never seen has the effect that is expected of a
        new one, and a warning says so.

        Args:
            x: (n, I) inputs; the columns of a table are found by their names, where those of the data had names. For a
                network a tensor, or a tuple of the arguments of its forward. For factors a table with their columns.
            averaged: predict with ``posterior_mean`` instead of the values of the one pattern.
            offset: of factors (n,), and of a generalised linear map (n,) or (n, O), added to the linear predictor.
            numeric: of factors, (n, P) numeric columns, where the problem got them apart from its table.

        Raises:
            TypeError: no tensors for a network, no numbers for a map.
            ValueError: means, which predict nothing; other inputs than those of the data, or than a network takes; a
                network that was loaded without its model; an argument that this kind of problem does not have.
        """
        self._require_model()
        flag("averaged", averaged)
        of_factors = bool(self.levels) and self.predictor is not None
        if numeric is not None and not of_factors:
            raise ValueError(f"numeric must be left out, which belongs to factors; this discovery is of {self._of()}")
        if offset is not None and self.predictor is None:
            raise ValueError(
                f"offset must be left out, which belongs to factors and generalised linear maps; this discovery is of "
                f"{self._of()}: add it to the prediction"
            )
        if self.model is not None:
            if averaged:
                raise ValueError(
                    "averaged must be False for a network, which is fitted with the one pattern: its weights are not "
                    "averaged"
                )
            if not all(isinstance(one, Tensor) for one in (x if isinstance(x, tuple) else (x,))):
                raise TypeError(
                    f"x must be a tensor, or a tuple of them, for a network, got {type(x).__name__}: "
                    "torch.as_tensor(x, dtype=...) in the dtype of the model"
                )
            return self._output(x if isinstance(x, tuple) else (x,))
        if of_factors:
            assert self.predictor is not None
            used = self.belief if averaged else None
            predictor = self.predictor if used is None or used.predictor is None else used.predictor
            effects = self.posterior_mean if averaged else self.theta
            return predicted(self.slots, effects, predictor, x, offset, numeric)
        if not self.is_bare or self.slots[0].noun != "weight":
            raise ValueError(f"predict needs the discovery of a map or of a network; this one is of {self._of()}")
        theta = self.posterior_mean if averaged else self.theta
        given = sample_matrix(in_order(x, self.names[-1], "x"), "x")
        if given.shape[1] != theta.shape[1]:
            raise ValueError(f"x must have {theta.shape[1]} columns, got shape {given.shape}")
        found = self._map(given, theta, self.posterior_bias if averaged else self.bias)
        if self.predictor is not None:
            shift = 0.0 if offset is None else offset_of(offset, found.shape)
            found = Family(self.predictor.family).expected(found + shift)
        if not isinstance(x, Tensor):
            return found
        return torch.from_numpy(found).to(x.device, x.dtype if x.is_floating_point() else torch.get_default_dtype())

    def _output(self, x: tuple[Tensor, ...]) -> Any:
        """What the network gives, in evaluation mode and without gradients."""
        assert self.model is not None
        try:
            with evaluating(self.model), torch.no_grad():
                return self.model(*x)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, IndexError, TypeError, ValueError) as error:
            trained = dict(self.about.facts).get(INPUTS)  # version 0.1 did not keep it
            if trained == in_words(x, "samples"):
                raise
            expected = "samples as the model was trained on" + ("" if trained is None else f", {trained}")
            raise ValueError(
                f"x must be {expected}, got {in_words(x)}: give samples of that shape and dtype ({error})"
            ) from error

    @property
    def spread(self) -> float:
        """Standard deviation τ of the entries of a group about its value; 0 where they are equal, NaN where not judged.

        τ is the most probable one, where scattered entries are more probable than equal ones. The interval that holds
        it with probability .95 is ``belief.spread_interval``.
        """
        return math.nan if self.belief is None else self.belief.spread

    @property
    def posterior_mean(self) -> Any:
        """The entries averaged over partitions and spreads, weighted by their evidence: what predicts best.

        The entries of a group are shrunk to its value as far as the estimates and the spread say, and not made equal.
        In the shape of the parameter, or a dict by name; ``theta`` where the evidence was not asked.
        """
        if self.belief is None:
            return self.theta
        own, first = self.belief.posterior_mean, self.slots[0]
        if len(self.slots) == 1 and own.size > first.num_entries:  # several parameters with one partition
            return self._bare({n: one.reshape(first.shape_of(n)) for n, one in zip(first.names, own, strict=True)})
        parts = np.split(own.ravel(), np.cumsum([slot.num_entries for slot in self.slots])[:-1])
        return self._bare(
            {
                name: part.reshape(slot.shape_of(name))
                for slot, part in zip(self.slots, parts, strict=True)
                for name in slot.names
            }
        )

    @property
    def posterior_bias(self) -> np.ndarray | None:
        """The bias that goes with ``posterior_mean``, (O,) of a map and (1,) of factors; None where there is none."""
        if self.bias is None or self.belief is None or self.belief.predictor is None:
            return self.bias
        return np.atleast_1d(self.belief.predictor.bias)

    @property
    def symmetry_log_odds(self) -> float:
        """Log odds of the symmetry found, over all candidates of the search, by the evidence as it is.

        It is that of the group that ``symmetry()`` gives being contained in the group of the truth; where the partition
        has none, that of the best candidate that has one. NaN where no symmetry was looked for.
        """
        return math.nan if self.belief is None else self.belief.symmetry_log_odds

    @property
    def symmetry_probability(self) -> float:
        """The probability of the same, calibrated on simulated problems; see :mod:`equishare.result.verdict`."""
        return math.nan if self.belief is None else symmetry_probability(self.belief)

    @property
    def confidence(self) -> Any:
        """How sure the partition is: a :class:`Confidence`, or a dict of them by name; None where it was not asked."""
        return self._bare(self.confidences) if self.confidences else None

    def symmetry(self, same_action: bool | None = None) -> Any:
        """The group of permutations that leave the pattern unchanged, see :func:`equishare.symmetry_group`.

        Args:
            same_action: demand the same permutation of outputs and inputs. None: of a covariance, whose rows and
                columns are the same variables, and of nothing else.

        Returns:
            The group, a ``SymmetryGroup``, or a dict of groups by name. Its ``verdict`` is ``exact``, ``approximate``
            (entries of an orbit scatter, see ``spread``) or ``none`` (neither the symmetry nor shifts up to the
            boundary have a probability of one half, or nothing is tied), and its explanation says so first. It is the
            group of the pattern, but where only a part of that is sure. Then it is this part, and the explanation names
            the whole; where shifts alone are sure, it is trivial, and ``extension`` has them.
            Where the evidence was not asked, there is no verdict but that of the pattern itself, ``exact``.

        Raises:
            ValueError: same_action for means, vectors or slices, or for O ≠ I.
            TypeError: same_action is neither True nor False nor None.
            ImportError: igraph or sympy are not installed.
        """
        if same_action is None:
            same_action = self.slots[0].same_action
        flag("same_action", same_action)
        if same_action not in self._known_groups:
            belief, covariance = self.belief, same_action and self.slots[0].same_action
            is_seen = not self.quality.dependence > SIGNIFICANCE
            self._known_groups[same_action] = {
                n: not_judged(symmetry_group(p, same_action=same_action, covariance=covariance), is_seen)
                if belief is None
                else judged(p, belief, same_action, covariance, is_seen)
                for n, p in self.partitions.items()
            }
        return self._bare(dict(self._known_groups[same_action]))

    @cached_property
    def _known_groups(self) -> dict[bool, dict[str, SymmetryGroup]]:
        """Symmetries that were asked for, by `same_action`: they take long."""
        return {}

    def equivariance_error(
        self, x: Any, function: Callable[[np.ndarray], np.ndarray] | None = None, num_permutations: int = 199
    ) -> EquivarianceError:
        """How far a function of (n, I) inputs is from commuting with each generator of the symmetry found.

        Args:
            x: (n, I) inputs on which it is measured.
            function: your own function or module, (n, I) to (n, O); the fitted map ``W x + b`` if None.
            num_permutations: random permutations of the test of each generator; the seed is the discovery's.

        Raises:
            ValueError: means, which are no function.
            ValueError, TypeError: see :func:`equishare.equivariance_error`.
        """
        if not self.is_bare or self.slots[0].noun != "weight":
            raise ValueError(f"equivariance_error needs the discovery of a linear map; this one is of {self._of()}")
        return equivariance_error(
            (lambda given: self._map(given, self.theta, self.bias)) if function is None else function,
            self.symmetry(),
            x,
            num_permutations,
            self.seed,
        )

    def _of(self) -> str:
        return "a model" if self.is_of_model else ", ".join(f"{slot.noun}s" for slot in self.slots)

    @staticmethod
    def _map(x: np.ndarray, theta: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
        return np.asarray(x @ theta.T + (0.0 if bias is None else bias))

    def view(self) -> View:
        """The discovery as plain data, which reports and figures read."""
        parameters, at = [], 0
        for slot in self.slots:
            count = self.partitions[slot.key].num_groups
            errors = self.quality.value_errors
            for name in slot.names:
                values = self.group_values.get(name)
                parameters.append(
                    ParameterView(
                        None if self.is_bare else name,
                        self.partitions[name],
                        values if values is not None and values.ndim == 1 and not slot.is_sliced else None,
                        slot.noun,
                        self.confidences.get(name),
                        self.belief,
                        self.symmetry_probability,
                        slot.labels,
                        None if errors is None else errors[at : at + count],
                    )
                )
            at += count
        num_groups = sum(self.partitions[slot.key].num_groups for slot in self.slots)
        names = (
            "bias",
            "validation_loss",
            "no_sharing_loss",
            "method",
            "seed",
            "history",
            "complete",
            "settled",
            "is_of_model",
            "quality",
            "predictor",
        )
        fields = {name: getattr(self, name) for name in names}
        return View(tuple(parameters), num_groups, about=self.about, origin=self.origin, **fields)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to ``path``, a .npz file without pickled objects, whole or not at all.

        Raises:
            ValueError: path does not end in .npz, or the model of a network is missing.
            OSError: the file cannot be written.
        """
        if self.is_of_model and self.model is None:
            raise ValueError("this discovery was loaded without a model, and saving it would lose what was fitted")
        save_discovery(path, self)

    @classmethod
    def load(cls, path: str | os.PathLike[str], model: nn.Module | None = None) -> Discovery:
        """Read what :meth:`save` wrote, in this version or in version 0.1.

        Args:
            path: the file.
            model: for the discovery of a network, a module of the same architecture, with the same parameters shared
                by :func:`equishare.share` (those shared entry by entry, each on its own, may be plain). It is
                hardened and gets the saved state.

        Raises:
            OSError: the file cannot be read.
            TypeError: model is no module.
            ValueError: the file is no saved Discovery or is damaged, or the model does not fit; the model then stays as
                it was.
        """
        fields, state = load_discovery(path)
        found = cls(**fields)
        if model is None:
            return found
        if not found.is_of_model:
            raise ValueError(f"model belongs to the discovery of a model, and this one is of {found._of()}")
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
        try:
            for one in (copy.deepcopy(model), model):
                impose(one, found.partitions)
                one.load_state_dict(state)
        except (RuntimeError, TypeError, ValueError) as error:
            raise ValueError(
                f"model does not fit the discovery: it must have the architecture and the shared parameters of the "
                f"model that was searched ({error})"
            ) from error
        slots = slots_of(model)
        if {s.names: s.shapes for s in slots} == {s.names: s.shapes for s in found.slots}:
            slots = found.slots  # version 0.1 did not keep them
        return replace(found, model=model, slots=slots, group_values=group_values(model, found.partitions))

    def _require_model(self) -> None:
        if self.is_of_model and self.model is None:
            raise ValueError("this discovery was loaded without a model: Discovery.load(path, model=...)")


#: The answer for a network had a class of its own in version 0.1.
ModelDiscovery = Discovery
