"""``python -m cost.trust``: kill, tamper and mislead, and write down what came of it.

Without arguments all of it, in some 20 minutes; ``--quick`` a sample. ``--part`` runs one part,
``--case N`` one case of its drawn ones, whose folder stays where something is wrong.
``--write docs/trust.md`` puts the table into the page. The exit code is 1 where something is lost,
wrong or accepted.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from cost.trust.parts import PARTS, Part, table
from cost.trust.projects import templates
from evidence.pages import update_page

MARKER = "trust"


def main(given: list[str] | None = None) -> int:
    """Run the parts that are asked for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m cost.trust")
    parser.add_argument("--quick", action="store_true", help="a sample of each part")
    parser.add_argument("--part", choices=PARTS, action="append", help="only this one")
    parser.add_argument("--case", type=int, help="only the case of this number")
    parser.add_argument("--subject", default="", help="of what is killed: only this one")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table into this page")
    arguments = parser.parse_args(given)
    folder = Path(tempfile.mkdtemp(prefix="optiproxy-trust-")).resolve()
    made = templates(folder / "templates")
    parts: list[Part] = []
    for name in arguments.part or PARTS:
        part = PARTS[name](folder / name, made, arguments.quick, arguments.case, arguments.subject)
        parts += part
    text = table(parts)
    print(text)
    if arguments.write is not None:
        update_page(arguments.write, arguments.write, {MARKER: text})
    return int(any(part.wrong for part in parts))


if __name__ == "__main__":
    sys.exit(main())
