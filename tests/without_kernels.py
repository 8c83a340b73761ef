"""A plugin of pytest, ``-p without_kernels``: the package as it is where no extension could be built."""

import sys
import warnings

sys.modules["equishare._core"] = None  # its import then fails

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import equishare._native  # noqa: F401
assert sum("no compiled kernels" in str(one.message) for one in caught) == 1
