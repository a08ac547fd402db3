"""Compile caches: an engine's own is empty at first, and certification writes to copies only."""

from __future__ import annotations

from pathlib import Path

from twofold.timing.caches import CompileCaches


def test_certification_finds_what_every_engine_of_its_backend_compiled(tmp_path: Path) -> None:
    caches = CompileCaches(tmp_path)
    engines = ("torch:eager", "torch:compile", "flax:jit")
    for engine in engines:
        own = caches.of_engine(engine)
        assert list(own.iterdir()) == []
        (own / "programs").mkdir()
        (own / "programs" / engine[-3:]).write_text(engine)
    copies = caches.copies(engines)
    assert sorted(copies) == ["flax", "torch"]
    assert {path.name for path in (copies["torch"] / "programs").iterdir()} == {"ger", "ile"}
    assert (copies["flax"] / "programs" / "jit").read_text() == "flax:jit"


def test_what_certification_compiles_is_not_in_the_cache_of_a_timed_engine(tmp_path: Path) -> None:
    caches = CompileCaches(tmp_path)
    copies = caches.copies(["torch:compile"])
    (copies["torch"] / "only-parity-asks").write_text("a program")
    assert list(caches.of_engine("torch:compile").iterdir()) == []
