"""The examples in docstrings run."""

import doctest
import inspect
import re
import warnings
from importlib import import_module

import pytest

import scdit

from .test_pages import files, given, needs_annbatch  # noqa: F401

# they name cells that the fixtures do not have, and are tested with the tasks that they show
OTHER_CELLS = {
    "SCDiT.predict_modality",
    "SCDiT.setup_mudata",
    "pl.power",
    "tl.power",
}
# they read files, and need annbatch
FILES = {"SCDiT.setup_annbatch"}
MODULES = ("tl", "pl", "datasets", "diffusion", "nn", "codec")
TASKS = (
    "decode", "denoising_path", "differential_expression", "generate", "get_elbo",
    "get_latent_representation", "get_likelihood_parameters", "get_normalized_expression",
    "get_reconstruction_error", "interpolate", "load", "posterior_predictive_sample",
    "predict_modality", "save", "setup_annbatch", "setup_anndata", "setup_mudata", "train", "translate",
)  # fmt: skip


def documented() -> dict[str, object]:
    """Public classes and functions of the modules, and methods of the model.

    Constants are left out: an int has the docstring of the class int, with examples of its own.
    """
    found = {f"SCDiT.{name}": getattr(scdit.SCDiT, name) for name in TASKS}
    for module in MODULES:
        content = import_module(f"scdit.{module}")
        for name in content.__all__:
            thing = getattr(content, name)
            if inspect.isclass(thing) or inspect.isroutine(thing):
                found[f"{module}.{name}"] = thing
    return found


def is_protocol(thing) -> bool:
    """Whether a class only lists methods: nobody makes one, and its docstring names a class that has them."""
    return getattr(thing, "_is_protocol", False)


def examples(thing) -> list[str]:
    """Code of the examples in a docstring."""
    return [
        part.source for part in doctest.DocTestParser().get_examples(inspect.getdoc(thing) or "")
    ]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=needs_annbatch) if name in FILES else name
        for name, thing in documented().items()
        if name not in OTHER_CELLS and examples(thing)
    ],
)
def test_examples_of_docstrings_run(name, given):  # noqa: F811
    import numpy
    import torch

    if name in FILES:
        files(given)
    names = {**given, "numpy": numpy, "torch": torch}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cells this few are warned of
        for code in examples(documented()[name]):
            code = code.replace("n_genes=200", "n_genes=10")
            exec(compile(code, f"example of {name}", "exec"), names)


@pytest.mark.parametrize(
    "name", [n for n, thing in documented().items() if not is_protocol(thing)]
)
def test_each_class_and_function_has_an_example(name):
    assert examples(documented()[name])


@pytest.mark.parametrize("name", documented())
def test_parameters_with_one_text_share_a_reference_only(name):
    """The page gives each parameter of a joint entry the whole text of the entry."""
    text = inspect.getdoc(documented()[name]) or ""
    parameters = re.search(
        r"^Parameters\n-+\n(.*?)(\n\n\S[^\n]*\n---|\Z)", text, re.DOTALL | re.MULTILINE
    )
    joint = re.findall(r"^(\S.*, .*)\n {4}(.*)", parameters[1] if parameters else "", re.MULTILINE)
    assert [names for names, about in joint if not about.startswith(("As in :", "See :"))] == []
