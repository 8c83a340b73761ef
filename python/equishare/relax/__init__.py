"""The relaxed search: soft assignments, the objective they are descended on, and the descents."""
