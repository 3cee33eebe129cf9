"""What every task with bars does: run the chosen cells, write results.json, say what was met."""

from collections.abc import Callable
from typing import Any

from benchmarks.harness import command, machine
from benchmarks.harness.cells import Cell, Ledger, run_cells, write_json

Result = dict[str, Any]


def run_task(
    description: str,
    cells: list[Cell],
    work: Callable[[Cell], Result],
    *,
    ledger: Ledger,
    summarize: Callable[[list[Result]], Result],
) -> None:
    """Run the chosen cells and write results.json from every finished one.

    Args:
        description: Of the command line.
        cells: The plan.
        work: Cell to result (JSON values).
        ledger: Where cells are kept; its folder names the task.
        summarize: Finished results to what results.json holds, `bars` among it.
    """
    choice = command.parse(description)
    outcome = run_cells(cells, work, ledger=ledger, choice=choice)
    summary = summarize(outcome.results())
    head = {"task": ledger.folder.name, **outcome.head(), "protocol": dict(ledger.protocol)}
    write_json(ledger.folder / "results.json", {**head, "machine": machine.describe(), **summary})
    for bar in summary["bars"]:
        state = "met" if bar["met"] else "MISSED"
        command.say(f"{state:>8}  {bar['what']}: {bar['measured']} (bar {bar['bar']})")
