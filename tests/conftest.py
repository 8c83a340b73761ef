import os
import subprocess
import sys

import pytest


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
