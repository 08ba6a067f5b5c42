"""The OpenAPI document against the server: nothing undeclared, nothing that breaks it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from running import Running

pytest.importorskip("schemathesis")


@pytest.mark.slow
def test_schemathesis(server: Running, tmp_path):
    """Bounded: a few requests for each route; no 5xx, nothing undeclared, nothing taken that the document forbids."""
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"]
    # what a model can sing is more than a document can say
    options = ["--exclude-checks", "positive_data_acceptance", "--max-examples", "5"]
    options += ["--phases", "examples,coverage,fuzzing", "--seed", "1", "--request-timeout", "20"]
    options += ["--exclude-path-regex", "speech"]
    done = subprocess.run(
        [*command, *options], cwd=tmp_path, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
