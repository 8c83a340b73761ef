"""A discovery as files that other programs and a person can open."""

from __future__ import annotations

import json
import os
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from equishare.discover import Confidence, Discovery
from equishare.files import made_folder, written_whole
from equishare.report.page import write_report
from equishare.symmetry import SymmetryGroup
from equishare.symmetry.structure import decimal_digits


def require_matplotlib() -> None:
    """Raise ImportError with the remedy where matplotlib, which draws the figures, is missing."""
    if find_spec("matplotlib") is None:
        raise ImportError("writing figures needs matplotlib, which is not installed: pip install 'equishare[plot]'")


def write_discovery(
    discovery: Discovery, folder: str | os.PathLike[str], group: SymmetryGroup | None = None
) -> list[Path]:
    """Write the report, the labels, everything else, and two pictures; each file whole or not at all.

    - ``report.html``: see :meth:`equishare.Discovery.report`.
    - ``labels.npy``: group of each entry, int64, in the shape of the parameter.
    - ``labels.json``: the same with values, sizes, losses, method, seed and version; where a group is given, its name,
      order (a string), generators (pairs of permutations, of outputs and of inputs), closure gap and explanation; and
      how sure groups and entries are where that is known.
    - ``discovery.npz``: what ``Discovery.load`` reads.
    - ``pattern.png``, ``loss.png``: see :mod:`equishare.report.figures`.

    The folder is made if it is missing.

    Returns:
        The paths written.

    Raises:
        ImportError: matplotlib is not installed.
        OSError: the folder cannot be made or written.
    """
    require_matplotlib()
    from equishare.report.figures import loss_figure, pattern_figure

    folder = made_folder(folder)
    with written_whole(folder / "labels.npy") as path:
        np.save(path, discovery.partition.labels)
    with written_whole(folder / "labels.json") as path:
        path.write_text(json.dumps(_document(discovery, group)) + "\n", encoding="utf-8")
    discovery.save(folder / "discovery.npz")
    for name, figure in (("pattern", pattern_figure), ("loss", loss_figure)):
        with written_whole(folder / f"{name}.png") as path:
            figure(discovery).savefig(path, bbox_inches="tight")
    write_report(discovery, folder / "report.html", {} if group is None else {None: group})
    names = ("report.html", "labels.npy", "labels.json", "discovery.npz", "pattern.png", "loss.png")
    return [folder / name for name in names]


def _document(discovery: Discovery, group: SymmetryGroup | None) -> dict[str, object]:
    document: dict[str, object] = {
        "version": version("equishare"),
        "method": discovery.method,
        "seed": discovery.seed,
        "num_groups": discovery.partition.num_groups,
        "group_sizes": discovery.partition.group_sizes.tolist(),
        "values": discovery.values.tolist(),
        "bias": None if discovery.bias is None else discovery.bias.tolist(),
        "validation_loss": discovery.validation_loss,
        "no_sharing_loss": discovery.no_sharing_loss,
        "symmetry": None if group is None else _symmetry(group),
        "labels": discovery.partition.labels.tolist(),
    }
    if discovery.confidence is not None:
        document["confidence"] = _confidence(discovery.confidence)
    return document


def _confidence(confidence: Confidence) -> dict[str, object]:
    sure, ties = confidence.sure_ties()
    return {
        "resamples": confidence.num_resamples,
        "ties": ties,
        "ties_at_95": sure,
        "groups": _without_nan(confidence.groups),
        "entries": _without_nan(confidence.entries),
    }


def _without_nan(array: np.ndarray) -> object:
    # JSON has no NaN; entries that are a group of their own have no ties.
    return np.where(np.isnan(array), np.array(None), array.astype(object)).tolist()


def _symmetry(group: SymmetryGroup) -> dict[str, object]:
    return {
        "name": group.name,
        "order": decimal_digits(group.order),
        "generators": [[p.tolist() for p in generator] for generator in group.generators],
        "closure_gap": group.closure_gap,
        "explanation": group.explanation,
    }
