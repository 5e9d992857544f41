"""Floor 0: errors, ports, seeds, digests and safe file writing. Imports nothing of isthmus."""
