"""Hooks of the documentation site: pages that live beside docs/, sections of methods and commands, formulas as MathML.

MathML is part of HTML: formulas need neither a script nor the network.
"""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
# Pages of the site by the files outside docs/ they are made from.
OUTSIDE = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "LICENSE": "license.md",
}
# What the sections of the methods, and of the commands, take the place of.
_METHODS = re.compile(r"<!-- a section for each method.*?-->")
_COMMANDS = re.compile(r"<!-- a section for each command.*?-->")
# What only the tests read.
_DIRECTIVE = re.compile(r"  # doctest: \+\w+$", re.MULTILINE)
# A notebook is a page of the site, and the file beside it.
_NOTEBOOK = re.compile(r"\]\((notebooks/\w+)\.ipynb\)")
_DOWNLOAD = """

Code alone: the answers appear when it runs. [Download]({name}) it, and run it with `jupyter lab {name}`.
"""
_SECTION = """## {name}

{table}
::: equishare.methods.{name}.Options
    options:
      members: false
      show_root_heading: false
      show_root_toc_entry: false

"""
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)

_ROLE = re.compile(r":(?:class|func|meth|mod|attr):(?=<code)")
# What browsers do not draw, or low, in the way the converter writes it.
_REWRITTEN = (
    (r"\\mathbf *1", "𝟏"),
    (r"\\mathcal ([A-Z])", r"\\mathcal{\1}"),
    (r"\\[lr]Vert", r"\\|"),
    (r"\\\n", r"\\ "),
    (r"\\tag\{(.*?)\}", r"\\qquad(\1)"),
)
# Browsers break lines after each hyphen of an option, and between a formula and a bracket or a full stop.
_OPTION = re.compile(r"(?<=[> ])--[a-z-]+(?=[^<>]*</code>)")
_WITH_SIGNS = re.compile(r'[(\["]*<span class="formula">.*?</math></span>[,.;:)\]"]*', re.DOTALL)
# On a narrow screen a figure is read by itself.
_FIGURE = re.compile(r'<img [^>]*src="(figures/[^"/]+)"[^>]*>')
_THIN = '<mspace width="0.167em" />'
# What the converter writes in another way than TeX sets it: the name of a brace of a given size is left as it is, a
# relation is a letter, and functions touch what stands beside them.
_REDRAWN = (
    (r">\\lbrace<", ">{<"),
    (r">\\rbrace<", ">}<"),
    ("<mi>&#x0007E;</mi>", "<mo>∼</mo>"),
    ("(</m(?:i|n|sub|sup)>)<mi>log</mi>", rf"\1{_THIN}<mi>log</mi>"),
    ("<mi>log</mi>(?!<mo)", f"<mi>log</mi>{_THIN}"),
)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made from files outside docs/."""
    for source, page in OUTSIDE.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        if not source.endswith(".md"):
            text = f"# License\n\n```text\n{text}```\n"
        files.append(File.generated(config, page, content=text.replace("](docs/", "](")))
    for path in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        page = f"notebooks/{path.stem}.md"
        files.append(File.generated(config, page, content=_notebook_page(path)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Point links to files outside docs/ at their pages, and list the methods and the commands."""
    markdown = _NOTEBOOK.sub(r"](\1.md)", _DIRECTIVE.sub("", markdown))
    for source, page in OUTSIDE.items():
        markdown = markdown.replace(f"](../{source})", f"]({page})").replace(f"]({source})", f"]({page})")
    markdown = _METHODS.sub(lambda _: _method_sections(), markdown)
    return _COMMANDS.sub(lambda _: _command_sections(), markdown)


def on_page_content(content: str, **_: Any) -> str:
    """Formulas become MathML, roles of docstrings code, figures links; what belongs together stays on a line."""
    content = _FORMULA.sub(_mathml, _ROLE.sub("", content))
    for pattern in (_OPTION, _WITH_SIGNS):
        content = pattern.sub(r'<span class="whole">\g<0></span>', content)
    content = _FIGURE.sub(r'<a href="\1">\g<0></a>', content)
    return content.replace(" ± ", " ±&nbsp;")


def _notebook_page(path: Path) -> str:
    """The cells of a notebook one after another; below its introduction, where to get it."""
    cells = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        lines = [line for line in text.splitlines() if not line.startswith("%")]
        cells.append(text if cell["cell_type"] == "markdown" else "```python\n" + "\n".join(lines) + "\n```")
    cells[0] += _DOWNLOAD.format(name=path.name)
    return "\n\n".join(cells) + "\n"


def _method_sections() -> str:
    """For each method its options with their defaults, and the docstring of its Options."""
    from equishare.checks import CLOSED_FORM, TRAINED
    from equishare.methods import METHODS, methods_for

    sections = []
    for name, method in METHODS.items():
        kinds = [kind for kind in (CLOSED_FORM, TRAINED) if name in methods_for(kind == TRAINED)]
        table = _option_table(method.Options, kinds)
        if TRAINED not in kinds:
            table += "\nIt needs estimates of the entries, and takes no networks.\n"
        sections.append(_SECTION.format(name=name, table=table))
    return "".join(sections)


def _option_table(options: type, kinds: list[str]) -> str:
    from equishare.checks import defaults_of

    # First the options that the method's own class defines, then those it inherits.
    rows = {True: "", False: ""}
    known = [defaults_of(options, kind) for kind in kinds]
    for name in dict.fromkeys(name for own in known for name in own):
        cells = [f"`{own[name]}`" if name in own else "–" for own in known]
        rows[name in vars(options).get("__annotations__", {})] += f"| `{name}` | {' | '.join(cells)} |\n"
    if not any(rows.values()):
        return "It has no options.\n"
    columns = ["Option", "Means, linear maps", "Networks"][: 1 + len(kinds)]
    return f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|\n{rows[True]}{rows[False]}"


def _command_sections() -> str:
    """For each command what it does, its arguments and its options."""
    import typer

    from equishare.cli import app

    sections = []
    commands: Any = typer.main.get_command(app)
    for name, command in commands.commands.items():
        shown = [one for one in command.params if not getattr(one, "hidden", False) and one.name != "help"]
        arguments = [one.metavar or one.name.upper() for one in shown if one.param_type_name == "argument"]
        rows = "".join(_parameter_row(one) for one in shown)
        usage = " ".join(["equishare", name, *arguments])
        sections.append(
            f"## {usage}\n\n{command.help}\n\n| Argument or option | Default | What it is |\n|---|---|---|\n{rows}\n"
        )
    return "\n".join(sections)


def _parameter_row(parameter: Any) -> str:
    is_option = parameter.param_type_name == "option"
    names = [*parameter.opts, *parameter.secondary_opts] if is_option else [parameter.metavar or parameter.name.upper()]
    default = parameter.default
    plain = default is None or callable(default) or isinstance(default, bool) or not is_option
    told = (getattr(parameter, "help", "") or "").replace("|", "\\|")
    return f"| {', '.join(f'`{own}`' for own in names)} | {'' if plain else f'`{default}`'} | {told} |\n"


def _mathml(match: re.Match[str]) -> str:
    tag, formula = match.groups()
    formula = html.unescape(formula).strip()
    for pattern, replacement in _REWRITTEN:
        formula = re.sub(pattern, replacement, formula)
    scrolls = ' tabindex="0"' if tag == "div" else ""
    display = "block" if tag == "div" else "inline"
    drawn = convert(formula, display=display)
    for pattern, replacement in _REDRAWN:
        drawn = re.sub(pattern, replacement, drawn)
    return f'<{tag} class="formula"{scrolls}>{drawn}</{tag}>'
