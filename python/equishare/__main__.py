"""``python -m equishare``."""

from equishare.cli import main

main()
