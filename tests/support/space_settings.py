"""What the Hub of `hub_server` asks of the settings of a Space."""

import re

import yaml

_OF_GRADIO = {
    "sdk_version": r"\d+\.\d+\.\d+",
    "python_version": r"3\.\d+(\.\d+)?",
    "app_file": r".+\.py",
}
_HEADERS = {
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "cross-origin",
}
"""Of those that the Hub lets a Space send, what isolates a page."""


def space_faults(readme: str) -> list[str]:
    """What the Hub would say against the settings of a Space."""
    settings = yaml.safe_load(readme.split("---\n")[1])
    static = settings.get("sdk") == "static"
    of_sdk = {"app_file": r".+\.html"} if static else _OF_GRADIO
    rules = of_sdk | {
        "title": r".+",
        "emoji": r"[^\x00-\x7f]+",
        "colorFrom": "red|yellow|green|blue|indigo|purple|pink|gray",
        "colorTo": "red|yellow|green|blue|indigo|purple|pink|gray",
        "sdk": "gradio|docker|static",
        "short_description": r".{1,60}",
    }
    headers = settings.get("custom_headers", {}).items()
    strange = [
        f'"custom_headers.{name}" is not valid' for name, value in headers if _HEADERS.get(name) != value
    ]
    return strange + [
        f'"{name}" is not valid'
        for name, rule in rules.items()
        if not isinstance(settings.get(name), str) or not re.fullmatch(rule, settings[name])
    ]
