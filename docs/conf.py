from importlib.metadata import version as installed_version

from scdit.tl._challenge import CHALLENGE
from scdit.tl._effect_metrics import EFFECT_METRICS
from scdit.tl._metrics import METRICS

project = "scdit"
author = "scdit developers"
copyright = "2026, scdit developers"
release = version = installed_version("scdit")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
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

# Notebooks are committed with their outputs
nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath", "substitution"]
myst_heading_anchors = 3


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

html_theme = "sphinx_book_theme"
html_title = "scdit"
html_static_path = ["_static"]
html_css_files = ["cards.css"]
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
