"""Prior knowledge as named, cited features."""
