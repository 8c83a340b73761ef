"""The search for patterns: paths of merges, symmetries, and what judges their candidates."""
