"""How far learned decoders err on regimens that nobody was trained on."""
