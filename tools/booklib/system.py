"""``book/system.yaml``: chapters, diagram, checklist."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, model_validator

from booklib.paths import Layout

__all__ = ["Edge", "Part", "PlannedChapter", "System"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class PlannedChapter(_Frozen):
    """A chapter of the plan, written or not."""

    number: int
    stem: str
    title: str
    part: str


class ReadingPath(_Frozen):
    """A selection of chapters for one kind of reader."""

    name: str
    chapters: list[int]


class Part(_Frozen):
    """One box of the diagram, on a grid of 12 columns."""

    id: str
    label: str
    detail: str
    kind: str
    column: float
    row: int
    width: float
    badge: str = "right"
    chapters: list[int]


class Edge(_Frozen):
    """One arrow; ``at`` is the column of a vertical one."""

    source: str
    to: str
    at: float = 0.0
    label: str = ""
    shape: str = "vertical"

    @model_validator(mode="before")
    @classmethod
    def _from_is_a_keyword(cls, raw: dict[str, object]) -> dict[str, object]:
        if "from" in raw:
            raw = {**raw, "source": raw["from"]}
            del raw["from"]
        return raw


class ChecklistItem(_Frozen):
    """What stands at the end of a chapter."""

    chapter: int
    text: str


class System(_Frozen):
    """The system as the book draws it."""

    chapters: list[PlannedChapter]
    paths: list[ReadingPath]
    parts: list[Part]
    edges: list[Edge]
    checklist: list[ChecklistItem]

    @model_validator(mode="after")
    def _names_agree(self) -> System:
        numbers = {chapter.number for chapter in self.chapters}
        for chapter in self.chapters:
            if int(chapter.stem[:2]) != chapter.number:
                raise ValueError(f"chapter {chapter.number} is called {chapter.stem}")
        for path in self.paths:
            if not set(path.chapters) <= numbers:
                raise ValueError(f"path {path.name!r} names unknown chapters")
        ids = {part.id for part in self.parts}
        for part in self.parts:
            if not set(part.chapters) <= numbers:
                raise ValueError(f"part {part.id!r} names unknown chapters")
        for edge in self.edges:
            if not {edge.source, edge.to} <= ids:
                raise ValueError(f"edge {edge.source}-{edge.to} names unknown parts")
        if {item.chapter for item in self.checklist} != numbers:
            raise ValueError("the checklist needs one item a chapter")
        return self

    @cached_property
    def by_id(self) -> dict[str, Part]:
        """Return the parts by their id."""
        return {part.id: part for part in self.parts}

    @classmethod
    def read(cls, path: Path) -> System:
        """Read and check the file."""
        return cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))

    def written(self, layout: Layout) -> dict[int, str]:
        """Return number to file stem of the chapters whose source exists."""
        return {int(path.stem[:2]): path.stem for path in layout.sources()}

    def chapter_list(self, layout: Layout, folder: str = "../notebooks/") -> str:
        """Return the plan by parts; chapters not written yet are plain text."""
        written = self.written(layout)
        lines: list[str] = []
        part = ""
        for chapter in self.chapters:
            if chapter.part != part:
                part = chapter.part
                lines += ["", f"**{part}**", ""]
            lines.append(f"- {self._entry(chapter, written, folder)}")
        return "\n".join(lines).strip() + "\n"

    def path_list(self, layout: Layout, folder: str = "../notebooks/") -> str:
        """Return the reading paths."""
        written = self.written(layout)
        lines = []
        for path in self.paths:
            if len(path.chapters) == len(self.chapters):
                lines.append(f"- **{path.name}**: all chapters, in order.")
                continue
            steps, to_come = [], []
            for number in path.chapters:
                shown = f"{number:02d}"
                if number in written:
                    shown = f"[{shown}]({folder}{written[number]}.ipynb)"
                else:
                    to_come.append(shown)
                steps.append(shown)
            note = f"; {_joined(to_come)} (in preparation)" if to_come else ""
            lines.append(f"- **{path.name}**: {' → '.join(steps)}{note}.")
        return "\n".join(lines) + "\n"

    def checklist_text(self, number: int, layout: Layout) -> str:
        """Return the running checklist as it stands at the end of a chapter."""
        written = self.written(layout)
        titles = {chapter.number: chapter for chapter in self.chapters}
        lines = []
        for item in self.checklist:
            done = item.chapter <= number and item.chapter in written
            mark = "[x]" if done else "[ ]"
            here = " **← you are here**" if item.chapter == number else ""
            chapter = self._entry(titles[item.chapter], written, "")
            lines.append(f"- {mark} {item.text} · {chapter}{here}")
        return "\n".join(lines) + "\n"

    def _entry(
        self, chapter: PlannedChapter, written: dict[int, str], folder: str
    ) -> str:
        shown = f"{chapter.number:02d} {chapter.title}"
        if chapter.number in written:
            return f"[{shown}]({folder}{written[chapter.number]}.ipynb)"
        return f"{shown} (in preparation)"


def _joined(words: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
