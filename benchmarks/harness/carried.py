"""Figures that outlive their cells: what results.json held of cells that are not here any more.

The files of cells are large and not kept with the sources.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def stored(path: Path, protocol: dict[str, Any]) -> Row:
    """The results.json there was; empty where there was none, or of another protocol."""
    before: Row = json.loads(path.read_text()) if path.is_file() else {}
    return before if before.get("protocol") == protocol else {}


def carried(
    before: Row,
    table: Sequence[Row],
    costs: Sequence[Row],
    *,
    row_at: Sequence[str],
    cost_at: Sequence[str],
) -> tuple[list[Row], list[Row]]:
    """Put what there was beside what is here.

    A row of new cells takes the place of one of fewer or as many seeds.

    Args:
        before: From `stored`.
        table: The rows of the cells that are here.
        costs: What these cost.
        row_at: Keys that say which row one is.
        cost_at: Keys that say which cost one is.

    Returns:
        Rows and costs of both, old rows marked `carried`.
    """

    def keyed(rows: Sequence[Row], names: Sequence[str]) -> dict[tuple[Any, ...], Row]:
        return {tuple(row[name] for name in names): row for row in rows}

    new = keyed(table, row_at)
    old = {
        at: {**row, "carried": True} for at, row in keyed(before.get("table", ()), row_at).items()
    }
    kept = {at: row for at, row in old.items() if not _replaces(new.get(at), row)}
    both = keyed(before.get("costs", ()), cost_at) | keyed(costs, cost_at)
    return [*(new | kept).values()], [*both.values()]


def _replaces(new: Row | None, old: Row) -> bool:
    return new is not None and len(new.get("seeds", ())) >= len(old.get("seeds", ()))
