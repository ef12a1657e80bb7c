"""The references by key, as a chapter's notebook shows them."""

from __future__ import annotations

from pathlib import Path

from pybtex.database import parse_file

__all__ = ["read_citations"]


def read_citations(path: Path) -> dict[str, str]:
    """Return key to author and year, linked where the entry has an address."""
    if not path.is_file():
        return {}
    shown = {}
    for key, entry in parse_file(str(path)).entries.items():
        people = entry.persons.get("author") or entry.persons.get("editor") or []
        names = [" ".join(person.last_names) for person in people]
        if not names:
            who = entry.fields.get("title", key)
        elif len(names) > 2:
            who = f"{names[0]} et al."
        else:
            who = " and ".join(names)
        year = entry.fields.get("year", "")
        text = f"{who} {year}".strip().replace("{", "").replace("}", "")
        url = entry.fields.get("url", "")
        if not url and entry.fields.get("doi"):
            url = f"https://doi.org/{entry.fields['doi']}"
        shown[key] = f"[{text}]({url})" if url else text
    return shown
