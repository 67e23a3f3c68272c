"""From raw files to data/split: decode, find duplicates, check, assign."""
