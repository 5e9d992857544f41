"""What a model must show before it is promoted: the gates, their thresholds and their files."""
