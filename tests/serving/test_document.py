"""The OpenAPI document against the server: nothing undeclared, nothing that breaks it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from running import Running

pytest.importorskip("schemathesis")


@pytest.mark.slow
def test_schemathesis(server: Running, tmp_path):
    """Bounded: a few requests for each route; no 5xx, no status, type or body that the document does not declare."""
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"]
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    options = ["--checks", checks, "--max-examples", "8", "--phases", "examples,coverage,fuzzing"]
    options += ["--seed", "1", "--request-timeout", "20", "--exclude-path-regex", "events|speech"]
    done = subprocess.run(
        [*command, *options], cwd=tmp_path, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
