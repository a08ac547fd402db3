"""The documentation site. `make docs` builds it and takes every warning for an error.

Its source is the whole repository, so that a link works on the site as in a plain view of the
files.
"""

import sys
from pathlib import Path

from docutils import nodes
from pygments.lexers.special import TextLexer
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.highlighting import lexers

import twofold

sys.path.insert(0, str(Path(__file__).parent))

from command_help import CommandHelp

project = "Twofold"
author = "the Twofold authors"
project_copyright = f"{author}, MIT licence"
release = version = twofold.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "docs/index"
include_patterns = ["docs/*.md", "comparisons/*.md"]
exclude_patterns = [".venv", "build"]
myst_heading_anchors = 4

default_role = "code"  # docstrings mark code as Markdown does
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_type_aliases = {"Ladder": "Ladder"}
maximum_signature_line_length = 88

lexers["csv"] = TextLexer()  # Pygments has none
html_theme = "furo"
html_title = "Twofold"
templates_path = ["_templates"]
html_additional_pages = {"index": "to_start.html"}


def setup(app: Sphinx) -> None:
    """Add what only this site needs."""
    app.add_directive("command-help", CommandHelp)
    app.connect("doctree-read", unlink_folders)


def unlink_folders(app: Sphinx, page: nodes.document) -> None:
    """Make links to folders of the repository plain text: the site has no page for a folder."""
    here = Path(app.env.doc2path(app.env.docname)).parent
    for link in list(page.findall(pending_xref)):
        if (here / link["reftarget"]).is_dir():
            link.replace_self(link.children)
