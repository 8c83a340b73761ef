"""The laboratory: the studies of ``equishare reproduce`` and the benches of ``equishare bench``."""
