"""What users call: simulate, fit, forecast; the public classes that own a trained model."""

from latentpk import precision as precision  # float64 before any array
