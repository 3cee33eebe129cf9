"""Two kinds of people in one population."""
