"""Result tables as CSV text that a spreadsheet opens without running anything."""

import polars as pl

_FORMULA = r"^[=+\-@\t\r]"
_NUMBER = r"^[+\-]?(\d+\.?\d*|\.\d+)([eE][+\-]?\d+)?$"


def csv_text(table: pl.DataFrame) -> str:
    """Write a table as CSV text.

    A text cell that a spreadsheet would run as a formula (it starts with = + - @ and is no
    number) gets a leading apostrophe; numbers are left alone.

    Args:
        table: Any table.

    Returns:
        CSV text with a header.

    Example:
        >>> csv_text(pl.DataFrame({"ID": ["-1", "=1+1"]})).split()
        ['ID', '-1', "'=1+1"]
    """
    return table.with_columns(
        pl.when(_runs(pl.col(name)))
        .then(pl.lit("'") + pl.col(name))
        .when(pl.col(name) != "")  # an empty text is an empty cell, without quotes
        .then(pl.col(name))
        .alias(name)
        for name, kind in table.schema.items()
        if kind == pl.String
    ).write_csv()


def _runs(text: pl.Expr) -> pl.Expr:
    return text.str.contains(_FORMULA) & ~text.str.contains(_NUMBER)
