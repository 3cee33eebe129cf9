"""How good predictions are: scores, and whether two models differ."""
