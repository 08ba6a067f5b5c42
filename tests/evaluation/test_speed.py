"""The benchmark on a tiny model, its frames made by plain PyTorch: every section, what fails, and what random weights are."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from heartlib import checkpoints
from heartlib.errors import UsageError
from heartlib.evaluation import speed
from heartlib.evaluation.bench_models import Models, RandomModels
from heartlib.evaluation.random_weights import (
    SPREAD,
    codec_of,
    codec_weights,
    random_codec,
    random_mula,
)
from heartlib.evaluation.speed_report import Amounts, Bench, Report, Section, shown, title
from heartlib.evaluation.speed_sections import codec, sections
from heartlib.heartmula import generate
from heartlib.pipelines.placement import Placement

CPU = torch.device("cpu")
AMOUNTS = Amounts(
    frames=12,
    few_frames=2,
    codec_repeats=1,
    stream_seconds=4,
    steps=2,
    span=(20, 80),
    forced_frames=3,
    engine_songs=3,
    engine_frames=3,
    draws=40,
    warm=False,
)


def placement() -> Placement:
    return Placement.resolve("cpu")


@pytest.fixture(scope="module")
def folder(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint, whose codec takes one step."""
    made = shutil.copytree(tiny_checkpoint, tmp_path_factory.mktemp("bench") / "tiny")
    config = made / "HeartCodec-oss" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"num_steps": 1}))
    return made


@pytest.fixture(scope="module")
def models(folder: Path) -> RandomModels:
    return RandomModels.like(checkpoints.find(folder), placement())


def test_random_mula_keeps_its_numbers_in_every_kind(models):
    plain = models.mula()
    narrow = models.mula(dtype=torch.bfloat16)
    whole = models.mula("int8")
    weights, again = plain.state_dict(), narrow.state_dict()
    assert weights.keys() == again.keys()
    for name, tensor in weights.items():
        assert torch.equal(tensor, again[name].float())
        if tensor.ndim == 1:
            assert (tensor == (0 if name.endswith("bias") else 1)).all()
        else:
            assert 0.01 < tensor.std() < 0.03
    known = models.codec_config.codebook_size
    assert not weights["codebook0_head.weight"][known:].any()
    assert not weights["audio_head"][..., known:].any()
    assert weights["audio_head"][..., known - 1].any()
    found = whole.audio_head[2]
    assert (found - weights["audio_head"][2]).abs().max() < 1e-3
    assert not found[:, known:].any()


def test_random_songs_do_not_end_by_themselves(models):
    config = replace(models.config, audio_vocab_size=517)
    model = random_mula(config, CPU, torch.float32, known=512)
    _, _, prompt = models.text(20)
    codes = generate(model, prompt, max_frames=60, seed=2, audio_eos_id=513)
    assert codes.shape == (8, 60) and codes.max() < 512


def test_random_codec_is_the_same_from_the_cpu(models):
    made = random_codec(models.codec_config, CPU)
    again = codec_of(models.codec_config, codec_weights(made, torch.float32), CPU)
    song = speed.random_song(made, 12, SPREAD)
    wave = speed.decoded(made, song)
    assert wave.isfinite().all() and wave.std() > 0
    assert torch.equal(wave, speed.decoded(again, song))
    assert not any(tensor.is_meta for tensor in again.state_dict().values())
    halved = codec_weights(made, torch.bfloat16)
    kinds = {tensor.dtype for tensor in halved.values() if tensor.is_floating_point()}
    assert kinds == {torch.float32, torch.bfloat16}


def test_the_prompt_is_as_long_as_asked_for(models):
    for positions in (30, 60):
        lyrics, tags, prompt = models.text(positions)
        assert positions - 48 < len(prompt.tokens) <= positions
        assert lyrics.startswith("[Verse]") and tags == "pop,female,piano"


def test_a_checkpoint_is_measured_too(folder):
    bench = Bench(Models(checkpoints.find(folder), placement()), AMOUNTS)
    report = Report({}, say=lambda line: None)
    report.run(bench, sections([], [], kernels=False))
    assert not report.errors
    assert list(report.sections) == ["machine", "language model", "codec", "song", "stream"]
    found = report.sections["language model"]
    assert found["frames"] == 12 and found["speed_gb_s"] > 0
    assert math.isclose(
        found["of_ceiling_share"] * report.sections["machine"]["copy_gb_s"],
        found["speed_gb_s"],
        rel_tol=1e-6,
    )
    assert report.sections["song"]["song_s"] == 12 * 0.08


def test_every_section_with_a_frame_loop(models, tmp_path):
    pytest.importorskip("triton")
    from heartlib.heartmula.frame_step import REFERENCE

    said, file = [], tmp_path / "bench.json"
    report = Report({"model": models.name}, file=file, say=said.append)
    names = sections(["int8", "int4"], [1, 3], kernels=True)
    report.run(Bench(models, AMOUNTS, REFERENCE), names)
    read = json.loads(file.read_text())
    assert read["settings"] == {"model": "HeartMuLa-tiny, random weights"}
    assert list(read["errors"]) == ["int4", "song, int4, memory low"]
    assert all("int4 groups 128 inputs" in text for text in read["errors"].values())
    assert list(read["sections"]) == [section.name for section in names]
    expected = {
        "machine": ("device", "torch", "triton", "copy_gb_s"),
        "ready": ("weights_s", "first_time_s", "again_s"),
        "language model": (
            *("mean_frame_ms", "median_frame_ms", "rtf", "read_a_frame_gb", "speed_gb_s"),
            *("of_ceiling_share", "without_graphs_ms", "plain_frame_ms"),
        ),
        "codec": ("dtype", "warm_s", "times_real"),
        "song": ("to_file_s", "singing_s", "decoding_s", "writing_s"),
        "stream": ("first_audio_s", "heard_s"),
        "song, memory low": ("to_file_s", "loading_s"),
        "int8": ("mean_frame_ms", "kl_nats", "same_likeliest_share"),
        "song, int8, memory low": ("to_file_s",),
        "1 at once": ("step_ms", "times_real", "start_s"),
        "3 at once": ("step_ms", "times_real", "start_s"),
        "engine": ("start_s", "all_sung_s", "as_if_alone"),
        "agreement": ("graphed_is_eager", "kernels_error", "plain_error_other_codebooks"),
        "draws": ("draws", "chi2", "p_value"),
    }
    for section, fields in expected.items():
        assert set(fields) <= read["sections"][section].keys(), section
    found = read["sections"]
    assert found["engine"]["as_if_alone"] == "yes"
    assert found["agreement"]["graphed_is_eager"] == found["agreement"]["forced_is_free"] == "yes"
    assert found["agreement"]["kernels_error"] < 1e-5
    assert found["agreement"]["kernels_error_other_codebooks"] < 1e-5
    assert 0 <= found["int8"]["kl_nats"] < 1e-3
    assert found["draws"]["draws_outside_topk"] == 0 and found["draws"]["p_value"] > 1e-4
    table = report.table()
    assert "| language model: mean frame | " in table and " ms |" in table
    assert "| int4 | error: int4 groups 128 inputs" in table
    assert any(line.startswith("draws: p value ") for line in said)


def test_a_codec_in_less_than_float32_is_compared(models):
    pytest.importorskip("triton")
    place = replace(models.placement, codec_dtype=torch.bfloat16)
    report = Report({}, say=lambda line: None)
    bench = Bench(RandomModels.like(models.paths, place), AMOUNTS)
    report.run(bench, [Section("codec", codec)])
    found = report.sections["codec"]
    assert not report.errors and found["dtype"] == "bfloat16"
    assert {"prepare_s", "first_windows_s", "warm_s"} <= found.keys()
    assert found["agreement_db"] > 20


def test_other_weights_are_found_to_be_other(models):
    """Teacher forcing: a model of other weights is far away on the same codes."""
    pytest.importorskip("triton")
    from heartlib.evaluation.frame_agreement import (
        distance,
        forced_logits,
        plain_logits,
        relative_error,
        sung_freely,
    )
    from heartlib.heartmula.frame_step import REFERENCE

    _, _, prompt = models.text(30)
    sung = sung_freely(models.mula(), prompt, 3, 99, REFERENCE)
    other = random_mula(models.config, CPU, torch.float32, seed=1)
    logits = forced_logits(other, prompt, sung.codes, 99, REFERENCE)
    assert min(relative_error(logits, sung.logits)) > 0.5
    far, near = distance(logits, sung.logits), distance(sung.logits, sung.logits)
    assert far["kl_nats"] > near["kl_nats"] >= 0 and far["same_likeliest_share"] < 1
    assert near["same_likeliest_share"] == 1
    expected = plain_logits(other, prompt, sung.codes, 99)
    assert max(relative_error(logits, expected)) < 1e-5


def test_a_section_that_fails_does_not_stop_the_others(models, tmp_path):
    bench = Bench(models, AMOUNTS)
    said, file = [], tmp_path / "bench.json"

    def fails(bench, note):
        note({"before_s": 1.5})
        raise torch.OutOfMemoryError("CUDA out of memory.\nand much more")

    def refused(bench, note):
        assert json.loads(file.read_text())["errors"].keys() == {"first", "late"}
        raise UsageError("not here")

    def works(bench, note):
        assert json.loads(file.read_text())["errors"].keys() == {"first", "second", "late"}
        note({"found_share": 0.25, "keeps_ahead": True})

    report = Report({}, limit=60, file=file, say=said.append)
    report.run(
        bench,
        [
            Section("first", fails),
            Section("late", works, needs=61),
            Section("second", refused),
            Section("last", works),
        ],
    )
    read = json.loads(file.read_text())
    assert read["sections"]["first"] == {"before_s": 1.5}
    assert read["errors"]["first"] == "error: OutOfMemoryError: CUDA out of memory."
    assert read["errors"]["second"] == "error: not here"
    assert read["errors"]["late"].startswith("left out: ")
    assert read["sections"]["last"] == {"found_share": 0.25, "keeps_ahead": True}
    assert "second: error: not here" in said and "last: keeps ahead yes" in said


def test_a_stream_is_judged_by_its_latest_piece(monkeypatch):
    """Heard from 2 s on: the second piece is due at 3 s and comes at 2.5, the third at 5 and comes at 5.5."""
    clock = iter([2.0, 2.5, 5.5])
    monkeypatch.setattr(speed.time, "perf_counter", lambda: next(clock))
    pieces = [torch.zeros(2, 100 * length) for length in (1, 2, 9)]
    found = speed.listen(pieces, 100, 0.0, 60)
    assert found["first_audio_s"] == 2 and found["pieces"] == 3 and found["heard_s"] == 12
    assert found["least_lead_s"] == -0.5 and found["keeps_ahead"] is False


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("mean_frame_ms", 3.14159, "mean frame 3.142 ms"),
        ("speed_gb_s", 4012.3, "speed 4012 GB/s"),
        ("of_ceiling_share", 0.875, "of ceiling 87.5 %"),
        ("frames", 3000, "frames 3000"),
        ("keeps_ahead", True, "keeps ahead yes"),
        ("dtype", "bfloat16", "dtype bfloat16"),
    ],
)
def test_figures_are_shown_with_their_units(name, value, told):
    assert f"{title(name)} {shown(name, value)}" == told
