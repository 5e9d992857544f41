"""Floor 8: parse, wire backends to ports, print. No logic."""
