"""A benchmark as a list of seeded cells: each is written when done and skipped on restart."""

import hashlib
import json
import os
import re
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness.command import EVERYTHING, Choice, say
from benchmarks.harness.machine import commit

Result = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """One piece of a benchmark that can be run, written and skipped on its own.

    Attributes:
        settings: What the cell does (cohort, n, seed, method, ...): JSON values only.
    """

    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The settings' values joined, safe as a file name."""
        joined = "_".join(str(value) for value in self.settings.values())
        return re.sub(r"[^A-Za-z0-9._-]+", "-", joined)


@dataclass(frozen=True)
class Ledger:
    """Where the cells of one task are kept.

    Attributes:
        folder: The task's folder; cells go to `folder/cells`.
        protocol: Anything that, when changed, makes finished cells stale.
    """

    folder: Path
    protocol: Mapping[str, Any]

    def path(self, cell: Cell) -> Path:
        """The cell's file."""
        return self.folder / "cells" / f"{cell.name}.json"

    def fingerprint(self, cell: Cell) -> str:
        """Hash of the protocol and the cell's settings: 16 hexadecimal digits."""
        text = json.dumps([dict(self.protocol), dict(cell.settings)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def read(self, cell: Cell) -> Result | None:
        """The finished cell, or None where it is absent, unreadable or of another protocol."""
        try:
            found = json.loads(self.path(cell).read_text())
        except (OSError, json.JSONDecodeError):
            return None
        return found if found.get("fingerprint") == self.fingerprint(cell) else None

    def write(self, cell: Cell, result: Result, seconds: float) -> Result:
        """Keep a finished cell; a kill at any instant leaves the old file or the new one."""
        record = {
            "fingerprint": self.fingerprint(cell),
            "settings": dict(cell.settings),
            "seconds": round(seconds, 3),
            "commit": commit(),
            "result": result,
        }
        write_json(self.path(cell), record)
        return record


@dataclass(frozen=True)
class Outcome:
    """What a run of cells left behind.

    Attributes:
        records: Finished cells by name, those of earlier runs included.
        failed: Cell name to the last line of its error.
        planned: Number of cells planned.
    """

    records: dict[str, Result]
    failed: dict[str, str]
    planned: int

    def results(self) -> list[Result]:
        """Every finished cell's result with its settings merged in."""
        return [{**record["settings"], **record["result"]} for record in self.records.values()]

    def head(self) -> Result:
        """The part of results.json that every task has."""
        return {
            "cells_done": len(self.records),
            "cells_planned": self.planned,
            "cells_failed": self.failed,
            "seconds_of_all_cells": round(sum(r["seconds"] for r in self.records.values()), 1),
            "commits": sorted({record["commit"] for record in self.records.values()}),
        }


def run_cells(
    cells: Sequence[Cell],
    work: Callable[[Cell], Result],
    *,
    ledger: Ledger,
    choice: Choice = EVERYTHING,
) -> Outcome:
    """Run the chosen cells that are not done yet, in order, until the budget is spent.

    A cell that raises is reported and left undone: the others go on.

    Args:
        cells: The plan.
        work: Cell to result (JSON values).
        ledger: Where finished cells are kept.
        choice: Which cells, how long, and whether finished ones are run again.

    Returns:
        Every finished cell of the plan, whichever run finished it.
    """
    begun, records, failed = time.monotonic(), {}, {}
    for position, cell in enumerate(cells, start=1):
        kept = ledger.read(cell)
        wanted = choice.wants(dict(cell.settings)) and (kept is None or choice.again)
        if wanted and time.monotonic() - begun < choice.budget:
            kept = _attempt(cell, work, ledger, failed) or kept
            state = f"FAILED {failed[cell.name]}" if cell.name in failed else "done"
            say(f"[{position}/{len(cells)}] {cell.name}: {state}")
        if kept is not None:
            records[cell.name] = kept
    return Outcome(records=records, failed=failed, planned=len(cells))


def _attempt(
    cell: Cell, work: Callable[[Cell], Result], ledger: Ledger, failed: dict[str, str]
) -> Result | None:
    begun = time.perf_counter()
    try:
        return ledger.write(cell, work(cell), time.perf_counter() - begun)
    except Exception as error:  # noqa: BLE001 - a benchmark reports whatever broke, and goes on
        traceback.print_exc()
        failed[cell.name] = f"{type(error).__name__}: {error}"[:300]
        return None


def write_json(path: Path, value: object) -> None:
    """Write JSON to a sibling file and rename it into place; NaN is refused."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text)
    partial.replace(path)
