"""Where the book's parts lie in the repository."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT", "Layout"]

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Layout:
    """The folders of one repository; tests point it at a small one of their own."""

    root: Path = ROOT

    @property
    def book(self) -> Path:
        """Prose pages, data and figures."""
        return self.root / "book"

    @property
    def chapters(self) -> Path:
        """The chapters' sources."""
        return self.book / "chapters"

    @property
    def figures(self) -> Path:
        """Generated pictures and checklists."""
        return self.book / "figures"

    @property
    def notebooks(self) -> Path:
        """The chapters as readers open them."""
        return self.root / "notebooks"

    @property
    def build(self) -> Path:
        """Everything that git ignores."""
        return self.root / "_build"

    @property
    def staging(self) -> Path:
        """The copy of the book in which notebooks are executed."""
        return self.build / "staging"

    @property
    def html(self) -> Path:
        """The rendered book."""
        return self.build / "html"

    def sources(self) -> list[Path]:
        """Return the chapters' sources in order."""
        return sorted(self.chapters.glob("[0-9][0-9]_*.md"))

    def show(self, path: Path) -> str:
        """Return ``path`` as seen from the root, for messages."""
        try:
            return str(path.relative_to(self.root))
        except ValueError:
            return str(path)
