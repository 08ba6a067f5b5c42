"""A small model with strong weights, and a prompt for it."""

import pytest
import torch

from heartlib.heartmula import HeartMuLa, HeartMuLaConfig, Prompt, StackConfig


@pytest.fixture
def config() -> HeartMuLaConfig:
    return HeartMuLaConfig(
        backbone_flavor="test",
        decoder_flavor="test",
        text_vocab_size=50,
        audio_vocab_size=21,
        audio_num_codebooks=4,
        muq_dim=6,
        backbone_config=StackConfig(2, 4, 2, 32, 48, 64),
        decoder_config=StackConfig(2, 2, 1, 32, 48, 8),
    )


@pytest.fixture
def model(config: HeartMuLaConfig) -> HeartMuLa:
    torch.manual_seed(0)
    model = HeartMuLa(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.fixture
def prompt(config: HeartMuLaConfig) -> Prompt:
    """Nine positions of text."""
    tokens = torch.zeros(9, config.audio_num_codebooks + 1, dtype=torch.long)
    tokens[:, -1] = torch.arange(10, 19)
    mask = torch.zeros(tokens.shape, dtype=torch.bool)
    mask[:, -1] = True
    return Prompt(tokens, mask, torch.randn(6), 3)
