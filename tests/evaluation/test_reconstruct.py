"""Codes of a corpus, decoded into a corpus folder."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from heartlib import audio
from heartlib.errors import UsageError
from heartlib.evaluation import fit, reconstruct
from heartlib.heartcodec import HeartCodec


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Truth of songs b and c, codes of songs a, b and c of 5, 6 and 7 frames."""
    data, codes = tmp_path / "data", tmp_path / "codes"
    (data / "truth").mkdir(parents=True)
    codes.mkdir()
    for name in "bc":
        (data / "truth" / f"{name}.json").write_text(json.dumps({"id": name, "seed": 1}))
    lines = [
        {"id": "a", "tags": "", "lyrics": "", "offset": 0, "frames": 5},
        {"id": "b", "tags": "", "lyrics": "", "offset": 5, "frames": 6},
        {"id": "c", "tags": "", "lyrics": "", "offset": 11, "frames": 7},
    ]
    (codes / "songs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    generator = torch.Generator().manual_seed(0)
    held = torch.randint(0, 32, (8, 18), generator=generator, dtype=torch.int16)
    save_file({"codes": held}, codes / "codes.safetensors")
    return data, codes


def test_each_song_is_decoded_once(
    folders: tuple[Path, Path], tiny_checkpoint: Path, tmp_path: Path
):
    data, codes = folders
    codec = HeartCodec.from_pretrained(tiny_checkpoint / "HeartCodec-oss")
    out = tmp_path / "out"
    assert reconstruct.reconstruct(data, codes, codec, out, songs=1) == 1
    first = out / "audio" / "b.flac"
    wave, rate = audio.read(first)
    assert (wave.shape, rate) == ((2, 6 * 3840), 48000)
    when = first.stat().st_mtime_ns
    assert reconstruct.reconstruct(data, codes, codec, out, songs=10) == 2
    assert first.stat().st_mtime_ns == when
    assert audio.read(out / "audio" / "c.flac")[0].shape == (2, 7 * 3840)
    assert [path.stem for path, _ in fit.songs([out])] == ["b", "c"]


def test_folders_that_do_not_fit(folders: tuple[Path, Path], tiny_checkpoint: Path, tmp_path: Path):
    data, codes = folders
    flags = ["--model", str(tiny_checkpoint), "--out", str(tmp_path / "out")]
    with pytest.raises(UsageError, match="there is no"):
        reconstruct.main(["--data", str(data), "--codes", str(data), *flags])
    for path in (data / "truth").iterdir():
        path.unlink()
    with pytest.raises(UsageError, match="no song of"):
        reconstruct.main(["--data", str(data), "--codes", str(codes), *flags])
