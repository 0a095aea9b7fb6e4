"""How the documentation is built: ``sphinx-build -n -W docs OUTPUT``, without the network."""

from __future__ import annotations

import importlib.metadata
from enum import Enum
from pathlib import Path

import attrs
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

HERE = Path(__file__).parent

project = "audiobatch"
author = "The audiobatch authors"
project_copyright = author
release = importlib.metadata.version("audiobatch")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build", "examples"]
nitpicky = True

# In a docstring, `Name` is a reference to whatever has that name.
default_role = "any"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
add_module_names = False  # each page is of one module
python_maximum_signature_line_length = 80
napoleon_numpy_docstring = False
napoleon_attr_annotations = True

myst_heading_anchors = 3

html_theme = "furo"
html_title = "audiobatch"
html_static_path = ["_static"]
html_css_files = ["audiobatch.css"]
html_copy_source = False
html_show_sourcelink = False

# What signatures and docstrings name of others. An inventory would have to come from the network at each build.
_PYTHON = {
    "collections.abc": (
        *("AsyncGenerator", "AsyncIterator", "Awaitable", "Callable", "Collection", "Generator", "Iterable"),
        *("Iterator", "Mapping", "Sequence"),
    ),
    "contextlib": ("aclosing",),
    "datetime": ("datetime",),
    "os": ("PathLike",),
    "ssl": ("SSLContext",),
    "threading": ("Event",),
}
ELSEWHERE = {
    f"{module}.{name}": f"https://docs.python.org/3/library/{module}.html#{module}.{name}"
    for module, names in _PYTHON.items()
    for name in names
} | {
    "ExceptionGroup": "https://docs.python.org/3/library/exceptions.html#ExceptionGroup",
    "httpx.BaseTransport": "https://www.python-httpx.org/advanced/transports/",
    "httpx.Client": "https://www.python-httpx.org/api/#client",
}
nitpick_ignore = [("py:class", "audiobatch._retry._T")]  # a type variable: there is nothing to say about it

_COLON = "\ue000"  # stands for a colon where napoleon is not to see one


def say_where_it_is(
    _: Sphinx, __: BuildEnvironment, node: pending_xref, shown: nodes.TextElement
) -> nodes.reference | None:
    """Link a name of the standard library, or of httpx, to its own documentation."""
    url = ELSEWHERE.get(node["reftarget"])
    return None if url is None else nodes.reference("", "", shown, internal=False, refuri=url)


def before_napoleon(_: Sphinx, what: str, __: str, of: object, ___: object, lines: list[str]) -> None:
    """Keep napoleon from two mistakes.

    Of a property it takes what stands before a colon for a type. And of a value, each argument is an
    attribute too, which can be referred to.
    """
    if what in ("property", "attribute", "data"):
        lines[:] = [line.replace(":", _COLON) for line in lines]
    elif isinstance(of, type) and attrs.has(of):
        lines[:] = ["Attributes:" if line == "Args:" else line for line in lines]


def after_napoleon(_: Sphinx, __: str, ___: str, ____: object, _____: object, lines: list[str]) -> None:
    """Put the colons back, and the type of each attribute beside its name."""
    attribute = 0
    for number, line in enumerate(lines):
        if line.startswith(".. attribute::"):
            attribute = number
        elif attribute and line.startswith("   :type:"):
            lines[attribute] += f"\n{line}"
            lines[number] = ""
    lines[:] = "\n".join(lines).replace(_COLON, ":").split("\n")


def show_members_of_enums(_: Sphinx, __: str, ___: str, of: object, *____: object) -> bool | None:
    """Show every member of an enum, also one that says all with its name."""
    return False if isinstance(of, Enum) else None


def draw_in_page(app: Sphinx, document: nodes.document, _: str) -> None:
    """Put the picture of the pipeline into the page itself, so that it follows the reader's choice of light or dark."""
    if app.builder.format != "html":
        return
    for image in list(document.findall(nodes.image)):
        if image["uri"].endswith("pipeline.svg"):
            drawing = (HERE / "pipeline.svg").read_text(encoding="utf-8")
            image.replace_self(nodes.raw("", f'<div class="drawing">{drawing}</div>', format="html"))


def show_both(_: Sphinx, document: nodes.document) -> None:
    """Beside a picture for light pages, put the one for dark pages; furo shows the one that fits."""
    for image in list(document.findall(nodes.image)):
        if image["uri"].endswith("-light.png"):
            dark = image.deepcopy()
            dark["uri"] = image["uri"].replace("-light.png", "-dark.png")
            image["classes"].append("only-light")
            dark["classes"].append("only-dark")
            image.parent.insert(image.parent.index(image) + 1, dark)


def link_names(app: Sphinx, document: nodes.document, page: str) -> None:
    """Lead from a name of ours in the text of a guide to the reference: the guides say just `` `Name` ``."""
    if page.startswith("api/"):
        return
    python = app.env.domains.python_domain
    for literal in list(document.findall(nodes.literal)):
        name = literal.astext().removesuffix("()")
        if isinstance(literal.parent, nodes.reference | nodes.title) or not (name[:1].isupper() or "." in name):
            continue
        found = python.find_obj(app.env, "", "", name, None, searchmode=1)
        if len(found) == 1:
            full, target = found[0]
            link = make_refnode(app.builder, page, target.docname, target.node_id, literal.deepcopy(), full)
            literal.replace_self(link)


def setup(app: Sphinx) -> None:
    """Connect all of these."""
    app.connect("missing-reference", say_where_it_is)
    app.connect("autodoc-process-docstring", before_napoleon, priority=400)
    app.connect("autodoc-process-docstring", after_napoleon, priority=600)
    app.connect("autodoc-skip-member", show_members_of_enums)
    app.connect("doctree-read", show_both, priority=400)  # before pictures are collected
    app.connect("doctree-resolved", draw_in_page)
    app.connect("doctree-resolved", link_names)
