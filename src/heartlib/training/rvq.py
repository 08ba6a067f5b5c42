"""Train the nano encoder and its residual codebooks.

Log-mel → query transformer → codes → log-mel, with two alignment losses against the corpus' truth that make
the codes mean something: what is sung and at which pitch must be readable from the first codebook alone and
from all of them (the paper's semantic and phonetic alignment, with truth in the place of teachers).

    python -m heartlib.training.rvq --data CORPUS --out runs/rvq --minutes 6
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from heartlib.heartcodec.configuration_heartcodec import LATENTS_PER_FRAME
from heartlib.heartcodec.models.query_transformer import (
    LOG_FLOOR,
    MEL_PER_FRAME,
    LogMel,
    MelEncoderConfig,
    QueryTransformer,
)
from heartlib.heartcodec.models.residual_vq import ResidualVQ
from heartlib.training.alignment import PITCHES, inventory, phoneme_frames, pitch_frames, read_truth
from heartlib.training.corpus_audio import (
    Arriving,
    hash_of,
    read_song,
    read_songs,
    song_ids,
    song_seconds,
    split,
)
from heartlib.training.loop import (
    EMA,
    REPORT_MINUTES,
    SAVE_MINUTES,
    Clock,
    GraphedStep,
    Log,
    adamw,
    check_finite,
    learning_rate,
    set_learning_rate,
)
from heartlib.training.state import has_state, load_state, save_state

MEL_PER_LATENT = MEL_PER_FRAME // LATENTS_PER_FRAME
FIRST_SONGS = 64  # that must be there before a run begins that follows a corpus in the making
STEPS_A_LOOK = 100
COLOURS = 5  # points across the spectrum


@dataclass(frozen=True)
class RVQRecipe:
    """Nano's settings."""

    minutes: float = 6.0
    batch: int = 96
    crop_frames: int = 100  # 8 s
    peak_lr: float = 8e-4
    weight_decay: float = 0.01
    codebook_size: int = 512
    codebook_dim: int = 32
    num_quantizers: int = 8
    decay: float = 0.98
    dead_below: float = 0.5  # codes used less than this a step, on average, are drawn anew
    commitment: float = 0.25
    alignment: float = 0.2
    level_dropout: float = 0.5
    ema_decay: float = 0.999
    stretch: float = 0.08  # crops are up to so much faster or slower
    loudness: float = 6.0  # dB, up or down
    colour: float = 4.0  # dB, up or down at points across the spectrum
    held_out: int = 16  # one song in so many
    seed: int = 0


class Songs:
    """A corpus on the device, song after song: log-mel and the truth of each 25 Hz frame.

    There is room for so many code frames, and more songs may come while a recorded step reads them.
    """

    def __init__(self, room: int, symbols: list[str], log_mel: LogMel, device: torch.device):
        self.symbols, self.log_mel, self.device, self.room = symbols, log_mel, device, room
        width, latents = 2 * log_mel.config.n_mels, room * LATENTS_PER_FRAME
        self.mel = torch.empty(room * MEL_PER_FRAME, width, dtype=torch.float16, device=device)
        self.phonemes = torch.zeros(latents, dtype=torch.int16, device=device)
        self.pitches = torch.zeros(latents, dtype=torch.int16, device=device)
        self.frames, self.end, self.count = 0, torch.zeros((), device=device), 0

    @classmethod
    def load(
        cls, folder: Path, ids: list[str], symbols: list[str], log_mel: LogMel, device: torch.device
    ) -> Songs:
        """These songs of a corpus folder."""
        seconds = sum(song_seconds(folder, song) for song in ids)
        rate = log_mel.config.sample_rate / (log_mel.config.hop_length * MEL_PER_FRAME)
        songs = cls(round(seconds * rate) + 2 * len(ids), symbols, log_mel, device)
        for song, wave in read_songs(folder, ids, log_mel.config.sample_rate, "mel"):
            songs.add(wave, read_truth(folder, song))
        return songs

    def add(self, wave: Tensor, truth: dict[str, Any]) -> bool:
        """One more song [2, n]; False where it has no room."""
        mel = self.log_mel(wave[None].to(self.device))[0].T  # [m, 2·n_mels]
        frames = len(mel) // MEL_PER_FRAME
        if self.frames + frames > self.room:
            return False
        self.mel[self.frames * MEL_PER_FRAME :][: len(mel)] = mel
        latents = frames * LATENTS_PER_FRAME
        for row, labels in (
            (self.phonemes, phoneme_frames(truth, self.symbols, latents)),
            (self.pitches, pitch_frames(truth, latents)),
        ):
            row[self.frames * LATENTS_PER_FRAME :][:latents] = torch.from_numpy(labels)
        self.frames, self.count = self.frames + frames, self.count + 1
        self.end.fill_(self.frames)
        return True

    def starts(self, count: int, frames: int) -> Tensor:
        """Random first frames [B] of crops of so many frames."""
        last = (self.end - frames).clamp_min(0)
        return (torch.rand(count, device=self.device, dtype=torch.float64) * last).long()

    def crops(
        self, starts: Tensor, frames: int, speed: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Starts [B] in code frames → mel [B, 2·n_mels, 8·T], phonemes [B, 2T], pitches [B, 2T].

        speed [B]: how fast each row passes.
        """
        device = starts.device
        fine = torch.arange(frames * MEL_PER_FRAME, device=device)
        coarse = torch.arange(frames * LATENTS_PER_FRAME, device=device)
        fine, coarse = fine.expand(len(starts), -1), coarse.expand(len(starts), -1)
        first = starts[:, None] * MEL_PER_FRAME
        if speed is None:
            mel = self.mel[first + fine].float()
        else:
            passed = fine * speed[:, None]
            low, part = passed.long(), (passed - passed.floor())[..., None]
            mel = torch.lerp(self.mel[first + low].float(), self.mel[first + low + 1].float(), part)
            coarse = ((coarse + 0.5) * speed[:, None]).long()
        at = starts[:, None] * LATENTS_PER_FRAME + coarse
        return mel.transpose(1, 2), self.phonemes[at].long(), self.pitches[at].long()

    def varied(self, recipe: RVQRecipe) -> tuple[Tensor, Tensor, Tensor]:
        """A random batch of crops, each at a speed, a loudness and with a colour of its own."""
        rows, device, c = recipe.batch, self.device, self.log_mel.config
        longest = round(recipe.crop_frames * (1 + recipe.stretch)) + 2
        speed = 1 + recipe.stretch * (2 * torch.rand(rows, device=device) - 1)
        starts = self.starts(rows, longest)
        mel, phonemes, pitches = self.crops(starts, recipe.crop_frames, speed)
        points = recipe.colour * (2 * torch.rand(rows, 1, COLOURS, device=device) - 1)
        change = F.interpolate(points, c.n_mels, mode="linear", align_corners=True)
        change = change + recipe.loudness * (2 * torch.rand(rows, 1, 1, device=device) - 1)
        power = torch.exp(mel.unflatten(1, (-1, c.n_mels)) * c.mel_std + c.mel_mean) - LOG_FLOOR
        power = power.clamp_min(0) * 10 ** (change / 10)[..., None]
        mel = (torch.log(power + LOG_FLOOR) - c.mel_mean) / c.mel_std
        return mel.flatten(1, 2), phonemes, pitches


class Reader(nn.Module):
    """Reads a target off features [B, T, dim] at 25 Hz: [B, 2T, out]."""

    def __init__(self, dim: int, out: int, width: int = 256, layers: int = 0):
        super().__init__()
        self.first = nn.Conv1d(dim, LATENTS_PER_FRAME * width, 3, padding=1)
        self.rest = nn.ModuleList(nn.Conv1d(width, width, 5, padding=2) for _ in range(layers))
        self.out = nn.Linear(width, out)

    def forward(self, features: Tensor) -> Tensor:
        x = self.first(features.transpose(1, 2))  # [B, 2·W, T]
        x = F.gelu(x.unflatten(1, (LATENTS_PER_FRAME, -1)).permute(0, 2, 3, 1).flatten(2))
        for conv in self.rest:
            x = x + F.gelu(conv(x))
        return self.out(x.transpose(1, 2))


class Tokenizer(nn.Module):
    """Encoder, codebooks and the readers that supervise them."""

    def __init__(self, encoder: MelEncoderConfig, recipe: RVQRecipe, phonemes: int):
        super().__init__()
        self.encoder = QueryTransformer(encoder)
        self.vq_embed = ResidualVQ(
            encoder.dim, recipe.codebook_size, recipe.codebook_dim, recipe.num_quantizers
        )
        mel = 2 * encoder.n_mels * MEL_PER_LATENT
        self.read_mel = Reader(encoder.dim, mel, 384, layers=3)
        self.read_phonemes = nn.ModuleList(Reader(encoder.dim, phonemes) for _ in range(2))
        self.read_pitches = nn.ModuleList(Reader(encoder.dim, PITCHES) for _ in range(2))


def quantise(vq: ResidualVQ, rest: Tensor, levels: Tensor) -> tuple[Tensor, Tensor, Tensor, list]:
    """Residual quantisation for training.

    rest [B, T, C], levels [B] how many codebooks each row uses → the first level's and the whole sum
    (straight-through), the commitment loss and (residual, codes) of every level for the running means.
    """
    target, total, first, seen, loss = rest, torch.zeros_like(rest), rest, [], rest.new_zeros(())
    for k, book in enumerate(vq.codebooks):
        with torch.no_grad():
            codes = book.encode(rest)
            vectors = book.decode(codes) * (levels > k)[:, None, None]
        seen.append((rest.detach(), codes))
        total = total + vectors
        loss = loss + F.mse_loss(target, total.detach())
        rest = target - total
        if k == 0:
            first = target + (total - target).detach()
    return first, target + (total - target).detach(), loss / len(vq.codebooks), seen


@torch.no_grad()
def update_codebooks(vq: ResidualVQ, seen: list, recipe: RVQRecipe) -> None:
    """Move every codebook to the running mean of what it coded; unused codes start anew from the batch."""
    for book, (rest, codes) in zip(vq.codebooks, seen, strict=True):
        x, c = rest.flatten(0, 1).float(), codes.flatten()
        size, table = book.cluster_size[0], book.embed_avg[0]
        counts = torch.zeros_like(size).scatter_add_(0, c, torch.ones_like(c, dtype=size.dtype))
        sums = torch.zeros_like(table).index_add_(0, c, x)
        size.lerp_(counts, 1 - recipe.decay)
        table.lerp_(sums, 1 - recipe.decay)
        fresh = x[torch.randint(len(x), (len(size),), device=x.device)]
        dead = (size < recipe.dead_below)[:, None]
        size.copy_(torch.where(dead[:, 0], torch.ones_like(size), size))
        table.copy_(torch.where(dead, fresh, table))
        book.embed[0].copy_(table / size[:, None])


def losses(
    model: Tokenizer, crops: tuple[Tensor, Tensor, Tensor], recipe: RVQRecipe, train: bool
) -> dict[str, Tensor]:
    """The losses and accuracies of a batch; in training, the codebooks move too."""
    mel, phonemes, pitches = crops
    levels = torch.full((len(mel),), recipe.num_quantizers, device=mel.device)
    if train:
        fewer = torch.randint(1, recipe.num_quantizers + 1, levels.shape, device=mel.device)
        levels = torch.where(
            torch.rand_like(fewer, dtype=mel.dtype) < recipe.level_dropout, fewer, levels
        )
    with torch.autocast(mel.device.type, torch.bfloat16, enabled=mel.device.type == "cuda"):
        features = model.encoder(mel)
    vq = model.vq_embed
    first, full, commitment, seen = quantise(vq, vq.project_in(features.float()), levels)
    if train:
        update_codebooks(vq, seen, recipe)
    out: dict = {"commitment": commitment}
    with torch.autocast(mel.device.type, torch.bfloat16, enabled=mel.device.type == "cuda"):
        first, full = vq.project_out(first), vq.project_out(full)
        drawn = model.read_mel(full).unflatten(-1, (MEL_PER_LATENT, -1)).flatten(1, 2)
        out["mel"] = F.l1_loss(drawn.float(), mel.transpose(1, 2))
        for name, level, x in (("first", 0, first), ("all", 1, full)):
            for what, readers, target in (
                ("phoneme", model.read_phonemes, phonemes),
                ("pitch", model.read_pitches, pitches),
            ):
                logits = readers[level](x).float()
                out[f"{what}_{name}"] = F.cross_entropy(logits.flatten(0, 1), target.flatten())
                sung = target > 0
                hit = (logits.argmax(-1) == target) & sung
                out[f"{what}_{name}_accuracy"] = hit.sum() / sung.sum().clamp(min=1)
    aligned = sum(v for k, v in out.items() if k.endswith(("_first", "_all")))
    out["loss"] = out["mel"] + recipe.commitment * commitment + recipe.alignment * aligned
    return out


@torch.no_grad()
def evaluate(model: Tokenizer, songs: Songs, recipe: RVQRecipe) -> dict[str, float]:
    """Mean figures over the held-out songs."""
    starts = torch.arange(
        0, songs.frames - recipe.crop_frames, recipe.crop_frames, device=songs.mel.device
    )
    rows = [
        losses(model, songs.crops(part, recipe.crop_frames), recipe, False)
        for part in starts.split(recipe.batch)
    ]
    return {k: float(torch.stack([r[k].float() for r in rows]).mean()) for k in rows[0]}


def train(
    data: Path,
    out: Path,
    recipe: RVQRecipe,
    encoder: MelEncoderConfig,
    lot: float | None,
    *,
    graphed: bool = True,
    follow: float = 0.0,
) -> None:
    """Train until the schedule or the lot ends; resumes from `out/state` where there is one.

    `follow`: begin while the corpus is being made and take up to so many hours of it as they come.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(recipe.seed)
    log_mel, arriving = LogMel(encoder).to(device), None
    known = out / "phonemes.json"
    symbols = json.loads(known.read_text("utf-8")) if known.is_file() else None
    if follow:
        rate = encoder.sample_rate
        arriving = Arriving(
            data, lambda song: (read_song(data, song, rate), read_truth(data, song))
        )
        songs, held = first_songs(arriving, follow, recipe, symbols, log_mel, device)
    else:
        train_ids, held_ids = split(song_ids(data), recipe.held_out)
        symbols = symbols or inventory([read_truth(data, song) for song in train_ids])
        songs = Songs.load(data, train_ids, symbols, log_mel, device)
        held = Songs.load(data, held_ids, symbols, log_mel, device)
    symbols = songs.symbols
    out.mkdir(parents=True, exist_ok=True)
    known.write_text(json.dumps(symbols, ensure_ascii=False) + "\n", "utf-8")
    model = Tokenizer(encoder, recipe, len(symbols)).to(device)
    ema = EMA(model, recipe.ema_decay).to(device)
    graphed = graphed and device.type == "cuda"
    optimizer = adamw(model.parameters(), recipe.peak_lr, (0.9, 0.98), recipe.weight_decay, graphed)
    log, step, done = Log(out), 0, 0.0
    if has_state(out / "state"):
        step, extra = load_state(out / "state", {"model": model, "ema": ema}, {"adamw": optimizer})
        done = extra["minutes"]

    def save(minutes: float) -> None:
        save_state(
            out / "state",
            step=step,
            modules={"model": model, "ema": ema},
            optimizers={"adamw": optimizer},
            extra={"minutes": minutes, "recipe": asdict(recipe)},
        )

    log(songs=songs.count, held_out=held.count, frames=songs.frames, phonemes=len(symbols))

    def one_step() -> dict[str, Tensor]:
        found = losses(model, songs.varied(recipe), recipe, True)
        optimizer.zero_grad(set_to_none=True)
        found["loss"].backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        ema.update(model)
        return {name: value.detach() for name, value in found.items()}

    def finish(minutes: float) -> None:
        """The running mean as it stands: its figures on held-out songs, and what others can use."""
        mean = copy.deepcopy(model)
        ema.copy_to(mean)
        figures = evaluate(mean.eval(), held, recipe)
        log(step=step, minutes=minutes, **{f"held_{k}": v for k, v in figures.items()})
        write(mean, encoder, out)

    update, report, saved = GraphedStep(one_step, graphed), done + REPORT_MINUTES, done
    found = {"loss": torch.zeros(())}  # of a schedule that is over already
    with Clock(recipe.minutes, lot, done) as clock:
        while not clock.over:
            set_learning_rate(optimizer, learning_rate(clock.fraction, recipe.peak_lr))
            found = update()
            step += 1
            if arriving and step % STEPS_A_LOOK == 0:
                place(arriving.take(), songs, held, recipe)
            if clock.minutes >= report:
                check_finite(found["loss"], step, out)
                figures = {k: v for k, v in found.items() if k in ("loss", "mel")}
                log(step=step, minutes=clock.minutes, songs=songs.count, **figures)
                report += REPORT_MINUTES
                if clock.minutes - saved >= SAVE_MINUTES:
                    saved = clock.minutes
                    save(saved)
                    finish(saved)
        check_finite(found["loss"], step, out)
        save(clock.minutes)
    if arriving:
        arriving.close()
    finish(clock.minutes)


def place(found: list, songs: Songs, held: Songs, recipe: RVQRecipe) -> None:
    """Puts songs that have arrived to those to learn from or to those held out."""
    for song, (wave, truth) in found:
        (songs if hash_of(song, recipe.held_out) else held).add(wave, truth)


def first_songs(
    arriving: Arriving,
    hours: float,
    recipe: RVQRecipe,
    symbols: list[str] | None,
    log_mel: LogMel,
    device: torch.device,
) -> tuple[Songs, Songs]:
    """Room for so many hours with the first songs in it, and held-out ones; waits until they are there."""
    found: list = []
    while len(found) < FIRST_SONGS or all(hash_of(s, recipe.held_out) for s, _ in found):
        found += arriving.take()
        time.sleep(0.2)
    symbols = symbols or inventory([truth for _, (_, truth) in found])
    frames = round(hours * 3600 * log_mel.config.sample_rate / log_mel.config.hop_length)
    frames //= MEL_PER_FRAME
    songs = Songs(frames, symbols, log_mel, device)
    held = Songs(2 * frames // recipe.held_out, symbols, log_mel, device)
    place(found, songs, held, recipe)
    return songs, held


def write(model: Tokenizer, encoder: MelEncoderConfig, out: Path) -> None:
    """The encoder as a `HeartCodec-oss-encoder` folder, the codebooks beside it."""
    folder = out / "HeartCodec-oss-encoder"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "encoder_config.json").write_text(json.dumps(encoder.to_dict(), indent=1) + "\n")
    weights = {
        f"transformer.{k}": v.to("cpu", torch.bfloat16)
        for k, v in model.encoder.state_dict().items()
    }
    save_file(weights, folder / "encoder.safetensors")
    save_file(
        {k: v.cpu().contiguous() for k, v in model.vq_embed.state_dict().items()},
        out / "vq_embed.safetensors",
    )
    save_file(
        {k: v.cpu().contiguous() for k, v in model.state_dict().items()},
        out / "tokenizer.safetensors",
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="corpus folder")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--minutes", type=float, default=RVQRecipe.minutes, help="length of the whole schedule"
    )
    parser.add_argument("--lot", type=float, help="stop after so many minutes; run again to go on")
    parser.add_argument("--batch", type=int, default=RVQRecipe.batch)
    parser.add_argument("--width", type=int, default=MelEncoderConfig.width, help="of the encoder")
    parser.add_argument("--layers", type=int, default=MelEncoderConfig.num_layers)
    parser.add_argument(
        "--follow",
        type=float,
        default=0.0,
        metavar="HOURS",
        help="begin while the corpus is being made; take so many hours of it as they come",
    )
    parser.add_argument("--no-graph", action="store_true", help="launch every kernel from Python")
    given = parser.parse_args()
    recipe = RVQRecipe(minutes=given.minutes, batch=given.batch)
    encoder = MelEncoderConfig(width=given.width, num_layers=given.layers)
    train(
        given.data,
        given.out,
        recipe,
        encoder,
        given.lot,
        graphed=not given.no_graph,
        follow=given.follow,
    )


if __name__ == "__main__":
    main()
