"""Later levels of real subjects from their first ones, beside MAP and the population."""
