"""Floor 1: images read, checked, stored once, normalised and compared."""
