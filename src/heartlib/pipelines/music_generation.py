"""Lyrics and tags in, a song out: prompt, frames, codes, waveform, file.

K: codebooks, T: frames of 80 ms, n: samples.
"""

from __future__ import annotations

import gc
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from heartlib import audio, checkpoints
from heartlib.errors import CheckpointError, HeartlibError, UsageError
from heartlib.heartcodec import HeartCodec
from heartlib.heartmula import (
    GenConfig,
    HeartMuLa,
    HeartMuLaConfig,
    Prompt,
    build_prompt,
    generate,
)
from heartlib.heartmula.generation import as_prefix
from heartlib.pipelines.decoding import (
    DecodingBeside,
    Progress,
    decoding,
    gather,
)
from heartlib.pipelines.inputs import check_lyrics, check_tags, text_or_file
from heartlib.pipelines.placement import (
    HEADROOM,
    MEMORY_PLANS,
    Device,
    Dtype,
    Placement,
    cache_bytes,
    check_fits,
    free_bytes,
    mula_bytes,
    weights_bytes,
)
from heartlib.pipelines.reference import Reference, reference_of
from heartlib.pipelines.request import Request, memory_errors, on_threads
from heartlib.pipelines.settings import FRAME_MS, GenerationSettings
from heartlib.pipelines.song import Song
from heartlib.pipelines.streaming import SongStream

SMALL_BYTES = 256 * 2**20


class Cancelled(HeartlibError):
    """The person stopped it before there was anything to keep."""

    exit_status = 130


class HeartMuLaGenPipeline:
    """The language model and the codec of one checkpoint folder, loaded when first needed.

    Where both share a device that is short of memory, the language model gives its memory back before
    the codec decodes. With `lazy_load`, or memory "low", it always does, and the codec is not there while
    the language model is.
    """

    def __init__(
        self,
        paths: checkpoints.CheckpointPaths,
        placement: Placement,
        *,
        lazy_load: bool = False,
        memory: str = "auto",
    ):
        if memory not in MEMORY_PLANS:
            raise UsageError(
                f"memory {memory!r} is not known; use one of {', '.join(MEMORY_PLANS)}"
            )
        self.paths = paths
        self.placement = placement
        self.lazy_load = lazy_load or memory == "low"
        self.config = checkpoints.read_config(paths.mula, HeartMuLaConfig)
        self.gen_config = checkpoints.read_config(
            paths.gen_config.parent, GenConfig, paths.gen_config.name
        )
        self.tokenizer = _read_tokenizer(paths.tokenizer)
        self.mula_bytes = mula_bytes(paths.mula, placement.mula_dtype, placement.quantization)
        self.codec_bytes = weights_bytes(paths.codec, placement.codec_dtype)
        self.mula: HeartMuLa | None = None
        self.codec: HeartCodec | None = None

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path = "nano",
        device: Device | Mapping[str, Device] = None,
        dtype: Dtype | Mapping[str, Dtype] = None,
        version: str | None = None,
        lazy_load: bool = False,
        quantization: object = None,
        memory: str = "auto",
    ) -> HeartMuLaGenPipeline:
        """Find a checkpoint ("nano", a folder or a hub id) and load it, unless `lazy_load`.

        `device` and `dtype` are one value or {"mula": ..., "codec": ...}; None chooses (see
        `Placement.resolve`). quantization: "int8", "fp8" or "int4" for the language model on a GPU. memory: "auto",
        which keeps both models where there is room, or "low". `version` picks `HeartMuLa-oss-{version}`. Raises CheckpointError for
        what is missing or damaged, HeartlibError for a missing device or too little memory.
        """
        placement = Placement.resolve(device, dtype, quantization)
        paths = checkpoints.find(path, version)
        pipe = cls(paths, placement, lazy_load=lazy_load, memory=memory)
        if not pipe.lazy_load:
            pipe.load()
        return pipe

    def load(self) -> None:
        """Load both models now; the codec waits where the two do not fit on one device."""
        with memory_errors():
            self._check_memory()
            self._load_mula()
            if not self.placement.shared or not self._short_of_memory():
                self._load_codec()

    @cached_property
    def model_hash(self) -> str:
        """12 hex digits that name the weights of both models."""
        return checkpoints.weights_hash(self.paths.mula, self.paths.codec)

    def __call__(
        self,
        inputs: Mapping[str, Any],
        *,
        max_audio_length_ms: int | None = None,
        temperature: float = 1.0,
        topk: int = 50,
        cfg_scale: float = 1.5,
        save_path: str | Path | None = None,
        overwrite: bool = False,
        seed: int | None = None,
    ) -> Song:
        """The published form: {"lyrics": ..., "tags": ...}, each text or the path of a text file.

        "ref_audio", the path of a recording to take after, may be there too; the tags may then be left out.
        Writes `save_path` where it is given, which must not exist unless `overwrite`. Raises as
        `generate` and `Song.save` do, before any work where that is possible.
        """
        reference = inputs.get("ref_audio")
        needed = ("lyrics", "tags") if reference is None else ("lyrics",)
        missing = [name for name in needed if name not in inputs]
        if missing:
            raise UsageError(f"inputs need 'lyrics' and 'tags'; {missing[0]!r} is missing")
        if save_path is not None:
            audio.check_output(save_path, overwrite=overwrite)
        song = self.generate(
            text_or_file(inputs["lyrics"], "lyrics"),
            text_or_file(inputs.get("tags", ""), "tags"),
            max_audio_length_ms=max_audio_length_ms,
            temperature=temperature,
            topk=topk,
            cfg_scale=cfg_scale,
            seed=seed,
            reference=reference,
        )
        if save_path is not None:
            song.save(save_path, overwrite=overwrite)
        return song

    def generate(
        self,
        lyrics: str,
        tags: str,
        *,
        max_audio_length_ms: int | None = None,
        temperature: float = 1.0,
        topk: int = 50,
        cfg_scale: float = 1.5,
        seed: int | None = None,
        num_steps: int | None = None,
        guidance_scale: float | None = None,
        reference: Reference | Mapping[str, str] | str | Path | None = None,
        prefix_codes: torch.Tensor | None = None,
        progress: Progress | None = None,
        cancel: threading.Event | None = None,
    ) -> Song:
        """Sing `lyrics` (text with section markers) in the style of `tags` ("pop,female").

        max_audio_length_ms: None for as long as the longest song that the model learned from, where
        its gen_config.json tells (longest_song_ms), else as long as it can, up to 240 s. num_steps,
        guidance_scale: None for what the codec's config tells. seed: None draws one; the song tells
        it. reference: a recording whose style to take after; the tags may then be empty. prefix_codes [K, T]: the song's first T frames, after which it goes on; they are part of
        the lyrics, the length and the song that is returned.
        progress("singing" or "decoding", frames done, frames at most).
        cancel: set while singing, what was sung is decoded; set while decoding, the windows
        decoded so far are returned; `complete` is then False. Raises UsageError for a value that
        is not allowed, HeartlibError where there is nothing to sing or too little memory.
        """
        request = self._request(
            lyrics,
            tags,
            GenerationSettings(
                max_audio_length_ms=max_audio_length_ms,
                temperature=temperature,
                topk=topk,
                cfg_scale=cfg_scale,
                num_steps=num_steps,
                guidance_scale=guidance_scale,
                seed=seed,
                reference=reference,
            ),
            prefix_codes,
        )
        settings, prefix = request.settings, request.prefix
        timings = {"loading": 0.0, "singing": 0.0, "decoding": 0.0}
        with memory_errors():
            with _timed(timings, "loading"):
                self._check_memory()
                if not self.lazy_load:
                    self.load()
                mula = self._load_mula()
                self._make_room(request)
            with ExitStack() as stack:
                beside = self._decoding_beside(prefix, settings)
                if beside is not None:
                    stack.enter_context(beside)
                with _timed(timings, "singing"), on_threads(self._singing_threads()):
                    each = None if beside is None else beside.sung.add
                    codes = self._sing(mula, request, progress, cancel, each)
                complete = cancel is None or not cancel.is_set()
                del mula
                with _timed(timings, "loading"):
                    if self.lazy_load or (self.placement.shared and self._short_of_memory()):
                        self._free("mula")
                    codec = self._load_codec()
                    settings = settings.for_codec(codec.config)
                with _timed(timings, "decoding"):
                    waveform = gather(
                        beside or codec.detokenize_windows(codes, **decoding(settings)),
                        codes.shape[-1],
                        codec.config.sample_rate,
                        progress,
                        cancel=cancel if complete else None,
                        least=prefix.shape[1],
                    )
            sample_rate = codec.config.sample_rate
            del codec
            if self.lazy_load:
                self._free("codec")
        request = replace(request, settings=settings)
        return self._song(request, codes, waveform, sample_rate, timings, complete)

    def stream(
        self,
        lyrics: str,
        tags: str,
        *,
        max_audio_length_ms: int | None = None,
        temperature: float = 1.0,
        topk: int = 50,
        cfg_scale: float = 1.5,
        seed: int | None = None,
        num_steps: int | None = None,
        guidance_scale: float | None = None,
        reference: Reference | Mapping[str, str] | str | Path | None = None,
        progress: Progress | None = None,
        cancel: threading.Event | None = None,
    ) -> SongStream:
        """The same song as `generate`, heard while it is being sung: iterate over its pieces.

        Its codes are those of `generate`, its sound is decoded from other windows (see
        `heartcodec.streaming`). Both models are in memory at once. progress("singing", ...) comes from
        another thread. cancel: what was sung is still decoded. Raises as `generate`, at the call for
        values that are not allowed.
        """
        settings = GenerationSettings(
            max_audio_length_ms=max_audio_length_ms,
            temperature=temperature,
            topk=topk,
            cfg_scale=cfg_scale,
            num_steps=num_steps,
            guidance_scale=guidance_scale,
            seed=seed,
            reference=reference,
        )
        return SongStream(self, self._request(lyrics, tags, settings, None), progress, cancel)

    def _request(
        self,
        lyrics: str,
        tags: str,
        settings: GenerationSettings,
        prefix_codes: torch.Tensor | None,
    ) -> Request:
        """What is asked for, checked, with a seed; UsageError for what is not allowed."""
        if settings.seed is None:
            settings = replace(settings, seed=secrets.randbelow(2**31))
        lyrics, tags, settings = self.checked(lyrics, tags, settings)
        prefix = as_prefix(prefix_codes, self.config, self.gen_config.audio_eos_id)
        prompt, frames = self.prepare(lyrics, tags, settings, prefix=prefix.shape[1])
        settings = replace(settings, max_audio_length_ms=frames * FRAME_MS)
        return Request(lyrics, tags, settings, prefix, prompt, frames)

    def _song(
        self,
        request: Request,
        codes: torch.Tensor,
        waveform: torch.Tensor,
        sample_rate: int,
        timings: dict[str, float],
        complete: bool,
    ) -> Song:
        whole = waveform.shape[-1] * 1000 // sample_rate >= codes.shape[-1] * FRAME_MS
        given = request.prefix.shape[1]
        settings = asdict(request.settings)
        if settings["reference"] is None:
            del settings["reference"]
        return Song(
            waveform=waveform,
            sample_rate=sample_rate,
            codes=codes,
            seed=request.settings.seed or 0,
            lyrics=request.lyrics,
            tags=request.tags,
            settings=settings
            | self.placement.to_dict()
            | {"threads": torch.get_num_threads(), "torch": torch.__version__},
            timings=timings,
            model={"name": self.paths.name, "hash": self.model_hash},
            complete=complete and whole,
            ended=complete and codes.shape[-1] < request.frames,
            extended={"frames": given} if given else None,
        )

    def checked(
        self, lyrics: str, tags: str, settings: GenerationSettings
    ) -> tuple[str, str, GenerationSettings]:
        """Lyrics and tags as they are sung, and settings whose reference, if any, has been heard; raises as `generate`."""
        lyrics, root = check_lyrics(lyrics), self.paths.root
        tags = check_tags(tags, root, optional=settings.reference is not None)
        heard = reference_of(settings.reference, self.config, root, self.placement.codec_device)
        if heard is not None and not tags:
            tags = check_tags(heard.tags, root, optional=True)
        return lyrics, tags, replace(settings, reference=heard)

    def prepare(
        self, lyrics: str, tags: str, settings: GenerationSettings, *, prefix: int = 0
    ) -> tuple[Prompt, int]:
        """The prompt and how many frames may follow it, `prefix` of them given; UsageError where they do not fit.

        All of it `checked`.
        """
        style = settings.reference
        prompt = build_prompt(
            self.tokenizer,
            lyrics,
            tags,
            config=self.config,
            gen_config=self.gen_config,
            muq_embed=style.embedding if isinstance(style, Reference) else None,
        )
        frames = settings.frames(
            positions=self.config.backbone.max_seq_len,
            prompt=len(prompt.tokens),
            name=self.paths.name,
            longest_ms=self.gen_config.longest_song_ms,
            prefix=prefix,
        )
        return prompt, frames

    def _sing(
        self,
        mula: HeartMuLa,
        request: Request,
        progress: Progress | None,
        cancel: threading.Event | None,
        each: Callable[[torch.Tensor], object] | None = None,
    ) -> torch.Tensor:
        settings, prefix = request.settings, request.prefix
        codes = generate(
            mula,
            request.prompt,
            max_frames=request.frames,
            prefix=prefix,
            cfg_scale=settings.cfg_scale,
            temperature=settings.temperature,
            topk=settings.topk,
            seed=settings.seed or 0,
            audio_eos_id=self.gen_config.audio_eos_id,
            progress=None if progress is None else lambda *done: progress("singing", *done),
            each=each,
            cancel=cancel,
        )  # [K, T]
        if codes.shape[-1] == prefix.shape[-1]:
            raise Cancelled("cancelled before anything was sung")
        return codes

    def _singing_threads(self) -> int:
        """CPU threads for the frame loop: one where the model is so small that waiting for the
        others at each of its products takes longer than the products."""
        small = self.placement.mula_device.type == "cpu" and self.mula_bytes < SMALL_BYTES
        return 1 if small else torch.get_num_threads()

    def _decoding_beside(
        self, prefix: torch.Tensor, settings: GenerationSettings
    ) -> DecodingBeside | None:
        """Decodes what is sung while more is being sung, where both models are loaded and singing
        leaves CPU threads idle, or on a GPU; None elsewhere."""
        codec, threads = self.codec, torch.get_num_threads()
        on_gpu = self.placement.codec_device.type == "cuda"
        if self.lazy_load or codec is None or not (on_gpu or self._idle_threads()):
            return None
        return DecodingBeside(codec, prefix, settings.for_codec(codec.config), threads)

    def _idle_threads(self) -> bool:
        """Whether singing leaves CPU threads to a codec on the CPU."""
        on_cpu = self.placement.mula_device.type == self.placement.codec_device.type == "cpu"
        return on_cpu and self._singing_threads() < torch.get_num_threads()

    def _load_both(self) -> HeartCodec:
        """Loads both models at once, whatever memory there is."""
        with memory_errors():
            self._check_memory()
            self._load_mula()
            return self._load_codec()

    def _check_memory(self) -> None:
        """Each model alone must fit, or the song could be sung and not decoded."""
        place = self.placement
        if self.mula is None and self.codec is None:
            check_fits(self.paths.name, self.mula_bytes, place.mula_device, place.mula_dtype)
            check_fits("HeartCodec", self.codec_bytes, place.codec_device, place.codec_dtype)

    def _load_mula(self) -> HeartMuLa:
        if self.mula is None:
            device, dtype = self.placement.mula_device, self.placement.mula_dtype
            if self.codec is not None and self.placement.shared:
                free = free_bytes(device)
                if free is not None and self.mula_bytes > free:
                    self._free("codec")
            check_fits(self.paths.name, self.mula_bytes, device, dtype)
            self.mula = HeartMuLa.from_pretrained(
                self.paths.mula,
                device=device,
                dtype=dtype,
                quantization=self.placement.quantization,
            )
        return self.mula

    def _make_room(self, request: Request) -> None:
        """Frees the codec where a song's keys and values find no room beside it; HeartlibError where they find none at all."""
        device, dtype = self.placement.mula_device, self.placement.mula_dtype
        if device.type != "cuda":
            return
        positions = len(request.prompt.tokens) + request.frames
        rows = 1 if request.settings.cfg_scale == 1 else 2
        loop = None if self.mula is None else self.mula.frame_loop
        more = max(0, positions - (loop.positions if loop is not None else 0))  # than are held
        need, free = cache_bytes(self.config, more, rows, dtype), free_bytes(device)
        if self.codec is not None and self.placement.shared and free and need + HEADROOM > free:
            self._free("codec")
        seconds = request.frames * FRAME_MS / 1000
        check_fits(f"a song of {seconds:g} s beside the model", need, device, dtype)

    def _load_codec(self) -> HeartCodec:
        if self.codec is None:
            device, dtype = self.placement.codec_device, self.placement.codec_dtype
            check_fits("HeartCodec", self.codec_bytes, device, dtype)
            self.codec = HeartCodec.from_pretrained(self.paths.codec, device=device, dtype=dtype)
        return self.codec

    def _short_of_memory(self) -> bool:
        """Whether the codec, with half its weights again (1 GiB at least) to work in, has no room."""
        free = free_bytes(self.placement.codec_device)
        room = max(self.codec_bytes // 2, 2**30) + (self.codec_bytes if self.codec is None else 0)
        return free is not None and free < room

    def _free(self, name: str) -> None:
        setattr(self, name, None)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _read_tokenizer(path: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the tokenizers library raises plain Exception
        raise CheckpointError(f"{path} is not a tokenizer file: {error}") from error


@contextmanager
def _timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    timings[stage] += time.perf_counter() - start
