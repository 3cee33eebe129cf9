"""Units of a file's columns and the factors that bring them to h, mg, mg/L, kg."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Units:
    """Declared units by column; anything not declared is internal."""

    declared: Mapping[str, str] = field(default_factory=dict)
