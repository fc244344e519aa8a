"""How the page looks: fonts that every system has, so that nothing is fetched from elsewhere."""

from importlib.resources import files

import gradio as gr

STYLE = "".join(
    (files("petseg.app") / name).read_text(encoding="utf-8") for name in ("style.css", "tabs.css")
)
_PICTURE = (files("petseg.app") / "picture" / "picture.css").read_text(encoding="utf-8")
# Not with the other rules, which Gradio takes apart at each comma.
SCRIPT = (files("petseg.app") / "script.html").read_text(encoding="utf-8") + f"<style>{_PICTURE}</style>"

RADIUS = "14px"
"""Of every corner."""
_RADII = gr.themes.sizes.Size(**dict.fromkeys(("xxs", "xs", "sm", "md", "lg", "xl", "xxl"), RADIUS))
_SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


def theme() -> gr.themes.Base:
    """Blue and slate; orange and blue are the classes' own colours."""
    fonts, mono = ([gr.themes.Font(name) for name in names] for names in (_SANS, _MONO))
    return gr.themes.Base(
        primary_hue=gr.themes.colors.blue,
        secondary_hue=gr.themes.colors.blue,
        neutral_hue=gr.themes.colors.slate,
        radius_size=_RADII,
        font=fonts,
        font_mono=mono,
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_text_color="white",
        block_border_width="1px",
        # Gradio's controls look as those of the Segment tab, which are ours.
        block_title_text_color="*body_text_color",
        block_title_text_color_dark="*body_text_color",
        block_title_text_weight="600",
        button_secondary_background_fill="*block_background_fill",
        button_secondary_background_fill_dark="*block_background_fill",
        button_secondary_background_fill_hover="*block_background_fill",
        button_secondary_background_fill_hover_dark="*block_background_fill",
        button_secondary_border_color="*border_color_primary",
        button_secondary_border_color_dark="*border_color_primary",
        button_secondary_border_color_hover="*color_accent",
        button_secondary_border_color_hover_dark="*color_accent",
        button_secondary_text_color="*body_text_color",
        button_border_width="1px",
        button_small_text_size="*text_md",
        button_small_text_weight="500",
        checkbox_label_background_fill_selected="*primary_600",
        checkbox_label_background_fill_selected_dark="*primary_600",
        checkbox_label_text_color_selected="white",
        checkbox_label_text_color_selected_dark="white",
        checkbox_label_border_color_hover="*color_accent",
        checkbox_label_border_width="1px",
        checkbox_label_border_width_dark="1px",
        border_color_primary_dark="*neutral_600",
        checkbox_label_text_weight="500",
        # Gradio's own are too faint on white to be read with ease (WCAG 1.4.3: a contrast of 4.5).
        body_text_color_subdued="*neutral_600",
        block_info_text_color="*neutral_600",
    )
