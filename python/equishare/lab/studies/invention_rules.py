"""Rules that assert a group: those of this library, and what version 0.1 did."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from equishare.discover import discover
from equishare.lab.studies.invention_data import Draw
from equishare.partition import Partition, partition_distance
from equishare.problems import LinearProblem
from equishare.problems.estimates import blocks_of
from equishare.result.discovery import Discovery
from equishare.result.verdict import shift_probability, symmetry_probability
from equishare.search.by_evidence import candidates
from equishare.search.evidence import Evidence, Score
from equishare.search.orbits import find_symmetries
from equishare.search.price import Structure, closure_of, generated, is_kept, log_prior
from equishare.search.shifts import coarsest_shift, shifts_of

#: From this probability on a group is sure.
LEVEL = 0.95


@dataclass(frozen=True)
class Asserted:
    """What one rule says of one map.

    Attributes:
        right: whether it asserts a group other than the identity that leaves the true labels unchanged.
        false: whether it asserts one that does not, or shifts up to a boundary that the truth does not have.
        exact: whether its partition is the true one.
    """

    right: bool
    false: bool
    exact: bool


@dataclass(frozen=True)
class Judged:
    """All rules on one map, and the group that ``auto`` judges.

    Attributes:
        of: the map.
        rules: what each rule asserts.
        log_odds: of the group judged, infinite where there was none.
        probability: that ``auto`` gives it.
        holds: whether it is contained in the group of the truth.
    """

    of: Draw
    rules: dict[str, Asserted]
    log_odds: float
    probability: float
    holds: bool


def judge(of: Draw) -> Judged:
    """Ask every rule about one map."""
    found = discover(of.problem)
    belief, truth = found.belief, of.truth
    assert belief is not None
    auto, sure = told(found, truth, 0.5), told(found, truth, LEVEL)
    others = {name: discover(of.problem, name).partition.labels for name in ("gap", "merge")}
    others["version 0.1"] = version_01(of.problem)
    rules = {"auto": auto, "auto at 95 %": sure, **{name: asserted(one, truth) for name, one in others.items()}}
    holds = belief.guess is not None and contained(belief.guess, truth) is True
    return Judged(of, rules, belief.symmetry_log_odds, found.symmetry_probability, holds)


def asserted(labels: np.ndarray, truth: np.ndarray) -> Asserted:
    """Compare the group of a pattern with the truth."""
    right = contained(labels, truth)
    return Asserted(right is True, right is False, partition_distance(labels, truth) == 0)


def told(found: Discovery, truth: np.ndarray, level: float) -> Asserted:
    """Compare what ``auto`` says with at least this probability with the truth: a group, shifts up to the boundary."""
    group, belief = found.symmetry(), found.belief
    assert belief is not None
    says = not group.is_trivial and symmetry_probability(belief) >= level
    right = all(is_kept(truth, pair) for pair in group.generators)
    shifts = group.extension is not None and shift_probability(belief) >= level
    false_shifts = shifts and coarsest_shift(shifts_of(found.partition.labels)) not in shifts_of(truth)
    exact = partition_distance(found.partition, truth) == 0
    return Asserted(says and right, (says and not right) or false_shifts, exact)


def contained(labels: np.ndarray, truth: np.ndarray) -> bool | None:
    """Whether all permutations that keep ``labels`` keep the true ones; None where the identity alone keeps them."""
    closure = closure_of(labels)
    return None if closure is None else all(is_kept(truth, pair) for pair in closure.maps)


def version_01(problem: LinearProblem) -> np.ndarray:
    """The partition that version 0.1 selects: a symmetry costs log(O! I!/|H|), and the choice of H costs nothing.

    H is the group that the maps found generate. The labels of orbits then cost what those of as many entries would.
    """
    evidence = Evidence(blocks_of(problem))
    evidence.is_matrix = False
    scores: dict[Partition, Score] = dict(candidates(evidence, polished=True).scores)
    for symmetry in find_symmetries(evidence.estimate):
        group = generated(symmetry.orbits, symmetry.maps)
        log_order = 0.0 if group is None else group.log_normaliser
        conjugates = float(gammaln(np.array(symmetry.orbits.shape) + 1).sum()) - log_order
        first = np.unique(symmetry.orbits, return_index=True)[1]
        for labels in symmetry.merges:
            rejected, score = evidence.score(labels)
            score += (
                log_prior(labels, Structure(), False)[0]
                - log_prior(labels.ravel()[first], Structure(), False)[0]
                + conjugates
            )
            partition = Partition(labels)
            scores[partition] = min(scores.get(partition, (True, np.inf)), (rejected, score))
    return min(scores, key=scores.__getitem__).labels
