"""The whole page."""

import atexit
import html
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder

from petseg import Segmenter
from petseg.app import front
from petseg.app.api import add_endpoints
from petseg.app.handlers import Studio
from petseg.app.home import stay_at_home
from petseg.app.models import Models
from petseg.app.photos import Photos
from petseg.app.state import MAX_BYTES
from petseg.app.tab_compare import CompareTab
from petseg.app.tab_robustness import RobustnessTab
from petseg.app.tab_segment import SegmentTab
from petseg.app.theme import STYLE, theme


@dataclass(frozen=True)
class Limits:
    """What a page allows its visitors.

    Attributes:
        kept: seconds that a visitor's files and state are kept after they were last touched.
        waiting: requests that may wait; the next one is told to come back.
        sessions: visitors whose state is kept, the latest ones.
    """

    kept: int = 3600
    waiting: int = 40
    sessions: int = 200


LIMITS = Limits()


HEADER = """
<header class="masthead">
  <svg viewBox="0 0 32 32" aria-hidden="true"><g fill="white">
  <ellipse cx="16" cy="21" rx="7.4" ry="6.2"/>
  <ellipse cx="6.2" cy="14.6" rx="3" ry="4"/><ellipse cx="12.2" cy="8.4" rx="3.1" ry="4.3"/>
  <ellipse cx="19.8" cy="8.4" rx="3.1" ry="4.3"/><ellipse cx="25.8" cy="14.6" rx="3" ry="4"/></g></svg>
  <div><h1>petseg</h1><p>Cuts cats and dogs out of photos. Yours is deleted after about an hour, and nobody
  else sees it.{elsewhere}</p></div>
</header>
"""
ELSEWHERE = "PETSEG_WEB_PAGE"
"""The variable that has the address of a page that runs in the visitor's own browser, if there is one."""


def header() -> str:
    """The top of the page, with a link to the other one where `ELSEWHERE` names one."""
    url = os.environ.get(ELSEWHERE, "")
    link = ""
    if url.startswith(("https://", "http://")):
        link = f' Or let it never leave your device: <a href="{html.escape(url)}">in your own browser</a>.'
    return HEADER.format(elsewhere=link)


def build_app(
    segmenters: Mapping[str, Segmenter] | None = None,
    *,
    device: str = "auto",
    threads: int = 0,
    limits: Limits = LIMITS,
) -> gr.Blocks:
    """Make the page.

    Args:
        segmenters: name -> model, the default first; None: the models of the catalogue, each loaded when
            it is first used.
        device, threads: as for `petseg.Segmenter`, for the models of the catalogue.
        limits: of its visitors.

    Raises:
        ModelError: the catalogue is damaged.
    """
    return _assemble(Models(segmenters, device=device, threads=threads), limits)


def _assemble(models: Models, limits: Limits) -> gr.Blocks:
    studio = Studio(models, Photos(), Path(get_upload_folder()))
    page: gr.Blocks
    with gr.Blocks(
        title=front.TITLE,
        analytics_enabled=False,
        delete_cache=(max(1, limits.kept // 6), limits.kept),
        fill_width=True,
    ) as page:
        gr.HTML(header(), elem_id="masthead", padding=False)
        visit = gr.State(None, time_to_live=limits.kept)
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab("Segment", id="segment", elem_id="tab-segment"):
                SegmentTab(studio, visit)
            with gr.Tab("Robustness", id="robustness", elem_id="tab-robustness") as tab:
                RobustnessTab(studio, visit, tab)
            with gr.Tab("Compare", id="compare", elem_id="tab-compare") as tab:
                CompareTab(studio, visit, tab)
        add_endpoints(studio)
    page.queue(max_size=limits.waiting, default_concurrency_limit=4, api_open=False)
    return page


def launch(
    segmenters: Mapping[str, Segmenter] | None = None,
    *,
    host: str | None = None,
    port: int | None = None,
    device: str = "auto",
    threads: int = 0,
    limits: Limits = LIMITS,
    block: bool = True,
) -> gr.Blocks:
    """Make the page and serve it, and load the models that are asked first meanwhile.

    Args:
        segmenters, device, threads, limits: as for `build_app`.
        host: address to listen on; None: GRADIO_SERVER_NAME, else this machine only.
        port: None: GRADIO_SERVER_PORT, else the first free one from 7860.
        block: stay until Ctrl-C; else return at once, and the caller closes the page.

    Raises:
        ModelError: the catalogue is damaged.
        OSError: the port is taken.
    """
    stay_at_home()
    # Gradio asks matplotlib, where it is installed, for its backend at requests: this spares finding one out.
    os.environ.setdefault("MPLBACKEND", "agg")
    if "GRADIO_TEMP_DIR" not in os.environ:
        # A folder of its own, so that all that visitors left goes when the server does.
        os.environ["GRADIO_TEMP_DIR"] = folder = tempfile.mkdtemp(prefix="petseg-app-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    models = Models(segmenters, device=device, threads=threads)
    # Who comes before it is done waits for the same sessions, and no longer.
    threading.Thread(target=models.warm, name="petseg-warm", daemon=True).start()
    page = _assemble(models, limits)
    page.launch(
        server_name=host,
        server_port=port,
        prevent_thread_lock=True,
        quiet=True,
        theme=theme(),
        css=STYLE,
        favicon_path=front.favicon(),
        app_kwargs=front.app_options(page),
        footer_links=["api", "settings"],
        max_file_size=MAX_BYTES,
        state_session_capacity=limits.sessions,
        show_error=False,
        share=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        run_history=False,
        enable_monitoring=False,
    )
    print(f"petseg: the page is at {page.local_url}", flush=True)
    if block:
        # A server that is told to stop shall clean up as it does after Ctrl-C.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        page.block_thread()
    return page
