"""Show a discovery to a person: on the terminal, as pictures, as files."""

from equishare.report.files import FILES, document, require_matplotlib, write_files
from equishare.report.tables import print_discovery

__all__ = ["FILES", "document", "print_discovery", "require_matplotlib", "write_files"]
