"""The published script's flags."""

import subprocess
import sys
from pathlib import Path

from heartlib import audio

SCRIPT = Path(__file__).parents[2] / "examples" / "run_music_generation.py"


def run(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], cwd=folder, capture_output=True, text=True
    )


def test_every_published_flag(tiny_checkpoint: Path, tmp_path: Path):
    (tmp_path / "words.txt").write_text("[Verse]\nThe morning light is on the sea\n")
    arguments = [
        *("--model_path", str(tiny_checkpoint), "--version", "tiny"),
        *("--lyrics", "./words.txt", "--tags", "pop,female", "--save_path", "song.wav"),
        *("--max_audio_length_ms", "400", "--topk", "20", "--temperature", "0.9"),
        *("--cfg_scale", "1.25", "--mula_device", "cpu", "--codec_device", "cpu"),
        *("--mula_dtype", "bf16", "--codec_dtype", "float32", "--lazy_load", "true"),
    ]
    done = run(*arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "song.wav: 0.4 s, seed" in done.stdout
    settings = audio.read_tags(tmp_path / "song.wav")["settings"]
    assert (settings["topk"], settings["temperature"], settings["cfg_scale"]) == (20, 0.9, 1.25)
    assert settings["dtype"] == {"mula": "bfloat16", "codec": "float32"}


def test_a_missing_checkpoint_is_one_line(tmp_path: Path):
    done = run("--mula_device", "cpu", "--codec_device", "cpu", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: no checkpoint folder") and done.stderr.count("\n") == 1
