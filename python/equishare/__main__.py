"""``python -m equishare``."""

from equishare.interrupts import loading

with loading():
    from equishare.cli import main

main()
