"""Questions about other processes, answered by /proc."""

from __future__ import annotations

from pathlib import Path


def is_alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    facts = _facts(pid)
    return bool(facts) and facts[0] != "Z"


def children_of(pid: int) -> list[int]:
    """Every process below ``pid``, however deep."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        facts = _facts(int(folder.name))
        if facts and int(facts[1]) == pid:
            found += [int(folder.name), *children_of(int(folder.name))]
    return found


def _facts(pid: int) -> list[str]:
    """State, parent and so on; nothing if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
