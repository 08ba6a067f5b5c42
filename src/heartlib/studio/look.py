"""The studio's colours and letters: Gradio's theme with fonts that the visitor's machine has, so that none is fetched."""

from __future__ import annotations

from gradio.themes import Base, Soft


def theme() -> Base:
    """Light and dark, as the visitor's system says."""
    base = Soft(
        primary_hue="rose",
        secondary_hue="rose",
        neutral_hue="slate",
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "Consolas", "monospace"],
    )
    return base.set(
        # white letters on these have a contrast above 4.5
        color_accent="*primary_600",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        checkbox_label_background_fill_selected="*primary_600",
        checkbox_label_background_fill_selected_dark="*primary_600",
        block_title_background_fill="transparent",
        block_title_background_fill_dark="transparent",
        block_title_text_color="*body_text_color",
        block_title_text_color_dark="*body_text_color",
        block_title_padding="0",
    )
