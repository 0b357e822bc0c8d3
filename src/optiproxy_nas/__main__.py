"""``python -m optiproxy_nas``: ``kedro run`` where the package is installed, without a project.

``kedro package`` makes a wheel and an archive of the configuration, which ``--conf-source`` takes.
``python -m optiproxy_nas verify CRATE`` is ``kedro verify``, which needs no configuration.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

CONF, SOURCE = "conf", "--conf-source"


def main() -> None:
    """Run a pipeline in the working directory, with the configuration that is there or given."""
    os.environ.setdefault("KEDRO_DISABLE_TELEMETRY", "true")
    if not [*Path(CONF).glob("logging.*")]:  # Kedro's default tells of itself at each import
        os.environ.setdefault("KEDRO_LOGGING_CONFIG", str(Path(__file__).with_name("logging.yml")))
    try:
        from kedro.framework.project import configure_project

        configure_project("optiproxy_nas")
        from optiproxy_nas.cli import run  # it needs a configured project
        from optiproxy_nas.commands.crates import verify
    except MemoryError:
        raise SystemExit(
            "Error: the libraries need more memory than this process may take; 1.5 GB of address "
            "space (ulimit -v) suffice for them and a search."
        ) from None
    program = f"{Path(sys.executable).name} -m optiproxy_nas"
    if sys.argv[1:2] == [verify.name]:
        verify.main(sys.argv[2:], prog_name=f"{program} {verify.name}")
    given = any(argument.startswith(SOURCE) for argument in sys.argv[1:])
    if not (given or Path(CONF).is_dir() or "--help" in sys.argv):
        raise SystemExit(
            f"Error: there is no folder {CONF} in {Path.cwd()}. Work in a project's folder, or "
            f"give its configuration: {SOURCE}=conf-optiproxy_nas.tar.gz, which 'kedro package' "
            "writes beside the wheel; or the conf of a checkout."
        )
    run.main(prog_name=program)


if __name__ == "__main__":
    main()
