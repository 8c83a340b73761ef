"""The search for patterns: paths of merges and symmetries propose candidates, the evidence or training judges them."""
