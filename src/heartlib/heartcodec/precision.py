"""How exactly the parts of the decoder compute, where the estimator's matrices are not float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

EXACT_PARTS = (  # of the published names: float32 whatever the dtype asked for
    "scalar_model.",
    "flow_matching.vq_embed.",
    "flow_matching.cond_feature_emb.",
    "flow_matching.zero_cond_embedding1",
    "flow_matching.estimator.proj_in.",
    "flow_matching.estimator.connection_proj.",
    "flow_matching.estimator.proj_out.",
)


@dataclass(frozen=True)
class Precision:
    """What is kept apart from the dtype of the estimator's matrices.

    The scalar codec rounds latents to 1/9: what is near is heard, where it rounds the other way. So the stream that
    60 branches add to is float32; and so are sums at the estimator's ends and in the scalar decoder, whose operands have
    eleven bits (float16), eight times as near as bfloat16, at its speed.
    """

    ends: torch.dtype  # operands of the projections into the stages and out of the last
    scalar: torch.dtype  # operands and activations of the scalar decoder

    @classmethod
    def beside(cls, dtype: torch.dtype, device: torch.device | None = None) -> Precision:
        """The usual one for an estimator of `dtype`: all float32 beside float32, else float16 at its ends.

        The scalar decoder is float32 on a CPU, which is not faster in less.
        """
        half = torch.float32 if dtype == torch.float32 else torch.float16
        cpu = device is not None and device.type == "cpu"
        return cls(ends=half, scalar=torch.float32 if cpu else half)


def dtype_of_parts(dtype: torch.dtype) -> Callable[[str], torch.dtype]:
    """The dtype that a published name is loaded in: `dtype` for the transformer blocks and what tells them the time."""
    return lambda name: torch.float32 if name.startswith(EXACT_PARTS) else dtype
