"""Package the image service: console programs, twistd plugins, sample configuration."""

import re
from glob import glob
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "([^"]+)"$', (HERE / "glance" / "__init__.py").read_text(), re.M
).group(1)


def requirements(name):
    """Return the requirement lines of a file, without comments."""
    lines = (line.split("#")[0].strip() for line in (HERE / name).read_text().splitlines())
    return [line for line in lines if line]


setup(
    name="txglance",
    version=VERSION,
    description="The OpenStack Image service on Twisted",
    long_description=(HERE / "README.rst").read_text(),
    long_description_content_type="text/x-rst",
    license="Apache-2.0",
    python_requires=">=3.11",
    # twisted.plugins has no __init__.py anywhere: it is Twisted's own plug-in folder.
    packages=[*find_packages(include=["glance", "glance.*"]), "twisted.plugins"],
    package_data={"glance": ["py.typed"]},
    # Where glance.config.metadefs looks for them.
    data_files=[("etc/glance/metadefs", sorted(glob("conf/metadefs/*.json", root_dir=HERE)))],
    install_requires=requirements("requirements.txt"),
    extras_require={
        "postgresql": ["psycopg[binary]>=3.2"],
        "mysql": ["PyMySQL>=1.1"],
        "clouds": ["openstacksdk>=4.4"],
        "test": [
            "pytest>=8.4",
            "pytest-xdist>=3.6",
            "hypothesis>=6.131",
            "requests>=2.32",
            "schemathesis>=4.32,<5",
            "psycopg[binary]>=3.2",
            "PyMySQL>=1.1",
            "openstacksdk>=4.4",
            "sphinx>=7",
        ],
        "lint": ["ruff", "mypy", "mypy-zope", "import-linter", "types-PyMySQL"],
        "docs": ["sphinx>=7"],
    },
    entry_points={
        "console_scripts": [
            "glance-api = glance.cmd.api:main",
            "glance-manage = glance.cmd.manage:main",
            "glance-control = glance.cmd.control:main",
            "glance-scrubber = glance.cmd.scrubber:main",
            "glance-status = glance.cmd.status:main",
            "glance-cache = glance.cmd.cache:main",
            "glance-cache-cleaner = glance.cmd.cache_cleaner:main",
            "glance-cache-pruner = glance.cmd.cache_pruner:main",
            "glance-cache-prefetcher = glance.cmd.cache_prefetcher:main",
            "glance-cache-manage = glance.cmd.cache_manage:main",
            "glance-replicator = glance.cmd.replicator:main",
        ],
        # For the tools of oslo.policy, such as oslopolicy-sample-generator.
        "oslo.policy.policies": ["glance = glance.identity.rules:list_rules"],
    },
    classifiers=[
        "Framework :: Twisted",
        "Environment :: OpenStack",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Typing :: Typed",
    ],
    # Editable installs by import hook hide the folder twisted/plugins from Twisted.
    options={"editable_wheel": {"mode": "compat"}},
    zip_safe=False,
)
