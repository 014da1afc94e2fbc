"""Puts the packages of the roles below `tributary/roles` in the wheel; pyproject.toml has the rest.

`api` or `jobs` as top-level packages would collide with those of other distributions. See
docs/decisions/0015-roles-inside-the-package.md.
"""

from setuptools import find_packages, setup

ROLES = ("ingest", "aggregator", "bridge", "api", "jobs")  # folders of the repository

setup(
    packages=[
        *find_packages(include=["tributary", "tributary.*"]),
        *(
            f"tributary.roles.{package}"
            for role in ROLES
            for package in find_packages(include=[role, f"{role}.*"])
        ),
    ],
    package_dir={f"tributary.roles.{role}": role for role in ROLES},
)
