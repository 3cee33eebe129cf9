"""Markdown of figures: tables, and how much of a benchmark is done."""

from collections.abc import Iterable
from typing import Any


def cells_done(found: dict[str, Any]) -> str:
    """How many cells of a task are done."""
    return f"{found['cells_done']} of {found['cells_planned']} cells are done."


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]]) + "\n"
