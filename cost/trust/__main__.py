"""``python -m cost.trust``: kill, tamper and mislead, and write down what came of it.

Without arguments all of it, in some 20 minutes; ``--quick`` a sample. ``--part`` runs one part,
``--case N`` one case of its drawn ones, whose folder stays where something is wrong.
``--write docs/trust.md`` puts the tables into the page. The exit code is 1 where something is lost,
wrong or accepted.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from cost.trust.parts import PARTS, Options, table
from cost.trust.projects import templates
from evidence.pages import update_page


def main(given: list[str] | None = None) -> int:
    """Run the parts that are asked for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m cost.trust")
    parser.add_argument("--quick", action="store_true", help="a sample of each part")
    parser.add_argument("--part", choices=PARTS, action="append", help="only this one")
    parser.add_argument("--case", type=int, help="only the case of this number")
    parser.add_argument("--subject", default="", help="of what is killed: only this one")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="killed at a time")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables into this page")
    arguments = parser.parse_args(given)
    page = arguments.write and arguments.write.absolute()  # what is tried changes the folder
    folder = Path(tempfile.mkdtemp(prefix="optiproxy-trust-")).resolve()
    folder.chmod(0o755)  # another user is to see it
    made = templates(folder / "templates")
    options = Options(arguments.quick, arguments.case, arguments.subject, arguments.jobs)
    is_wrong = False
    for name in arguments.part or PARTS:
        rows = PARTS[name](folder / name, made, options)
        text = table(rows)
        print(text, flush=True)
        is_wrong |= any(row.wrong for row in rows)
        if page:
            update_page(page, page, {f"trust-{name}": text})
    if not is_wrong:
        shutil.rmtree(folder)
    return int(is_wrong)


if __name__ == "__main__":
    sys.exit(main())
