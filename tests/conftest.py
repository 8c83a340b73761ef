import os
import subprocess
import sys

import pytest

# Several test processes share the cores: a thread that waits must not spin. Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@pytest.fixture
def run_python():
    """Runs code in a fresh interpreter, for what is decided once per process."""

    def run(code, **environment):
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
        )

    return run
