import os
import sys
from importlib.metadata import metadata

import anndata
import matplotlib.axes
import mudata
import numpy as np
import pandas as pd
from docutils.nodes import SkipNode
from latex2mathml.converter import convert
from sphinx.pycode import ModuleAnalyzer

from scdit.tl._challenge import CHALLENGE
from scdit.tl._effect_metrics import EFFECT_METRICS
from scdit.tl._metrics import METRICS

project = "scdit"
author = "scdit developers"
copyright = "2026, scdit developers"
release = version = metadata("scdit")["Version"]

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_autodoc_typehints",
    "sphinx_copybutton",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "**.ipynb_checkpoints", "figures/*.md"]

# API pages list what each package names in __all__
autosummary_generate = True
autosummary_ignore_module_all = False
autosummary_imported_members = True
autodoc_member_order = "groupwise"
napoleon_google_docstring = False
napoleon_use_rtype = True
typehints_defaults = "comma"
# a "None" after examples would break their heading
typehints_document_rtype_none = False

# Every name that the pages refer to must exist; those of other packages are links where their
# indices can be read, which needs the network
nitpicky = True
if "READTHEDOCS" in os.environ:
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        name: (f"https://{address}/", None)
        for name, address in {
            "anndata": "anndata.readthedocs.io/en/stable",
            "matplotlib": "matplotlib.org/stable",
            "mudata": "mudata.readthedocs.io/stable",
            "numpy": "numpy.org/doc/stable",
            "pandas": "pandas.pydata.org/docs",
            "python": "docs.python.org/3",
            "scanpy": "scanpy.readthedocs.io/en/stable",
            "scipy": "docs.scipy.org/doc/scipy",
            "scvi": "docs.scvi-tools.org/en/stable",
            "torch": "docs.pytorch.org/docs/stable",
        }.items()
    }
_OTHERS = "anndata|annbatch|collections|joblib|matplotlib|mudata|numpy|os|pandas|pathlib|scanpy|scipy|scvi|sparse|torch|typing"
nitpick_ignore_regex = [
    (r"py:.*", rf"({_OTHERS})\..*"),
    (r"py:(class|data)", r"Ellipsis|MuData|Tensor"),
    # private classes, which are described where they are returned
    (r"py:class", r"scdit\..*\._.*"),
]
# the names that other packages document, which are not those of the modules that define the classes
_PUBLIC = {
    anndata.AnnData: "anndata.AnnData",
    matplotlib.axes.Axes: "matplotlib.axes.Axes",
    mudata.MuData: "mudata.MuData",
    np.random.Generator: "numpy.random.Generator",
    np.random.SeedSequence: "numpy.random.SeedSequence",
    pd.DataFrame: "pandas.DataFrame",
    pd.Series: "pandas.Series",
}


def typehints_formatter(annotation, config):
    """A link to a class by its public name; None for the default."""
    try:
        name = _PUBLIC.get(annotation)
    except TypeError:  # a hint that has no hash
        return None
    return None if name is None else f":class:`~{name}`"


def describe_returns(app, what, name, obj, options, lines):
    """Let a "Returns" section of plain sentences be a description, where numpydoc expects a type."""
    for i in range(len(lines) - 2):
        if lines[i : i + 2] != ["Returns", "-------"]:
            continue
        end = next((j - 1 for j in range(i + 3, len(lines)) if set(lines[j]) == {"-"}), len(lines))
        body = lines[i + 2 : end]
        if not body[1:] or not body[1].startswith(" "):
            lines[i + 2 : end] = [":", *(f"    {line}".rstrip() for line in body), ""]
        return


def describe_constants(app, what, name, obj, options, lines):
    """Give a constant the text below it in the private module that defines it."""
    if what != "data":
        return
    package, _, constant = name.rpartition(".")
    own = [module for module in sys.modules if module.startswith(f"{package}.")]
    for module in [package, *sorted(own)]:
        found = ModuleAnalyzer.for_module(module).find_attr_docs().get(("", constant))
        if found:
            lines[:] = found
            return


def write_formula(self, node):
    """Write a formula in a line as MathML, which browsers draw without a script."""
    self.body.append(convert(node.astext()))
    raise SkipNode


def write_display(self, node):
    """Write a formula on a line of its own."""
    self.body.append(f'<div class="formula">{convert(node.astext(), display="block")}</div>')
    raise SkipNode


def setup(app):
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", (write_formula, None), (write_display, None))
    app.connect("autodoc-process-docstring", describe_returns, priority=100)  # before napoleon
    # after napoleon, which takes what is before a colon for the type of a constant
    app.connect("autodoc-process-docstring", describe_constants, priority=900)


suppress_warnings = ["config.cache"]  # of functions among the settings

# the repository's address is not known yet, see "Release"
linkcheck_ignore = [r"https://github\.com/OWNER/"]

# Notebooks are committed with their outputs
nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath", "substitution"]
myst_heading_anchors = 3
myst_html_meta = {
    "description lang=en": "Generate single cells with a diffusion transformer: a scvi-tools model for "
    "AnnData and MuData."
}


def metrics_table(metrics):
    """A Markdown table of metrics."""
    rows = [
        f"| `{m.name}` | {m.about.replace('|', chr(92) + '|')} | {m.better} |" for m in metrics
    ]
    return "\n".join(["| metric | what it measures | better |", "|---|---|---|", *rows])


myst_substitutions = {
    "metrics": metrics_table(METRICS.values()),
    "effect_metrics": metrics_table([*EFFECT_METRICS, *CHALLENGE]),
}

html_math_renderer = "mathml"
html_theme = "sphinx_book_theme"
html_theme_options = {
    # the sidebar has a search field, so the bar at the top stays empty and is not shown
    "navbar_persistent": [],
    "repository_url": dict(url.split(", ") for url in metadata("scdit").get_all("Project-URL"))[
        "Source"
    ],
    "use_repository_button": True,
}
html_title = "scdit"
html_static_path = ["_static"]
html_css_files = ["scdit.css"]
html_logo = "_static/logo.svg"
html_favicon = "_static/favicon.svg"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
