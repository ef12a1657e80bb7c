"""Numbered SQL of the shared tables; ``{schema}`` stands for the schema."""
