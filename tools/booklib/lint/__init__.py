"""The rules that every chapter keeps."""

from booklib.lint.run import lint_book, lint_pages

__all__ = ["lint_book", "lint_pages"]
