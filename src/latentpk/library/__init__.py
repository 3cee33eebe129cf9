"""Published models as data, each with its citation, and the one resolver of model names."""

GENERAL = "general"  # the model of many drugs: fine-tuned on a study before it answers
