"""The results as files: bench.json with every measurement, bench.png with the ratios."""

from __future__ import annotations

import json
import os
from pathlib import Path

from equishare.files import made_folder, written_whole
from equishare.lab.bench.result import Results
from equishare.report import require_matplotlib

__all__ = ["write_results"]


def write_results(results: Results, folder: str | os.PathLike[str]) -> list[Path]:
    """Write ``bench.json`` and ``bench.png``, each whole or not at all; the folder is made if it is missing.

    Returns:
        The paths written.

    Raises:
        ImportError: matplotlib is not installed.
        OSError: the folder cannot be made or written.
    """
    require_matplotlib()
    from equishare.lab.bench.figure import draw

    folder = made_folder(folder)
    paths = [folder / "bench.json", folder / "bench.png"]
    with written_whole(paths[0]) as temporary:
        text = json.dumps(results.document(), indent=1, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    with written_whole(paths[1]) as temporary:
        draw(results, temporary)
    return paths
