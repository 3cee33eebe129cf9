"""Write docs/knowledge.md from the code: python docs/knowledge.py."""

from collections.abc import Sequence
from pathlib import Path

from latentpk.views import particle, patient
from latentpk.views.feature import Feature

HEAD = """# Prior knowledge

What is known before any measurement, as features of the knowledge view; `python docs/knowledge.py`
writes this page from the code. All features are dimensionless.
"""


def page() -> str:
    """The page as Markdown."""
    units = ", ".join(f"{name} [{unit}]" for name, unit in particle.PROPERTIES.items())
    return (
        f"{HEAD}\n## A patient\n\n{_table(patient.FEATURES)}\n## A nanoparticle\n\nOf {units}.\n\n"
        f"{_table(particle.FEATURES)}"
    )


def _table(features: Sequence[Feature]) -> str:
    reasons = any(feature.reason for feature in features)
    head = ["feature", "formula", *(["reason"] if reasons else []), "source"]
    rows = [
        [f.name, f"`{f.formula}`", *([f.reason] if reasons else []), f.source] for f in features
    ]
    lines = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]]) + "\n"


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(page(), encoding="utf-8")
