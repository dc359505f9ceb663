"""Sphinx configuration of the manual and the man pages."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "_ext")]

import program_options  # noqa: E402

project = "Glance on Twisted"
author = "the Glance on Twisted developers"
release = re.search(r'"([^"]+)"', (ROOT / "glance" / "__init__.py").read_text().split("=")[1])[1]
version = release
extensions = ["program_options"]
exclude_patterns = ["_build", "_ext"]
highlight_language = "none"
html_theme = "alabaster"
html_theme_options = {"page_width": "70em", "description": f"version {release}"}
html_show_copyright = False
man_pages = program_options.man_pages(author)
