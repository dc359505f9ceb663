"""Serve the OpenStack Glance project's service; run by the Python that it is installed for.

What it is configured by stands in the directory that ``OS_GLANCE_CONFIG_DIR`` names.
"""

import sys

from glance.wsgi.api import application
from waitress import serve

serve(application, listen=f"127.0.0.1:{sys.argv[1]}", threads=4)
