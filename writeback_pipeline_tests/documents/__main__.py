"""Writes what pages have from the code: `make docs`."""

from writeback_pipeline_tests.documents.generated import regenerated
from writeback_pipeline_tests.documents.pages import pages

for page in pages():
    if regenerated(page.text) != page.text:
        page.path.write_text(regenerated(page.text), "utf-8")
