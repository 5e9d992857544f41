"""Floor 0: the experiment's settings, their one addressing language, presets and loading."""
