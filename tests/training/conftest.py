"""Training without a wall clock: recipes run by minutes, and tests must not depend on speed."""

import itertools

import pytest
import torch

from heartlib.training import loop, run

SECONDS_A_LOOK = 0.06


@pytest.fixture(scope="package", autouse=True)
def counted_time():
    """Every look at the recipes' clock lasts 60 ms, so that a run has the same steps anywhere."""
    looks = itertools.count()
    patch = pytest.MonkeyPatch()
    for module in (loop, run):
        patch.setattr(module, "now", lambda: next(looks) * SECONDS_A_LOOK)
    yield
    patch.undo()


@pytest.fixture(scope="package", autouse=True)
def one_thread():
    """Small tensors: a second thread only waits, for seconds on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
