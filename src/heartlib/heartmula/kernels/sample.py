"""From logits to codes without leaving the GPU: guidance, top-k, one draw a song from its own random stream.

The stream is counter-based (Philox 4x32-10; Salmon et al. 2011): a number is a function of the song's seed, the frame,
the codebook and the code, so that a song draws the same in any company.

Legend: S songs, R = 2S rows (conditional, unconditional), K codebooks, V audio vocabulary.
"""

# Triton reads these functions, not Python: its types and launch options are unknown to pyright.
# pyright: reportCallIssue=false, reportArgumentType=false, reportGeneralTypeIssues=false
# pyright: reportOperatorIssue=false, reportAttributeAccessIssue=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from heartlib.heartmula.kernels.launch import (
    dependent_launch,
    wait_for_frame,
    wait_for_inputs,
)

NOISE_BLOCK = 1024
GROUPS = 64  # a bound of the k-th largest logit for k up to this


def draw_noise(seed: Tensor, frame: Tensor, noise: Tensor) -> None:
    """Gumbel noise of one frame of every song: noise float32 [S, K, V]; seed int64 [S], frame int32 [S].

    The first kernel of a frame. −log E for E ~ Exp(1): argmax(log p + noise) is the winner of the exponential race argmax(p / E).
    """
    songs, codebooks, vocab = noise.shape
    dependent = dependent_launch(noise.device)
    grid = (songs, codebooks, triton.cdiv(vocab, 4 * NOISE_BLOCK))
    _noise_kernel[grid](
        seed,
        frame,
        noise,
        codebooks,
        vocab,
        B=NOISE_BLOCK,
        DEPENDENT=dependent,
        **({"launch_pdl": True} if dependent else {}),
    )


def draw_noise_reference(seed: Tensor, frame: Tensor, noise: Tensor) -> None:
    """`draw_noise` in PyTorch."""
    songs, codebooks, vocab = noise.shape
    device = noise.device
    fours = torch.arange((vocab + 3) // 4, device=device)
    for song in range(songs):
        for codebook in range(codebooks):
            zero = torch.zeros_like(fours)
            words = philox(seed[song], (fours, zero + codebook, zero + frame[song], zero))
            uniform = ((torch.stack(words, -1).flatten()[:vocab] >> 9).float() + 0.5) * 2.0**-23
            noise[song, codebook] = -(-uniform.log()).log()


def philox(seed: Tensor, counter: tuple[Tensor, Tensor, Tensor, Tensor]) -> tuple[Tensor, ...]:
    """Philox 4x32-10: four words of 32 bits, in int64 tensors, for a key of 64 bits and a counter of four words."""
    mask = 0xFFFFFFFF
    key = [int(seed) & mask, (int(seed) >> 32) & mask]
    c0, c1, c2, c3 = (word & mask for word in counter)
    for _ in range(10):
        high0, low0 = _multiply(0xD2511F53, c0)
        high1, low1 = _multiply(0xCD9E8D57, c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ key[0], low1, high0 ^ c3 ^ key[1], low0
        key = [(key[0] + 0x9E3779B9) & mask, (key[1] + 0xBB67AE85) & mask]
    return c0, c1, c2, c3


def _multiply(a: int, b: Tensor) -> tuple[Tensor, Tensor]:
    """The high and the low word of a 32-bit product."""
    below = a * (b & 0xFFFF)  # < 2^48
    above = a * (b >> 16) + (below >> 16)
    return above >> 16, ((above & 0xFFFF) << 16) | (below & 0xFFFF)


def sample(
    logits: Tensor,
    noise: Tensor,
    codebook: int,
    cfg_scale: Tensor,
    temperature: Tensor,
    topk: Tensor,
    codes: Tensor,
    unknown: int,
) -> None:
    """codes[s, codebook] of every song from its two rows of logits float32 [≥ R, V] and noise [S, K, V].

    cfg_scale, temperature float32 [S] (a scale of 1 leaves the unconditional row out); topk int32 [S]; codes int32 [S, K]. The code `unknown` is
    never drawn. Codes as likely as the k-th are all kept.
    """
    songs, codebooks, vocab = noise.shape
    dependent = dependent_launch(logits.device)
    block = triton.next_power_of_2(vocab)
    if vocab <= block // 2 + block // 16:  # such as 8,197
        block //= 2
    _sample_kernel[(songs,)](
        logits,
        noise,
        cfg_scale,
        temperature,
        topk,
        codes,
        codebook,
        codebooks,
        vocab,
        unknown,
        B=block,
        TAIL=max(2, triton.next_power_of_2(max(1, vocab - block))),
        GROUPS=min(GROUPS, block),
        DEPENDENT=dependent,
        num_warps=16 if block >= 8192 else 4,
        **({"launch_pdl": True} if dependent else {}),
    )


def sample_reference(
    logits: Tensor,
    noise: Tensor,
    codebook: int,
    cfg_scale: Tensor,
    temperature: Tensor,
    topk: Tensor,
    codes: Tensor,
    unknown: int,
) -> None:
    """`sample` in PyTorch; it waits for the device."""
    for song in range(len(noise)):
        conditional, unconditional = logits[2 * song], logits[2 * song + 1]
        guided = conditional
        if float(cfg_scale[song]) != 1:
            guided = unconditional + cfg_scale[song] * (conditional - unconditional)
        guided = guided.clone()
        if 0 <= unknown < len(guided):
            guided[unknown] = -torch.inf
        least = guided.topk(min(int(topk[song]), len(guided))).values[-1]
        score = guided / temperature[song] + noise[song, codebook]
        codes[song, codebook] = score.masked_fill(guided < least, -torch.inf).argmax()


@triton.jit
def _noise_kernel(seed, frame, noise, K, V, B: tl.constexpr, DEPENDENT: tl.constexpr):
    song, codebook = tl.program_id(0), tl.program_id(1)
    four = tl.program_id(2) * B + tl.arange(0, B)
    wait_for_frame(DEPENDENT)
    key = tl.load(seed + song)
    zero = four * 0
    counter = zero + tl.load(frame + song)
    words = tl.philox(key, four, zero + codebook, counter, zero)
    to = noise + (song * K + codebook).to(tl.int64) * V
    for word in tl.static_range(4):
        bits = words[word].to(tl.uint32, bitcast=True)
        uniform = ((bits >> 9).to(tl.float32) + 0.5) * 1.1920928955078125e-07  # 2^-23
        code = four * 4 + word
        tl.store(to + code, -tl.log(-tl.log(uniform)), mask=code < V)


@triton.jit
def _guided(row, v, V, scale, unknown):
    """Guided logits at v, and as whole numbers in the floats' order; below all others where there is no code."""
    here = v < V
    conditional = tl.load(row + v, mask=here, other=-float("inf"))
    unconditional = tl.load(row + V + v, mask=here, other=0.0)
    guided = conditional
    if scale != 1.0:
        guided = unconditional + scale * (conditional - unconditional)
    guided = tl.where(here & (v != unknown), guided, -float("inf"))
    bits = guided.to(tl.int32, bitcast=True)
    return guided, tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits)


@triton.jit
def _sample_kernel(
    logits,
    noise,
    cfg_scale,
    temperature,
    topk,
    codes,
    codebook,
    K,
    V,
    unknown,
    B: tl.constexpr,
    TAIL: tl.constexpr,
    GROUPS: tl.constexpr,
    DEPENDENT: tl.constexpr,
):
    """The first B codes, and up to TAIL more."""
    song = tl.program_id(0)
    wait_for_inputs(DEPENDENT)
    row = logits + song.to(tl.int64) * 2 * V
    scale = tl.load(cfg_scale + song)
    v, tail = tl.arange(0, B), B + tl.arange(0, TAIL)
    guided, order = _guided(row, v, V, scale, unknown)
    guided_tail, order_tail = _guided(row, tail, V, scale, unknown)
    k = tl.load(topk + song)
    heat = tl.load(temperature + song)
    numbers = noise + (song * K + codebook).to(tl.int64) * V
    score = guided / heat + tl.load(numbers + v, mask=v < V, other=0.0)
    score_tail = guided_tail / heat + tl.load(numbers + tail, mask=tail < V, other=0.0)
    # The best of all wins if fewer than k logits are larger than its own; else it goes, and with it all that are no larger.
    # As many codes as there are groups are no less than the least of the groups' largest: none below that can win.
    floor = k * 0 - 2139095041  # that of -inf
    if k <= GROUPS:
        floor = tl.maximum(
            floor, tl.min(tl.max(tl.reshape(order, [GROUPS, B // GROUPS]), 1), 0) - 1
        )
    code = k * 0
    going = True
    while going:
        best, code = tl.max(tl.where(order > floor, score, -float("inf")), 0, return_indices=True)
        other, at = tl.max(
            tl.where(order_tail > floor, score_tail, -float("inf")), 0, return_indices=True
        )
        if other > best:
            code = B + at
        _, its = _guided(row, code, V, scale, unknown)
        larger = tl.sum((order > its).to(tl.int32), 0) + tl.sum((order_tail > its).to(tl.int32), 0)
        going = (larger >= k) & (its > floor)
        floor = its
    tl.store(codes + song * K + codebook, code)
