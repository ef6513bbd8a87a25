"""Hooks of MkDocs, which let the site show the same files that are read on GitHub.

- The start page is the README, and other Markdown files of the repository are pages too.
- A notebook in docs/ is a page too.
- A link to any other file of the repository leads to a page with its text, so that the site is whole without a network.
- Formulas in GitHub's notation, a fence named math and $`...`$, become MathML, which browsers draw without a script.
- Of a picture that has a narrow twin, NAME.narrow.png beside NAME.png, a phone shows that one.
"""

import pathlib
import posixpath
import re

from latex2mathml.converter import convert  # from LaTeX's notation to MathML
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor
from mkdocs.structure.files import File, InclusionLevel
from notebook_page import page as page_of_notebook  # beside this file

ROOT = pathlib.Path(__file__).parents[1]
IMAGE = re.compile(r'<img [^>]*src="([^"]+)\.png"[^>]*>')
LINKING = (".md", ".ipynb")  # the files that have links
LINK = re.compile(r"(\]\()([^)#:\s]+)((?:#[^)\s]*)?\))")


def on_config(config):
    """Sets up the formulas."""
    config.markdown_extensions.append(InlineFormulas())
    fence = {"name": "math", "class": "math", "format": lambda source, *_, **__: displayed(source)}
    config.mdx_configs.setdefault("pymdownx.superfences", {})["custom_fences"] = [fence]
    return config


def on_files(files, config):
    """Adds pages for the notebooks, for the files outside of docs/ that the pages link to, and for those that these link to."""
    notebooks = [f"docs/{file.src_uri}" for file in files if file.src_uri.endswith(".ipynb")]
    waiting = ["README.md", *notebooks, *(f"docs/{file.src_uri}" for file in files.documentation_pages())]
    seen = set(waiting)
    while waiting:
        path = waiting.pop()
        if path in notebooks:
            for file in files_of_notebook(path, config):
                files.append(file)
        elif not path.startswith("docs/"):
            files.append(page_of_file(path, config))
        if path.endswith(LINKING):
            found = {linked_file(path, link[2]) for link in LINK.finditer((ROOT / path).read_text())} - seen - {None}
            seen |= found
            waiting += sorted(found)
    return files


def on_page_markdown(markdown, page, **_):
    """Turns links between files of the repository into links between pages."""
    path = page.file.repository_path if page.file.generated_by else f"docs/{page.file.src_uri}"

    def link_of_the_site(link):
        linked = linked_file(path, link[2])
        if linked is None:
            return link[0]
        return link[1] + posixpath.relpath(uri(linked), posixpath.dirname(page.file.src_uri)) + link[3]

    if path.endswith(".ipynb"):
        return f"{LINK.sub(link_of_the_site, markdown)}\n[The notebook itself, to run it]({posixpath.basename(path)})\n"
    return LINK.sub(link_of_the_site, markdown) if path.endswith(".md") else markdown


def on_page_content(html, page, files, **_):
    """Puts in the narrow pictures, and takes out the dash that mkdocstrings has before a result without a name."""

    def for_each_width(image):
        narrow = f"{image[1]}.narrow.png"
        if files.get_file_from_path(posixpath.normpath(posixpath.join(posixpath.dirname(page.file.src_uri), narrow))) is None:
            return image[0]
        return f'<picture><source media="(max-width: 600px)" srcset="{narrow}">{image[0]}</picture>'

    html = IMAGE.sub(for_each_width, html)
    return re.sub(r'(<li class="doc-section-item field-body">)\s*–\s*', r"\1", html)


def on_post_page(output, page, **_):
    """Says of a page in Korean that it is in Korean: a screen reader reads it so, and a browser breaks its lines so."""
    return output.replace('<html lang="en"', '<html lang="ko"', 1) if page.file.src_uri.endswith(".ko.md") else output


def linked_file(path, target):
    """The path in the repository of what the file at `path` links to as `target`, or `None` if there is no such file."""
    linked = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    return linked if (ROOT / linked).is_file() else None


def uri(path):
    """The source address in the site of a file of the repository."""
    if path == "README.md":
        return "index.md"
    if path.startswith("docs/"):
        return re.sub(r"\.ipynb$", ".md", path.removeprefix("docs/"))
    return path.lower() if path.endswith(".md") else f"source/{path}.md"


def page_of_file(path, config):
    """The page of a file that is not in docs/."""
    text = (ROOT / path).read_text()
    if not path.endswith(".md"):
        language = pathlib.Path(path).suffix.removeprefix(".") or "text"
        fence = "`" * 8  # longer than any in the file
        text = f"---\ntitle: {path}\nsearch:\n  exclude: true\n---\n\n{fence}{language}\n{text}\n{fence}\n"
    inclusion = InclusionLevel.INCLUDED if path.endswith(".md") else InclusionLevel.NOT_IN_NAV
    file = File.generated(config, uri(path), content=text, inclusion=inclusion)
    file.repository_path = path
    return file


def displayed(source):
    """A displayed formula; where it is several, each may have a line of its own in a narrow window."""
    parts = re.split(r"(?<=,)\s*\\q?quad", source)
    return f'<div class="formulas">{"".join(convert(part, display="block") for part in parts)}</div>'


def files_of_notebook(path, config):
    """The page of a notebook, and its pictures."""
    text, pictures = page_of_notebook((ROOT / path).read_text(), folder=pathlib.PurePosixPath(path).stem)
    page = File.generated(config, uri(path), content=text)
    page.repository_path = path
    folder = posixpath.dirname(page.src_uri)
    return [page, *(File.generated(config, posixpath.join(folder, name), content=png) for name, png in pictures.items())]


class InlineFormulas(Extension):
    """The Markdown extension for $`...`$."""

    def extendMarkdown(self, md):
        """Before code, whose backticks would take the formula."""
        md.inlinePatterns.register(InlineFormula(r"\$`([^`]+)`\$", md), "formula", 195)


class InlineFormula(InlineProcessor):
    """A formula in a line of text."""

    def handleMatch(self, match, line):
        """The formula as it is to be, kept from further processing."""
        return self.md.htmlStash.store(convert(match[1], display="inline")), match.start(), match.end()
