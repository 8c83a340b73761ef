"""The relaxed search: soft assignments, their objective, and its descent."""
