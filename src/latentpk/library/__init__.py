"""Published models as data, each with its citation, and the one resolver of model names."""
