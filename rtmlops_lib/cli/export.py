"""In the making."""

import typer

def export() -> None:
    """Export."""
