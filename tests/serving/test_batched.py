"""Songs that are sung together are those that are sung alone."""

import io

import numpy as np
import pytest
import soundfile
from safetensors.numpy import load

pytest.importorskip("triton")


def test_many_at_once_are_as_alone(server, start, tmp_path):
    together = start(tmp_path / "data", "--songs", "3")
    asked = [{"seed": 1}, {"seed": 2, "length": 6}, {"seed": 3, "cfg_scale": 1}, {"seed": 4}]
    ids = [together.post(format="wav", **one)[0] for one in asked]
    long = together.post(length=12)[0]
    together.wait(long, "singing")
    assert together.client.delete(f"/v1/songs/{long}").json()["status"] == "cancelled"
    for one, id in zip(asked, ids, strict=True):
        together.wait(id)
        (alone,) = server.post(format="wav", **one)
        server.wait(alone)
        codes = [
            load(where.client.get(f"/v1/songs/{song}/codes").content)["codes"]
            for where, song in ((together, id), (server, alone))
        ]
        assert codes[0].shape == codes[1].shape
        sounds = [
            soundfile.read(io.BytesIO(where.client.get(f"/v1/songs/{song}/audio").content))[0]
            for where, song in ((together, id), (server, alone))
        ]
        assert sounds[0].shape == sounds[1].shape
        assert np.array_equal(*codes)
    (further,) = together.post(length=2, extension={"song": ids[0], "from": 0.5})
    assert together.wait(further)["result"]["frames"] == 25
    assert together.stop() == 0
