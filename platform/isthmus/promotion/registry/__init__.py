"""Rules over a registry: names of versions, aliases, and who was champion."""
