"""`heartlib doctor`, the help texts, and what importing costs."""

import subprocess
import sys
from pathlib import Path

import pytest

import heartlib
from heartlib.cli import main
from heartlib.cli.app import COMMANDS


def test_doctor_shows_the_machine_and_the_models(
    tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]
):
    status = main(["doctor", "--quick", str(tiny_checkpoint), "./nowhere"])
    lines = capsys.readouterr().out.splitlines()
    names = [line.split()[0] for line in lines]
    for name in ("heartlib", "python", "torch", "numpy", "libsndfile", "cores", "memory", "device"):
        assert name in names
    assert lines[0].split() == ["heartlib", heartlib.__version__]
    models = [line for line in lines if line.startswith("model")]
    assert len(models) == 3
    assert "HeartMuLa-tiny" in models[1] and "will run on" in models[1]
    assert "./nowhere: will not run: no checkpoint folder" in models[2]
    assert status == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"heartlib {command}" in capsys.readouterr().out


def test_importing_and_help_load_no_torch():
    code = "import sys, heartlib, heartlib.cli.app as app; app.build_parser(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
