"""One model of many drugs: simulated, trained once, and fine-tuned on a small study."""
