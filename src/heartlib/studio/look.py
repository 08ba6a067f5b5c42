"""The studio's colours and letters: Gradio's theme with fonts that the visitor's machine has, so that none is fetched."""

from __future__ import annotations

import gradio as gr


def theme() -> gr.themes.Base:
    """Light and dark, as the visitor's system says."""
    return gr.themes.Soft(
        primary_hue="rose",
        secondary_hue="rose",
        neutral_hue="slate",
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "Consolas", "monospace"],
    )
