"""Tables and pictures of results; plain arrays in, no model code."""
