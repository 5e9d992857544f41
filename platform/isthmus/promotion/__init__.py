"""Which trial goes to production, with what evidence, and how it is used from there."""
