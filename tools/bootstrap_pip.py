"""Puts pip into a virtual environment that was made without it.

Debian splits ``ensurepip`` off from Python, so ``python3 -m venv`` fails there until python3-venv
is installed. This needs the standard library only: run it with the environment's own Python.
"""

from __future__ import annotations

import hashlib
import os
import runpy
import sys
import tempfile
import urllib.request
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

_INDEX = "https://pypi.org/simple"
_TIMEOUT_S = 30


class _Links(HTMLParser):
    """The targets of all links of a page of the simple index (PEP 503)."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.targets += [value for name, value in attrs if name == "href" and value]


def main() -> None:
    """Download the newest pip from the package index, check it, let it install itself."""
    index = os.environ.get("PIP_INDEX_URL") or _INDEX
    page = f"{index.rstrip('/')}/pip/"
    target = urljoin(page, _newest_wheel(_Links(_get(page).decode()).targets))
    url, checksum = urldefrag(target)
    content = _get(url)
    if checksum != "sha256=" + hashlib.sha256(content).hexdigest():
        raise SystemExit(f"{url} is damaged: its checksum differs")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / _file_name(url)
        path.write_bytes(content)
        sys.path.insert(0, str(path))
        sys.argv = ["pip", "install", "--quiet", "--no-index", str(path)]
        runpy.run_module("pip", run_name="__main__")


def _newest_wheel(targets: list[str]) -> str:
    """The link to the wheel of the highest final version; all of pip's wheels run anywhere."""
    wheels = {}
    for target in targets:
        name = _file_name(target)
        version = name.split("-")[1].split(".") if name.endswith("-py3-none-any.whl") else []
        if version and all(part.isdigit() for part in version):
            wheels[tuple(map(int, version))] = target
    if not wheels:
        raise SystemExit("the package index has no pip")
    return wheels[max(wheels)]


def _file_name(url: str) -> str:
    return unquote(urlsplit(url).path).rpartition("/")[2]


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:
        content: bytes = response.read()
    return content


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        raise SystemExit(f"pip cannot be downloaded: {error}") from None
