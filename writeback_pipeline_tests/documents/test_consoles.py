"""What pages show in `console` blocks is what happens: each page's commands run in a new home and print that.

The organisation is the embedded one, over HTTP, and runs are Dagster's. A line that begins with `$ ` is typed, and what
follows it must be printed; `...` stands for anything, and blanks do not count. RUN_ID is the run that was printed last.
`# exit 1` behind a command says that it does not end with 0. Blocks in another language (`sh`) are not run;
`test_commands` looks at what they name.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from writeback_pipeline_tests.documents.consoles import play, steps
from writeback_pipeline_tests.documents.pages import Page, pages


@pytest.fixture(scope="module")
def trouble_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """Plays a page in a process that all of them share: Dagster takes seconds to be imported."""
    home = str(tmp_path_factory.mktemp("consoles") / "home")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        yield lambda name: process.submit(play, name, home).result()


@pytest.mark.parametrize("page", [page for page in pages() if any(steps(page))], ids=lambda each: each.name)
def test_what_a_page_shows_is_what_happens(page: Page, trouble_of: Callable[[str], str]) -> None:
    trouble = trouble_of(page.name)
    assert not trouble, trouble
