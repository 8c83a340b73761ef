"""Show a discovery to a person: on the terminal, as pictures, as files."""

from equishare.report.files import require_matplotlib, write_files
from equishare.report.tables import print_discovery, print_symmetry

__all__ = ["print_discovery", "print_symmetry", "require_matplotlib", "write_files"]
