"""What a pipeline does when torch may take little of a GPU's memory."""

import gc
from collections.abc import Callable, Iterator

import pytest
import torch

from heartlib.errors import HeartlibError
from heartlib.pipelines import HeartMuLaGenPipeline

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

TEXT = ("[Verse]\nThe morning light is on the sea\n", "pop,female,piano")
GIB = 2**30


@pytest.fixture
def allow() -> Iterator[Callable[[float], None]]:
    """Lets torch take so many bytes more than it holds."""
    total = torch.cuda.mem_get_info()[1]

    def limit(more: float) -> None:
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + more) / total)

    yield limit
    torch.cuda.set_per_process_memory_fraction(1.0)


def sing(pipe: HeartMuLaGenPipeline) -> torch.Tensor:
    return pipe.generate(*TEXT, max_audio_length_ms=3000, seed=5).codes


def test_the_language_model_leaves_where_the_codec_has_no_room(allow):
    pipe = HeartMuLaGenPipeline.from_pretrained("nano", device="cuda")
    expected = sing(pipe)
    assert pipe.mula is not None and pipe.codec is not None
    del pipe
    allow(0.9 * GIB)
    pipe = HeartMuLaGenPipeline.from_pretrained("nano", device="cuda")
    assert torch.equal(sing(pipe), expected)
    assert pipe.mula is None


def test_what_does_not_fit_is_told(allow):
    allow(64 * 2**20)
    with pytest.raises(HeartlibError, match="too little memory"):
        HeartMuLaGenPipeline.from_pretrained("nano", device="cuda")


def test_a_pipeline_is_whole_after_it_found_no_room(allow):
    pipe = HeartMuLaGenPipeline.from_pretrained("nano", device="cuda", memory="low")
    expected = sing(pipe)
    allow(pipe.mula_bytes + 100 * 2**20)
    with pytest.raises(HeartlibError, match="too little memory"):
        sing(pipe)
    torch.cuda.set_per_process_memory_fraction(1.0)
    assert torch.equal(sing(pipe), expected)
