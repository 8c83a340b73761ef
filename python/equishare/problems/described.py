"""What a notebook shows of a problem."""

from __future__ import annotations

from typing import Protocol

from equishare.notebook import shown
from equishare.problems.answers import About


class _Problem(Protocol):
    def about(self) -> About:
        """The data in words and numbers."""


class Described:
    """A problem that shows in a notebook what it asks of which data."""

    def _repr_html_(self: _Problem) -> str:
        about = self.about()
        counts = [("samples to fit", about.num_train), ("samples to validate", about.num_val)]
        known = [(name, f"{count:,}") for name, count in counts if count is not None]
        return shown(repr(self), [("question", about.question), *known, ("loss", about.loss), *about.facts])
