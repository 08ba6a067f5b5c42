"""A song that goes on from another one, in the process that sings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from heartlib.errors import HeartlibError

if TYPE_CHECKING:
    from heartlib.pipelines.music_generation import HeartMuLaGenPipeline
    from heartlib.pipelines.song import Song


def go_on(
    pipe: HeartMuLaGenPipeline, kept: dict[str, str], request: dict[str, Any], **asked: Any
) -> Song:
    """Sings on after a song (`sound` and `codes`) or an upload (`sound`, encoded here); raises as `extend`.

    The encoder is in memory for as long as it encodes.
    """
    from heartlib import audio, checkpoints
    from heartlib.heartcodec import HeartCodec
    from heartlib.heartcodec.codes import read_codes
    from heartlib.pipelines.extension import Cut, extend
    from heartlib.pipelines.settings import GenerationSettings

    if not Path(kept["sound"]).exists():
        raise HeartlibError("the sound to go on from was removed")
    rate = pipe._load_both().config.sample_rate
    wave, given = audio.read(kept["sound"])
    wave = audio.resample(wave, given, rate)
    cut = Cut.at(wave.shape[1], rate, request["kept"]["from"])
    settings = GenerationSettings(**request["settings"])
    lyrics, tags, settings = pipe.checked(request["lyrics"], request["tags"], settings)
    pipe.prepare(lyrics, tags, settings, prefix=cut.frames)
    if "codes" in kept:
        codes = read_codes(kept["codes"]).values
    else:
        folders = checkpoints.find_codec(pipe.paths.root)
        codec = HeartCodec.from_encoder_decoder_pretrained(*folders, pipe.placement.codec_device)
        codes = codec.tokenize(wave[:, : cut.heard(rate)], rate)
    about = {"file": Path(kept["sound"]).name, "seconds": cut.samples / rate, "rate": given}
    return extend(
        pipe,
        wave,
        codes,
        cut,
        lyrics,
        tags,
        settings,
        about=about,
        **asked,
    )
