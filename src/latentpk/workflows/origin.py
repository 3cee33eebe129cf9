"""Where a model came from that was not fitted from nothing."""

from typing import Literal

from latentpk.library.card import LibraryModel
from latentpk.models.config import Frozen


class Kept(Frozen):
    """A decoder that nobody chose: it is the published model's.

    Attributes:
        decoder: The published structure.
        route: Where doses of undecided route go.
        prior: Always "published".
    """

    decoder: str
    route: Literal["iv", "oral"]
    prior: Literal["published"]

    def __str__(self) -> str:
        return f"{self.decoder}, published prior, undecided doses {self.route}"


class Origin(Frozen):
    """The model that another was distilled, adapted or fine-tuned from.

    Attributes:
        how: "distilled", "adapted" to local data, or "fine-tuned" on a small study.
        source: What the user called the source.
        sha256: Of the source.
        published: The published model at the root, None where there is none: its covariate
            ranges, salt factor, renal function and design hold for what comes of it.
    """

    how: Literal["distilled", "adapted", "fine-tuned"]
    source: str
    sha256: str
    published: LibraryModel | None = None

    @property
    def sentence(self) -> str:
        """What an answer cites."""
        root = "" if self.published is None else f"; {self.published.source.citation}"
        return f"{self.how} by latentpk from {self.source}{root}"
