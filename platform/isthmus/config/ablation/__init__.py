"""The language of `ablations/`: one question a file, its factors, its contrasts."""
