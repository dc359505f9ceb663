"""Sphinx configuration of the manual and the man pages."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]

project = "Glance on Twisted"
author = "the Glance on Twisted developers"
release = re.search(r'"([^"]+)"', (ROOT / "glance" / "__init__.py").read_text().split("=")[1])[1]
version = release
exclude_patterns = ["_build"]
highlight_language = "none"
html_theme = "alabaster"
html_theme_options = {"page_width": "70em", "description": f"version {release}"}
html_show_copyright = False
man_pages = [
    ("cli/glance-api", "glance-api", "serve machine images over the Image API v2", author, 1),
    ("cli/glance-manage", "glance-manage", "manage the image catalogue's database", author, 1),
]
