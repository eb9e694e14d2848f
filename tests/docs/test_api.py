"""Each public name is on an API page, from the templates alone: no page is built."""

import ast
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

import scdit

from .conftest import ROOT

TEMPLATE = ROOT / "docs" / "_templates" / "autosummary" / "module.rst"
MODULES = [name for name in scdit.__all__ if inspect.ismodule(getattr(scdit, name))]


def page_of(module) -> str:
    """The source of a module's API page, with the names that autosummary gives to the template."""
    jinja2 = pytest.importorskip("jinja2")
    if not TEMPLATE.is_file():
        pytest.skip("the documentation is only in the repository")
    content = {name: getattr(module, name) for name in module.__all__}
    environment = jinja2.Environment()
    environment.filters["underline"] = str
    return environment.from_string(TEMPLATE.read_text()).render(
        fullname=module.__name__,
        members=list(content),
        classes=[name for name, thing in content.items() if inspect.isclass(thing)],
        functions=[name for name, thing in content.items() if inspect.isroutine(thing)],
    )


def described_constants(package) -> set[str]:
    """Names that a text follows where they are defined, in the files of a package."""
    found = set()
    for path in Path(package.__file__).parent.glob("*.py"):
        body = ast.parse(path.read_text()).body
        for node, after in zip(body, body[1:], strict=False):
            is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if is_text and isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found |= {target.id for target in targets}
    return found


@pytest.mark.parametrize("name", MODULES)
def test_each_public_name_is_on_the_page_of_its_module(name):
    module = import_module(f"scdit.{name}")
    page = page_of(module)
    assert {n for n in module.__all__ if not re.search(rf"\b{n}\b", page)} == set()


@pytest.mark.parametrize("name", MODULES)
def test_each_constant_is_described(name):
    module = import_module(f"scdit.{name}")
    shown = re.findall(r"autodata:: [\w.]+\.(\w+)", page_of(module))
    assert set(shown) <= described_constants(module)


def test_each_module_has_a_page():
    page = ROOT / "docs" / "api.md"
    if not page.is_file():
        pytest.skip("the documentation is only in the repository")
    listed = re.findall(r"^   scdit\.(\w+)$", page.read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(scdit.__all__)
