"""How Sphinx builds the site, from the pages that scripts/build_docs.py gathers."""

import equipoise

project = "equipoise"
release = version = equipoise.__version__
extensions = ["myst_parser"]
root_doc = "index"
smartquotes = False
nitpicky = True

myst_heading_anchors = 3  # as on a code host
myst_enable_extensions = ["attrs_block"]

html_theme = "furo"
html_title = "equipoise"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = html_show_sphinx = False
pygments_style, pygments_dark_style = "friendly", "github-dark"
