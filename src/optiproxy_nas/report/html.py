"""Pages from Jinja2 templates: one environment for all of them.

- ``render(template, **values)`` fills a template of ``report/templates``. Templates that end in
  ``.html.j2`` escape what they are given, those in ``.md.j2`` do not; a name that is missing is an
  error. Nothing here reads a clock: equal values give equal pages.
- ``base.html.j2`` is the page that others extend (blocks ``style``, ``head``, ``body``,
  ``scripts``), and ``macros.html.j2`` has its parts: ``figure``, ``picture``, ``table``, ``facts``
  and ``listing``.
- The filter ``data_uri`` turns PNG bytes into an address, so that a page is one file.
"""

from __future__ import annotations

import base64
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape


def render(template: str, **values: Any) -> str:
    """Return a template of ``report/templates`` filled with ``values``.

    Raises:
        jinja2.UndefinedError: the template uses a name that ``values`` lacks.
    """
    return environment().get_template(template).render(**values)


@cache
def environment() -> Environment:
    """Return the environment of all templates."""
    made = Environment(
        loader=PackageLoader("optiproxy_nas.report"),
        autoescape=select_autoescape(default=True, disabled_extensions=("md.j2", "css", "js")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["data_uri"] = data_uri
    return made


def data_uri(png: bytes) -> str:
    """Return PNG bytes as the address of a picture inside a page."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
