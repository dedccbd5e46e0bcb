"""Pages that `make docs` adds: README and files that documents link to, and the code by docstrings.

Links of the documents are those of the repository, so that they work there: `docs/models.md` in
README, `../prefect.yaml` in a document. On the site, docs/ is the root and README the first page.
"""

import ast
import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
DOCS = "docs"
HOME = ("README.md", "index.md")  # in the repository, on the site
PACKAGES = ("data", "splitting", "models", "evaluation", "search", "plots")
STYLE = """<style>
.md-typeset :is(p, li, td) > a { text-decoration: underline; }
[data-md-color-scheme="default"] {
  --md-code-hl-generic-color: var(--md-code-fg-color);
  --md-code-hl-variable-color: var(--md-code-fg-color);
}
[data-md-color-scheme="slate"] { --md-code-bg-color: hsl(232, 15%, 11%); }
</style>"""
"""Links that are seen without colours, and code that stands out from its ground by 4.5 to 1."""
LINK = re.compile(r"\]\(([^)#:\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """The documents, and what else belongs to the site."""
    pages = {HOME[1]: (ROOT / HOME[0]).read_text(encoding="utf-8"), "code/library.md": library()}
    pages |= {f"code/{name}.md": package(name) for name in PACKAGES}
    for path in sorted(linked(ROOT / "CHANGELOG.md")):
        pages[path] = (ROOT / path).read_text(encoding="utf-8")
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The page, each link changed to the place of its target on the site."""
    source = page.file.src_uri

    def moved(match: re.Match[str]) -> str:
        target = placed(posixpath.join(posixpath.dirname(in_repository(source)), match.group(1)))
        relative = posixpath.relpath(target, posixpath.dirname(source) or ".")
        return f"]({relative}{match.group(2) or ''})"

    return LINK.sub(moved, markdown)


def on_post_page(output: str, **_: Any) -> str:
    """The page with our style."""
    return output.replace("</head>", f"{STYLE}</head>", 1)


def linked(*more: Path) -> Iterator[str]:
    """Files outside of docs/ that a document links to, from the root of the repository."""
    documents = [ROOT / HOME[0], *(ROOT / DOCS).rglob("*.md")]
    found = {path.relative_to(ROOT).as_posix() for path in more}
    for document in documents:
        for target, _ in LINK.findall(document.read_text(encoding="utf-8")):
            path = os.path.normpath(document.parent / target)
            found.add(Path(path).relative_to(ROOT).as_posix())
    return (path for path in found if not path.startswith(f"{DOCS}/") and path != HOME[0])


def in_repository(page: str) -> str:
    """Where a page of the site lies in the repository."""
    if page == HOME[1]:
        return HOME[0]
    return page if not (ROOT / DOCS / page).exists() else f"{DOCS}/{page}"


def placed(path: str) -> str:
    """Where a file of the repository lies on the site."""
    path = posixpath.normpath(path)
    return HOME[1] if path == HOME[0] else path.removeprefix(f"{DOCS}/")


def library() -> str:
    """The page of the names of `import recsys`."""
    tree = ast.parse((ROOT / "recsys" / "__init__.py").read_text(encoding="utf-8"))
    table = next(
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOME"
    )
    homes: dict[str, str] = ast.literal_eval(table)
    example = "\n".join(
        line for line in (ast.get_docstring(tree) or "").splitlines() if line.startswith("    ")
    )
    parts = [f"# The library\n\nAll of it is there after `import recsys`:\n\n{example}\n"]
    elsewhere = [f"[`{name}`][{home}.{name}]" for name, home in homes.items() if has_page(home)]
    parts.append(f"On the pages of their packages: {', '.join(elsewhere)}.\n")
    for name, home in sorted(homes.items(), key=lambda each: each[1].split(".")[1] != "library"):
        if not has_page(home):
            parts.append(f"::: {home}.{name}\n    options: {{show_root_full_path: false}}\n")
    return "\n".join(parts)


def has_page(module: str) -> bool:
    """Whether the package of a module has a page."""
    return module.split(".")[1] in PACKAGES


def package(name: str) -> str:
    """The page of a package: each module, what it says about itself first."""
    folder = ROOT / "recsys" / name
    init = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
    modules = sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")
    defines = any(isinstance(node, ast.FunctionDef) for node in init.body)
    about = f"::: recsys.{name}" if defines else ast.get_docstring(init)
    parts = [f"# recsys.{name}\n", f"{about or ''}\n"]
    return "\n".join([*parts, *(f"::: recsys.{name}.{module}\n" for module in modules)])
