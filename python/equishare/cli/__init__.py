"""The command line: ``equishare discover``, ``equishare reproduce``, ``equishare bench``."""

from equishare.cli.entry import app, main

__all__ = ["app", "main"]
