"""What a release names more than once: the version, and what the registry of scverse asks for."""

import re

import pytest
import yaml

import scdit

from .conftest import ROOT

# of version 2.0 of https://github.com/scverse/ecosystem-packages/blob/main/scripts/src/ecosystem_scripts/schema.json
REQUIRED = {
    "name", "description", "project_home", "documentation_home", "install", "license", "tags",
    "version", "category", "contact",
}  # fmt: skip


@pytest.fixture(scope="module")
def registered():
    file = ROOT / ".scverse" / "meta.yaml"
    if not file.is_file():
        pytest.skip("the source distribution has no entry for the registry")
    return yaml.safe_load(file.read_text())


def test_the_entry_of_the_registry_has_what_its_schema_needs(registered):
    assert set(registered) >= REQUIRED
    assert registered["category"] == "ecosystem"
    assert all(
        isinstance(registered[key], list) and registered[key] for key in ("tags", "contact")
    )


def test_the_version_is_the_same_everywhere(registered):
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"]
    newest = re.search(r"^## \[?v?(\d[^\]\s]*)", (ROOT / "CHANGELOG.md").read_text(), re.M)[1]
    assert scdit.__version__ == cited == registered["version"].removeprefix("v") == newest
