"""Songs sung together: each as if alone, whoever joins and leaves; the frame step against the plain frame loop."""

import dataclasses

import pytest
import torch

pytest.importorskip("triton")

from heartlib.heartmula import HeartMuLa, HeartMuLaConfig, generate
from heartlib.heartmula.batched_generation import FrameLoop
from heartlib.heartmula.frame_step import ALONE, KERNELS, REFERENCE, Operations, compile_kernels
from heartlib.heartmula.generation import SamplingSettings, embed_prompt, new_state
from heartlib.heartmula.kernels.launch import kernels_run_on
from heartlib.heartmula.paged_cache import PagedCache
from heartlib.heartmula.song_batch import Readback, SongBatch, sizes
from heartlib.heartmula.weights import quantize

EOS, CODEBOOKS = 99, 4


@pytest.fixture
def config(config: HeartMuLaConfig, request: pytest.FixtureRequest) -> HeartMuLaConfig:
    """With room for several pages; of as many layers and codebooks as asked for."""
    layers, codebooks = getattr(request, "param", (2, CODEBOOKS))
    backbone = dataclasses.replace(config.backbone, max_seq_len=320, num_layers=layers)
    decoder = dataclasses.replace(config.decoder, num_layers=layers)
    return dataclasses.replace(
        config, backbone_config=backbone, decoder_config=decoder, audio_num_codebooks=codebooks
    )


def new_batch(model: HeartMuLa, songs: int = 1, operations: Operations = REFERENCE) -> SongBatch:
    return SongBatch(model, songs=songs, pages=4 * songs, unknown=-1, operations=operations)


def sing(batch: SongBatch, places: list[int], frames: int) -> list[torch.Tensor]:
    """The next frames of the songs at some places: [K, T] each."""
    found = []
    for _ in range(frames):
        batch.step()
        found.append(batch.state.codes.clone())
    return [torch.stack([codes[place] for codes in found], dim=1) for place in places]


@pytest.mark.parametrize(
    ("operations", "cfg_scale", "config"),
    [
        pytest.param(REFERENCE, 1.0, (2, CODEBOOKS), id="reference, no guidance"),
        pytest.param(REFERENCE, 1.5, (2, CODEBOOKS), id="reference"),
        pytest.param(KERNELS, 1.0, (2, CODEBOOKS), id="kernels, no guidance"),
        pytest.param(KERNELS, 1.5, (2, CODEBOOKS), id="kernels"),
        pytest.param(
            ALONE, 1.5, (1, CODEBOOKS), id="alone"
        ),  # the interpreter takes seconds a layer
    ],
    indirect=["config"],
)
@torch.inference_mode()
def test_logits_are_those_of_the_plain_frame_loop(model, prompt, cfg_scale, operations):
    kernels = operations is not REFERENCE
    if kernels and not kernels_run_on(torch.device("cpu")):
        pytest.skip("kernels need the interpreter here")
    settings = SamplingSettings(cfg_scale, topk=5, audio_eos_id=EOS)
    batch = new_batch(model, operations=operations)
    batch.join(prompt, settings, frames=70, seed=3)
    state = new_state(model, settings, positions=80, seed=0)
    x = embed_prompt(model, prompt, settings.rows)
    for _ in range(1 if kernels else 65):
        batch.step()
        codes = batch.state.codes[0].long()
        state.depth.clear()
        hidden, logits = model.backbone_step(x, state.backbone)
        expected = [logits]
        for codebook in range(1, CODEBOOKS):
            code = codes[codebook - 1 : codebook]
            embedded = model.embed_code(codebook - 1, code).expand(settings.rows, 1, -1)
            if codebook == 1:
                embedded = torch.cat((hidden[:, None], embedded), dim=1)
            expected.append(model.depth_step(embedded, codebook, state.depth))
        found = batch.logits[:, : settings.rows]
        torch.testing.assert_close(found, torch.stack(expected), atol=1e-4, rtol=1e-4)
        x = model.embed_frame(codes).expand(settings.rows, 1, -1)


@pytest.mark.parametrize("config", [(1, 2)], indirect=True, ids=[""])
@torch.inference_mode()
def test_weights_of_8_bits_meet_rows_in_whole_numbers(model, prompt):
    quantize(model, "int8")
    settings, logits = SamplingSettings(1.5, topk=1, audio_eos_id=EOS), []
    kernels = [ALONE] if kernels_run_on(torch.device("cpu")) else []
    for operations in (REFERENCE, dataclasses.replace(REFERENCE, whole=True), *kernels):
        batch = new_batch(model, operations=operations)
        batch.join(prompt, settings, frames=40, seed=3)
        batch.step()
        whole = batch._step_for(1)[0].backbone.whole_gated is not None
        assert whole == operations.whole
        logits.append(batch.logits[:, :2])
    for found in logits[1:]:
        torch.testing.assert_close(found, logits[0], atol=2e-3, rtol=2e-3)


def test_a_song_is_the_same_alone_and_in_company(model, prompt):
    """Of other settings, lengths and seeds, joining and leaving at any time."""
    settings = SamplingSettings(1.5, 0.9, 7, EOS)
    alone = new_batch(model)
    alone.join(prompt, settings, frames=40, seed=8)
    (expected,) = sing(alone, [0], 12)

    short = prompt._replace(tokens=prompt.tokens[:5], mask=prompt.mask[:5])
    batch = new_batch(model, songs=5)
    batch.join(short, SamplingSettings(1.0, 2.0, 21, EOS), frames=9, seed=1)
    sing(batch, [], 2)
    place = batch.join(prompt, settings, frames=40, seed=8)
    batch.join(short, SamplingSettings(3.0, 0.5, 3, EOS), frames=30, seed=2)
    (first,) = sing(batch, [place], 3)
    batch.leave(0)  # the last takes its place, this one keeps its own
    (second,) = sing(batch, [place], 3)
    batch.leave(0)  # now this one moves
    (third,) = sing(batch, [0], 3)
    batch.join(short, settings, frames=10, seed=8)
    (fourth,) = sing(batch, [0], 3)
    assert torch.equal(torch.cat((first, second, third, fourth), dim=1), expected)


def test_the_frame_loop_sings_and_is_used_again(model, prompt):
    model.frame_loop = FrameLoop(model, operations=REFERENCE)
    songs = [
        generate(model, prompt, max_frames=frames, seed=4, audio_eos_id=EOS)
        for frames in (12, 30, 12)
    ]
    assert songs[0].shape == (CODEBOOKS, 12) and songs[0].dtype == torch.long
    assert torch.equal(songs[0], songs[2]) and torch.equal(songs[0], songs[1][:, :12])
    other = generate(model, prompt, max_frames=12, seed=5, audio_eos_id=EOS)
    assert not torch.equal(songs[0], other)


def test_two_songs_of_one_model_at_once(model, prompt):
    from heartlib.heartmula import generate_frames

    model.frame_loop = FrameLoop(model, operations=REFERENCE)
    settings = {"max_frames": 6, "seed": 4, "audio_eos_id": EOS}
    pairs = zip(
        generate_frames(model, prompt, **settings),
        generate_frames(model, prompt, **settings),
        strict=True,
    )
    assert all(torch.equal(*pair) for pair in pairs)


def test_a_song_goes_on_from_its_own_frames(model, prompt):
    model.frame_loop = FrameLoop(model, operations=REFERENCE)
    settings = {"max_frames": 20, "seed": 4, "audio_eos_id": EOS, "cfg_scale": 1.5}
    whole = generate(model, prompt, **settings)
    again = generate(model, prompt, prefix=whole[:, :9], **settings)
    assert torch.equal(again, whole)


def test_the_end_is_seen_though_frames_are_launched_ahead(model, prompt):
    eos, lengths = 20, set()
    model.frame_loop = FrameLoop(model, operations=REFERENCE)
    for seed in range(4):
        batch = SongBatch(model, songs=1, pages=4, unknown=eos - 1, operations=REFERENCE)
        batch.join(prompt, SamplingSettings(1.5, audio_eos_id=eos), frames=40, seed=seed)
        (frames,) = sing(batch, [0], 40)
        ended = (frames >= eos).any(0).tolist()
        end = ended.index(True) if any(ended) else 40
        if end > 0:
            found = generate(model, prompt, max_frames=40, seed=seed, audio_eos_id=eos)
            assert torch.equal(found, frames[:, :end].long())
            lengths.add(end)
    assert any(end < 40 for end in lengths)


@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_quantized_weights_sing_as_they_multiply(model, prompt, kind):
    """The frame step with quantised weights against the plain frame loop with the same, multiplied out."""
    quantize(model, kind)
    settings = SamplingSettings(1.5, topk=5, audio_eos_id=EOS)
    batch = new_batch(model)
    batch.join(prompt, settings, frames=20, seed=3)
    batch.step()
    with torch.inference_mode():
        state = new_state(model, settings, positions=20, seed=0)
        _, logits = model.backbone_step(embed_prompt(model, prompt, 2), state.backbone)
    torch.testing.assert_close(batch.logits[0, :2], logits, atol=1e-4, rtol=1e-4)


def test_joining_weights_keeps_them(model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    batch = new_batch(model)
    after = model.state_dict()
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert torch.equal(value, after[name])
    layer = batch.weights.backbone.layers[0]
    assert layer.qkv.data.data_ptr() == model.backbone.layers[0].attn.q_proj.weight.data_ptr()


def test_pages_come_back(model, prompt):
    batch = new_batch(model, songs=2)
    free = sorted(batch.cache.free)
    for _ in range(3):
        batch.join(prompt, SamplingSettings(1.5), frames=40, seed=0)
        batch.join(prompt, SamplingSettings(1.0), frames=100, seed=0)
        assert not batch.has_room(1, 1)
        batch.leave(0)
        assert batch.has_room(40, 2)
        batch.leave(0)
        assert sorted(batch.cache.free) == free and not batch.cache.table.any()


def test_a_prompt_that_fails_leaves_nothing(model, prompt, monkeypatch):
    batch = new_batch(model)
    free = len(batch.cache.free)

    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError

    with monkeypatch.context() as patch:
        patch.setattr(model.backbone, "forward", fail)
        with pytest.raises(torch.OutOfMemoryError):
            batch.join(prompt, SamplingSettings(1.5), frames=40, seed=0)
    assert len(batch) == 0 and len(batch.cache.free) == free


def test_a_trial_changes_nothing(model, prompt):
    """Frames are tried out before they are recorded, with songs in the batch too."""
    settings = SamplingSettings(1.5, 0.9, 7, EOS)
    alone, disturbed = new_batch(model), new_batch(model, songs=4)
    for batch in (alone, disturbed):
        batch.join(prompt, settings, frames=40, seed=8)
    first = sing(disturbed, [0], 3)[0]
    kept = disturbed.cache.keys[:, 1:].clone()
    with disturbed._idle():
        disturbed._step_for(4)[0]()
    assert torch.equal(disturbed.cache.keys[:, 1:], kept)
    assert torch.equal(torch.cat((first, sing(disturbed, [0], 3)[0]), 1), sing(alone, [0], 6)[0])


def test_kernels_are_compiled_side_by_side(model, prompt):
    """Each kind of call runs once, among idle rows, and the songs go on as if nothing had been."""
    counted: list[str] = []
    every = {f.name: getattr(REFERENCE, f.name) for f in dataclasses.fields(REFERENCE)}

    def counting(name, operation):
        def run(*given, **named):
            counted.append(name)
            operation(*given, **named)

        return run

    counting_all = {n: counting(n, each) for n, each in every.items() if callable(each)}
    batch = new_batch(model, operations=dataclasses.replace(REFERENCE, **counting_all))
    batch.join(prompt, SamplingSettings(1.5, 0.9, 7, EOS), frames=40, seed=8)
    alone = new_batch(model)
    alone.join(prompt, SamplingSettings(1.5, 0.9, 7, EOS), frames=40, seed=8)
    step = batch._step_for(1)[0]
    with batch._idle():
        compile_kernels(step)
    assert set(counting_all) - set(counted) == {"round_rows"}  # for weights of 8 bits
    assert counted.count("sample") <= 3 and counted.count("norm") <= 3
    assert torch.equal(sing(batch, [0], 4)[0], sing(alone, [0], 4)[0])


def test_sizes():
    assert sizes(1) == [1] and sizes(2) == [1, 2]
    assert sizes(16) == [1, 2, 4, 8, 16] and sizes(20) == [1, 2, 4, 8, 16, 20]


def test_readback_keeps_the_order():
    codes = torch.zeros(1, 2, dtype=torch.int32)
    coming, found = Readback(codes), []
    for value in range(7):
        codes.fill_(value)
        coming.push()
        if coming.full:
            found.append(int(coming.pop()[0, 0]))
    while len(coming):
        found.append(int(coming.pop()[0, 0]))
    assert found == list(range(7))


def test_pages_are_filled_in_order(config):
    cache = PagedCache(config.backbone, 2, 6, torch.device("cpu"), torch.float32)
    plain = HeartMuLa(config).backbone.new_cache(2, 150)
    plain.keys.normal_()
    plain.values.normal_()
    plain.lengths = [150, 150]
    cache.reserve(1, 160)
    cache.fill(1, plain, 0)
    held = cache.table[1, :3].long()
    assert len(set(held.tolist())) == 3 and 0 not in held
    for kept, given in ((cache.keys, plain.keys), (cache.values, plain.values)):
        rows = kept[:, held].transpose(1, 2).flatten(2, 3)[:, :, :150]
        assert torch.equal(rows, given[:, 0])
