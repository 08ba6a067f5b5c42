"""Songs that go on from given frames: one prefill, the same numbers as frame by frame."""

import threading

import pytest
import torch

from heartlib.errors import HeartlibError, UsageError
from heartlib.heartmula import HeartMuLa, Prompt, generate
from heartlib.heartmula.generation import (
    SamplingSettings,
    embed_prefix,
    embed_prompt,
    frame_step,
    generate_frames,
    new_state,
)

CODEBOOKS, EOS, ROOM = 4, 17, 55
FREE = {"audio_eos_id": 99, "topk": 5}  # no code ends the song


@pytest.mark.parametrize("cfg_scale", [1.0, 2.0])
@torch.inference_mode()
def test_prefill_gives_the_logits_of_single_steps(model: HeartMuLa, prompt: Prompt, cfg_scale):
    settings = SamplingSettings(cfg_scale, topk=5, audio_eos_id=99)
    state = new_state(model, settings, positions=30, seed=3)
    x, frames = embed_prompt(model, prompt, settings.rows), []
    for _ in range(8):
        frames.append(frame_step(model, x, state, settings))
        x = model.embed_frame(frames[-1].codes).expand(settings.rows, 1, -1)
    prefix = torch.stack([frame.codes for frame in frames[:7]], dim=1)  # [K, 7]

    again = new_state(model, settings, positions=30, seed=3)
    given = embed_prefix(model, prefix, settings.rows)
    both = torch.cat((embed_prompt(model, prompt, settings.rows), given), dim=1)
    race = torch.Generator().manual_seed(3)
    for _ in range(7):
        torch.empty(CODEBOOKS, 5).exponential_(generator=race)
    again.generator.set_state(race.get_state())
    prefilled = frame_step(model, both, again, settings)
    assert torch.equal(prefilled.codes, frames[7].codes)
    torch.testing.assert_close(prefilled.logits, frames[7].logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("given", [1, 5, 11])
def test_own_frames_and_own_seed_sing_the_song_on(model: HeartMuLa, prompt: Prompt, given: int):
    song = generate(model, prompt, max_frames=12, seed=4, **FREE)
    again = generate(model, prompt, max_frames=12, seed=4, prefix=song[:, :given], **FREE)
    assert torch.equal(again, song)
    other = generate(model, prompt, max_frames=12, seed=5, prefix=song[:, :given], **FREE)
    assert torch.equal(other[:, :given], song[:, :given]) and not torch.equal(other, song)
    new = list(
        generate_frames(model, prompt, max_frames=12, seed=4, prefix=song[:, :given].int(), **FREE)
    )
    assert torch.equal(torch.stack(new, dim=1), song[:, given:])


def test_no_frames_given_is_a_plain_song(model: HeartMuLa, prompt: Prompt):
    empty = torch.empty(CODEBOOKS, 0, dtype=torch.long)
    plain = generate(model, prompt, max_frames=9, seed=4, **FREE)
    assert torch.equal(generate(model, prompt, max_frames=9, seed=4, prefix=empty, **FREE), plain)


def test_the_frames_given_are_heard(model: HeartMuLa, prompt: Prompt):
    songs = []
    for code in (0, 1):
        prefix = torch.full((CODEBOOKS, 6), code)
        songs.append(generate(model, prompt, max_frames=16, seed=4, prefix=prefix, **FREE))
    assert not torch.equal(songs[0][:, 6:], songs[1][:, 6:])


def test_progress_and_cancel_count_the_whole_song(model: HeartMuLa, prompt: Prompt):
    cancel, seen = threading.Event(), []
    prefix = torch.zeros(CODEBOOKS, 6, dtype=torch.long)

    def progress(done: int, most: int) -> None:
        seen.append((done, most))
        if done == 8:
            cancel.set()

    settings = {"max_frames": 16, "prefix": prefix, "cancel": cancel, **FREE}
    assert generate(model, prompt, progress=progress, **settings).shape == (CODEBOOKS, 8)
    assert seen == [(7, 16), (8, 16)]
    assert torch.equal(generate(model, prompt, **settings), prefix)


def test_a_song_that_ends_after_the_frames_given(model: HeartMuLa, prompt: Prompt):
    with torch.no_grad():  # the state's first number decides; it is positive after any frame
        for name, parameter in model.named_parameters():
            parameter.fill_(float("scale" in name))
        model.audio_embeddings.weight.fill_(1.0)
        model.codebook0_head.weight[EOS] = 1.0
    with pytest.raises(HeartlibError, match=r"nothing to add: .* right after the 3 frames given"):
        prefix = torch.zeros(CODEBOOKS, 3, dtype=torch.long)
        generate(model, prompt, max_frames=8, topk=1, audio_eos_id=EOS, prefix=prefix)


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        (torch.zeros(3, 4, dtype=torch.long), r"shape \[3, 4\], not \[4, T\]"),
        (torch.zeros(4, dtype=torch.long), r"shape \[4\], not \[4, T\]"),
        (torch.zeros(4, 4), "are torch.float32; give integers"),
        (torch.full((4, 4), EOS - 1), r"range over 16…16; this model sings 0…15"),
        (torch.full((4, 4), -1), r"range over -1…-1; this model sings 0…15"),
        (torch.zeros(4, 8, dtype=torch.long), "prefix has 8 frames and the whole song may have 8"),
    ],
)
def test_refused_at_the_call(model: HeartMuLa, prompt: Prompt, prefix, message: str):
    with pytest.raises(UsageError, match=message):
        generate_frames(model, prompt, max_frames=8, audio_eos_id=EOS, prefix=prefix)


def test_too_long_for_the_positions_says_the_numbers(model: HeartMuLa, prompt: Prompt):
    prefix = torch.zeros(CODEBOOKS, 50, dtype=torch.long)
    settings = {"prefix": prefix, **FREE}
    assert generate(model, prompt, max_frames=ROOM, **settings).shape[1] == ROOM
    with pytest.raises(UsageError, match=r"prompt 9 \+ 56 frames, and the model has 64"):
        generate(model, prompt, max_frames=ROOM + 1, **settings)
