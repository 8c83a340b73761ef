"""Discovery for models: propose patterns, select on the validation samples, refit."""
