"""The documentation site: ``make docs`` builds it, into ``docs/_build/html``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "_ext"))

project = "OptiProxy-NAS"
author = copyright = "the authors of OptiProxy-NAS"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "generated_pages",
]
exclude_patterns = ["_build", "_ext", "images", "README.md", "generated/parameters.md"]
templates_path: list[str] = []

html_theme = "furo"
html_title = "OptiProxy-NAS"
html_static_path: list[str] = []
html_theme_options = {
    "source_edit_link": "",
    "top_of_page_buttons": [],
    "light_css_variables": {"color-brand-primary": "#1f5fa8", "color-brand-content": "#1f5fa8"},
    "dark_css_variables": {"color-brand-primary": "#7fb4f0", "color-brand-content": "#7fb4f0"},
}

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
# ``make docs`` runs the notebooks and shows what they gave; without it they are shown as they are.
nb_execution_mode = "cache" if "OPTIPROXY_RUN_NOTEBOOKS" in os.environ else "off"
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_output_stderr = "remove"  # progress bars
suppress_warnings = ["myst.header"]

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
