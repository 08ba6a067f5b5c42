"""Songs that are sung together are those that are sung alone."""

import io

import numpy as np
import pytest
import soundfile
from safetensors.numpy import load

pytest.importorskip("triton")
pytestmark = pytest.mark.slow


def test_many_at_once_are_as_alone(start, tmp_path):
    """The same song in company and alone has the same codes and, up to rounding, the same sound."""
    server = start(tmp_path / "data", "--songs", "3")

    def made(id: str):
        server.wait(id)
        codes = load(server.client.get(f"/v1/songs/{id}/codes").content)["codes"]
        sound = soundfile.read(io.BytesIO(server.client.get(f"/v1/songs/{id}/audio").content))[0]
        return codes, sound

    asked = [{"seed": 1}, {"seed": 2, "length": 6}, {"seed": 3, "cfg_scale": 1}, {"seed": 4}]
    ids = [server.post(format="wav", **one)[0] for one in asked]
    together = [made(id) for id in ids]
    for one, (codes, sound) in zip(asked[1:3], together[1:], strict=False):
        alone = made(server.post(format="wav", **one)[0])
        assert np.array_equal(alone[0], codes) and alone[1].shape == sound.shape
        assert np.abs(alone[1] - sound).max() < 1e-3
    long = server.post(length=12)[0]
    server.wait(long, "singing")
    assert server.client.delete(f"/v1/songs/{long}").json()["status"] == "cancelled"
    (further,) = server.post(length=2, extension={"song": ids[0], "from": 0.5})
    assert server.wait(further)["result"]["frames"] == 25
    assert server.stop() == 0


def test_nano_is_sung_together_too():
    """Its layers, int8 for one song alone on a CPU, are read by the engine."""
    from heartlib.serving.batched import batched

    settings = {"device": "cpu", "quantization": None, "model": "nano", "version": None}
    pipe = batched(settings, 2)
    try:
        asked = {"max_audio_length_ms": 800, "num_steps": 1, "seed": 1}
        song = pipe.generate("[Verse]\nla la la", "pop", **asked)
    finally:
        pipe.close()
    assert song.codes.shape == (8, 10)
