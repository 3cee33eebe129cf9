"""Train the general model that is part of the package: python -m benchmarks.general.ship.

Half an hour on one core, from seed 0; a run that was cut off goes on where it stood. Nothing but
simulated studies is read.
"""

from pathlib import Path

import benchmarks.harness  # noqa: F401 - quick compilation, before anything imports jax
from benchmarks.harness.command import say
from latentpk.workflows.general.model import FOLDER
from latentpk.workflows.general.pretrain import PretrainSettings, pretrain

PARTIAL = Path(__file__).parent / "cells" / "general.partial"


def main() -> None:
    """Train with all defaults and write the folder."""
    general = pretrain(
        PretrainSettings(),
        progress=lambda done, total, label: say(f"{label}: {done} of {total}"),
        checkpoint=PARTIAL,
    )
    general.save(FOLDER)
    say(f"{FOLDER}: {general.card['training']}")


if __name__ == "__main__":
    main()
