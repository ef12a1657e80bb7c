"""What the tools that make the book share."""
