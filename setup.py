"""What pyproject.toml cannot say: the package's description is the README, with links that work on a package index."""

import re
from pathlib import Path

from setuptools import setup

# The address of the repository's files, with a slash at the end. It has no public address yet.
HOME = ""


def described(readme: str) -> str:
    """The README with absolute links; without an address, links and pictures that lead to files are plain text."""
    if HOME:
        return re.sub(r"\]\((?![a-z]+:|#)", f"]({HOME}", readme)
    without_pictures = re.sub(r"!\[[^\]]*\]\((?![a-z]+:)[^)]*\)\n*", "", readme)
    return re.sub(r"\[([^\]]*)\]\((?![a-z]+:|#)[^)]*\)", r"\1", without_pictures)


setup(
    long_description=described(Path(__file__).with_name("README.md").read_text(encoding="utf-8")),
    long_description_content_type="text/markdown",
)
