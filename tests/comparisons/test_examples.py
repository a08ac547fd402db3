"""Every example of the README and of docs/ runs: Python blocks, and lines that call `twofold`."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {
    path: path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
TEXT = "\n".join(PAGES.values())


def blocks(language: str) -> list[str]:
    """The blocks of all pages, each once."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    return list(dict.fromkeys(found))


def console_lines() -> list[str]:
    lines = [line for block in blocks("console") for line in block.splitlines()]
    return list(dict.fromkeys(line.removeprefix("$ ") for line in lines if line.startswith("$ ")))


def commands() -> list[object]:
    """Timing takes its own processes and seconds, so it is left to the slow tests."""
    return [
        pytest.param(line, id=line, marks=[pytest.mark.slow] if " time " in line else [])
        for line in console_lines()
    ]


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder with the pages' TOML and CSV files, under their names, and the stored results."""
    (tmp_path / "comparisons").symlink_to(ROOT / "comparisons")
    for name, text in re.findall(
        r"`([\w-]+\.(?:toml|csv))`:\n\n```(?:toml|csv)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def run(arguments: list[str], folder: Path) -> None:
    done = subprocess.run(
        arguments, cwd=folder, capture_output=True, text=True, check=False, timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()


def test_there_are_examples() -> None:
    assert len(blocks("python")) >= 3
    assert len(console_lines()) >= 5
    assert all(line.startswith("twofold ") for line in console_lines())
    assert len(blocks("toml")) == 4
    assert len(blocks("csv")) == 1


@pytest.mark.parametrize("code", blocks("python"))
def test_python_blocks_run(code: str, workplace: Path) -> None:
    run([sys.executable, "-c", code], workplace)


@pytest.mark.parametrize("line", commands())
def test_console_lines_end_well(line: str, workplace: Path) -> None:
    run([sys.executable, "-m", "twofold.cli.main", *line.split()[1:]], workplace)


def test_make_targets_of_the_pages_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"`?make ([a-z-]+)", TEXT)) - {"and"}
    assert {"compare", "test", "check"} <= named <= targets | {"and"}


def test_rooms_of_the_pages_exist() -> None:
    rooms = re.findall(r"^\| `([^`]+/)` \|", TEXT, re.MULTILINE)
    assert all((ROOT / room).is_dir() for room in rooms)
    core = {path.parent.relative_to(ROOT) for path in (ROOT / "src/twofold").glob("*/__init__.py")}
    assert {Path(room) for room in rooms} >= core  # each has its line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGES[page])
    missing = [link for link in links if not (page.parent / link).exists()]
    assert missing == []


def test_there_are_links_to_check() -> None:
    assert "](docs/tour.md)" in PAGES[ROOT / "README.md"]


def test_the_readme_is_short() -> None:
    """Without the excerpt, which is as long as what was measured."""
    own = re.sub(r"<!-- excerpt.*?end of the excerpt -->", "", README, flags=re.DOTALL)
    assert len(own.split()) <= 600
