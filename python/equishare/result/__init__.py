"""The answer: what was found, how sure it is, and where it came from."""
