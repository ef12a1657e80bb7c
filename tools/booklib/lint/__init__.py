"""The rules that every chapter keeps."""

from booklib.lint.run import lint_book

__all__ = ["lint_book"]
