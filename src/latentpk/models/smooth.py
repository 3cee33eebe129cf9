"""Regressors that are a formula: the mean, a ridge regression, a Gaussian process."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from latentpk.errors import ArtifactError


@dataclass(frozen=True, eq=False)
class Linear:
    """An affine map; without columns it is the mean.

    Attributes:
        slope: Of each column, shape (column, target).
        level: Where all columns are 0, shape (target,).
    """

    slope: Float[np.ndarray, "column target"]
    level: Float[np.ndarray, " target"]

    def predict(self, x: Float[np.ndarray, "row column"]) -> Float[np.ndarray, "row target"]:
        """The map's values."""
        return x @ self.slope + self.level

    def to_arrays(self) -> dict[str, np.ndarray]:
        """By name."""
        return {"slope": self.slope, "level": self.level}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], *, columns: int, targets: int) -> "Linear":
        """Check and take stored arrays.

        Raises:
            ArtifactError: A wrong shape or type, or not finite.
        """
        check_arrays(arrays, {"slope": (columns, targets), "level": (targets,)}, "linear map")
        return cls(arrays["slope"], arrays["level"])


@dataclass(frozen=True, eq=False)
class GaussianProcess:
    r"""The mean of a Gaussian process with an exponential covariance (Matérn 1/2).

    .. math:: f_t(x) = \sum_i a_{it} e^{-\lVert x - x_i \rVert / \ell_t}

    Attributes:
        support: Training rows, shape (support, column).
        dual: Their coefficients, shape (support, target).
        length: Of correlation, shape (target,).
    """

    support: Float[np.ndarray, "support column"]
    dual: Float[np.ndarray, "support target"]
    length: Float[np.ndarray, " target"]

    def predict(self, x: Float[np.ndarray, "row column"]) -> Float[np.ndarray, "row target"]:
        """The process's means, block by block."""
        blocks = np.array_split(x, max(len(x) // 1024, 1))
        return np.concatenate([self._block(block) for block in blocks])

    def _block(self, x: np.ndarray) -> np.ndarray:
        squared = (x**2).sum(1)[:, None] + (self.support**2).sum(1) - 2 * x @ self.support.T
        apart = np.sqrt(np.maximum(squared, 0))
        columns = [
            np.exp(-apart / length) @ dual
            for length, dual in zip(self.length, self.dual.T, strict=True)
        ]
        return np.stack(columns, axis=1)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """By name."""
        return {"support": self.support, "dual": self.dual, "length": self.length}

    @classmethod
    def from_arrays(
        cls, arrays: dict[str, np.ndarray], *, columns: int, targets: int
    ) -> "GaussianProcess":
        """Check and take stored arrays.

        Raises:
            ArtifactError: A wrong shape or type, not finite, or a length that is not positive.
        """
        rows = len(arrays["support"]) if "support" in arrays and arrays["support"].ndim else 0
        shapes = {"support": (rows, columns), "dual": (rows, targets), "length": (targets,)}
        check_arrays(arrays, shapes, "Gaussian process")
        if not (arrays["length"] > 0).all():
            raise ArtifactError("The Gaussian process has a length that is not positive.")
        return cls(arrays["support"], arrays["dual"], arrays["length"])


def check_arrays(
    arrays: dict[str, np.ndarray], shapes: dict[str, tuple[int, ...]], what: str
) -> None:
    """Refuse stored arrays that are not as they must be.

    Args:
        arrays: By name.
        shapes: The shape of each; all are float64.
        what: They belong to.

    Raises:
        ArtifactError: Naming every fault.
    """
    faults = [f"{name} is missing" for name in shapes.keys() - arrays.keys()]
    faults += [f"{name} is unknown" for name in arrays.keys() - shapes.keys()]
    for name in shapes.keys() & arrays.keys():
        have = arrays[name]
        if have.shape != shapes[name] or have.dtype != np.float64:
            faults.append(f"{name} is {have.dtype}{have.shape}, not float64{shapes[name]}")
        elif not np.isfinite(have).all():
            faults.append(f"{name} holds a value that is not finite")
    if faults:
        raise ArtifactError(
            f"The arrays of the {what} do not fit: {'; '.join(sorted(faults))}. "
            "The folder is damaged or from another version: fit the model again."
        )
