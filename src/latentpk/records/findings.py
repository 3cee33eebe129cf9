"""What reading a table found: problems that refuse it, notices that are printed."""

from collections.abc import Callable

import numpy as np

from latentpk.errors import InputError, Problem
from latentpk.records.table import SHOWN, Table


class Findings:
    """Collects every problem of a table, so that one error can name them all.

    A cell is blamed once: a text in AMT is not blamed again as a dose without an amount.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self.problems: list[Problem] = list(table.problems)
        self.notices: list[str] = list(table.notices)
        self._blamed: dict[str, np.ndarray] = {}

    def add(self, where: str, found: str, rule: str, mend: str) -> None:
        """A problem of the whole table or of a column."""
        self.problems.append(Problem(where, found, rule, mend))

    def notice(self, text: str) -> None:
        """A choice or an oddity to print."""
        self.notices.append(text)

    def flag(
        self, bad: np.ndarray, column: str, found: str | Callable[[int], str], rule: str, mend: str
    ) -> None:
        """One problem for each record where `bad` is true.

        Args:
            bad: Which records break the rule, shape (row,).
            column: The column to blame.
            found: What was found, or a function of the row; "{}" stands for the cell's text.
            rule: The rule.
            mend: The mend.
        """
        blamed = self._blamed.setdefault(column, np.zeros(len(self.table), bool))
        rows = np.flatnonzero(bad & ~blamed)
        blamed[rows] = True
        for row in rows[:SHOWN]:
            told = found(int(row)) if callable(found) else found
            told = told.replace("{}", f"'{self.table.cell(int(row), column)}'")
            self.add(f"{self.table.place(int(row))}, column {column}", told, rule, mend)
        if len(rows) > SHOWN:
            self.add(f"column {column}", f"{len(rows) - SHOWN} more such records", rule, mend)

    def blamed(self, column: str) -> np.ndarray:
        """Records of `column` that were already blamed, shape (row,)."""
        return self._blamed.get(column, np.zeros(len(self.table), bool))

    def settle(self) -> None:
        """Raise one InputError if there was any problem."""
        if self.problems:
            raise InputError(self.problems, source=self.table.name)
