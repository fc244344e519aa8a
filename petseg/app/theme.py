"""How the page looks: fonts that every system has, so that nothing is fetched from elsewhere."""

from importlib.resources import files

import gradio as gr

STYLE = "".join(
    (files("petseg.app") / name).read_text(encoding="utf-8") for name in ("style.css", "tabs.css")
)
_PICTURE = (files("petseg.app") / "picture" / "picture.css").read_text(encoding="utf-8")
# Not with the other rules, which Gradio takes apart at each comma.
SCRIPT = (files("petseg.app") / "script.html").read_text(encoding="utf-8") + f"<style>{_PICTURE}</style>"

_SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


def theme() -> gr.themes.Base:
    """Blue and slate; orange and blue are the classes' own colours."""
    fonts, mono = ([gr.themes.Font(name) for name in names] for names in (_SANS, _MONO))
    return gr.themes.Base(
        primary_hue=gr.themes.colors.blue,
        secondary_hue=gr.themes.colors.blue,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_lg,
        font=fonts,
        font_mono=mono,
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_text_color="white",
        block_shadow="0 1px 2px rgb(15 23 42 / .06), 0 4px 16px rgb(15 23 42 / .05)",
        block_shadow_dark="none",
        block_border_width="1px",
        # Gradio's own are too faint on white to be read with ease (WCAG 1.4.3: a contrast of 4.5).
        body_text_color_subdued="*neutral_600",
        block_info_text_color="*neutral_600",
    )
