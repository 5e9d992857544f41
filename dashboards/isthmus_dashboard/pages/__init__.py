"""The pages, each a function from an address to what stands on it."""
