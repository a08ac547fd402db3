"""Results that are damaged or old: a page is written, or one sentence names the file and field."""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_study_findings import DIVERGENCE, FEEDING, OUTCOME, PEERS, TARGETS

from comparisons.claims.page import page as claims_page
from comparisons.claims.store import load as load_claims
from comparisons.machines.page import page as machines_page
from comparisons.machines.stored import load_machines
from twofold.errors import ResultError
from twofold.report import evidence as evidences
from twofold.report import guide
from twofold.report.evidence import MODELS, SCHEMAS, Evidence, file_name
from twofold.report.style import to_svg
from twofold.results.stored import checked
from twofold.studies.advice import store

ROOT = Path(__file__).parents[2]
STORED = ROOT / "comparisons" / "results"
JUNK: tuple[Any, ...] = (
    None, True, -1, 0, 10**400, 1e308, 5e-324, math.nan, math.inf, "", "x", "/../x", [], {}, [None]
)  # fmt: skip
Place = tuple[str | int, ...]


@pytest.fixture
def samples(evidence: Evidence) -> dict[str, dict[str, Any]]:
    """One result of each kind."""
    return {
        "parity": evidence.parity[0],
        "timing": evidence.timing[0],
        "training": evidence.training[0],
        "outcome": OUTCOME,
        "divergence": DIVERGENCE,
        "feeding": FEEDING,
        "peers": PEERS,
        "targets": TARGETS,
    }


def places(value: Any, above: Place = ()) -> Iterator[Place]:
    """Every field and item of a result."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value[:3])
    for key, item in items:
        yield (*above, key)
        yield from places(item, (*above, key))


def damaged(result: dict[str, Any], place: Place, junk: Any, drop: bool) -> dict[str, Any]:
    """The result with one field away, or something else in its place."""
    changed: Any = copy.deepcopy(result)
    *above, last = place
    owner = changed
    for step in above:
        owner = owner[step]
    if drop:
        del owner[last]
    else:
        owner[last] = junk
    return dict(changed)


@settings(
    derandomize=True,
    deadline=None,
    max_examples=400,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_a_damaged_result_is_a_page_or_one_sentence(
    samples: dict[str, dict[str, Any]], data: st.DataObject
) -> None:
    kind = data.draw(st.sampled_from(sorted(samples)))
    result = samples[kind]
    place = data.draw(st.sampled_from(list(places(result))))
    drop, junk = data.draw(st.booleans()), data.draw(st.sampled_from(JUNK))
    changed = damaged(result, place, junk, drop)
    message = ""
    try:
        read = checked(changed, MODELS[kind], f"{kind}-x.json")
    except ResultError as error:
        message = str(error)
    if message:
        assert re.match(rf"{kind}-x\.json: [\w\[\].' \-:/+]+", message)
        assert "\n" not in message
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guide, "_charts", lambda *_: {})
        assert guide.compose(Evidence(**{kind: (read,)})).markdown.startswith("# PyTorch or Flax?")


@settings(
    derandomize=True,
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_what_is_read_can_be_drawn(samples: dict[str, dict[str, Any]], data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["parity", "timing", "divergence"]))
    numbers = [p for p in places(samples[kind]) if p[0] in ("engines", "rungs", "curves", "steps")]
    place = data.draw(st.sampled_from(numbers))
    junk = data.draw(st.sampled_from((None, 0, 1, 1e-12, 1e12, 10**15, "a/b", "<!--<script>")))
    try:
        read = checked(damaged(samples[kind], place, junk, False), MODELS[kind], "x")
    except ResultError:
        return
    for chart in guide.compose(Evidence(**{kind: (read,)})).charts.values():
        assert to_svg(chart).startswith("<svg")


@pytest.mark.parametrize("kind", sorted(SCHEMAS))
def test_a_file_names_itself_and_the_field(
    samples: dict[str, dict[str, Any]], tmp_path: Path, kind: str
) -> None:
    changed = copy.deepcopy(samples[kind])
    changed["environment"]["threads"] = "two"
    path = tmp_path / f"{kind}-x.json"
    path.write_text(json.dumps(changed), encoding="utf-8")
    with pytest.raises(ResultError) as caught:
        guide.write_guide(tmp_path)
    assert str(caught.value) == (
        f"{path}: environment.threads: 'two' given; input should be a valid integer; "
        "measure again, or restore the file"
    )
    assert not (tmp_path / "GUIDE.md").exists()


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"schema": ' + "9" * 5000 + "}", "[]", "", '{"schema": null}', "\ufeff"],
)
def test_a_file_that_is_no_result_is_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "timing-x.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ResultError, match=re.escape(str(path))):
        evidences.load(tmp_path)


def test_results_of_older_versions_are_read(samples: dict[str, dict[str, Any]]) -> None:
    """What was added since is left out: steps, starts, environments, warnings."""
    old = copy.deepcopy(samples["timing"])
    for field in ("environment", "warnings", "unchecked"):
        del old[field]
    read = checked(old, MODELS["timing"], "x")
    markdown = guide.compose(Evidence(timing=(read,))).markdown
    assert "unknown processor" in markdown
    assert (
        "time to its own result:** not known, because the number of steps is not stored" in markdown
    )


@pytest.mark.parametrize(
    "name", ["a/b", "../x", "a\0b", "x" * 300, "", ".", "a b", "\ud800", "ä", "a:b/c", "-x y"]
)
def test_a_name_leads_to_no_other_folder(name: str) -> None:
    path = file_name("timing", name)
    assert Path(path).name == path
    assert path.startswith("timing-")
    assert len(path) < 130
    assert path.isascii()
    assert file_name("timing", "a/b") != file_name("timing", "a-b")
    assert file_name("training", "digits", "torch:eager") == "training-digits-torch-eager.json"


def test_experiments_with_odd_names_have_a_guide(
    samples: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    names = ["a/b", "a-b", "../../x", "", "a b"]
    for number, name in enumerate(names):
        if name:
            changed = samples["divergence"] | {"experiment": {"name": name, "seed": 0}}
            (tmp_path / f"divergence-{number}.json").write_text(json.dumps(changed))
    guide.write_guide(tmp_path, tmp_path / "out")
    figures = sorted(path.name for path in (tmp_path / "out" / "figures").iterdir())
    assert figures == [
        "divergence-a-b-no-2.svg", "divergence-a-b-no-3.svg", "divergence-a-b.svg",
        "divergence-x.svg",
    ]  # fmt: skip


# The pages of all machines, the claims and the advice


@pytest.mark.parametrize(
    "name", ["advice-score", "steadiness", "calibration-timing", "calibration-advice", "claims"]
)
def test_other_results_are_a_page_or_one_sentence(tmp_path: Path, name: str) -> None:
    (source,) = sorted(STORED.glob(f"amd-epyc/{name}*.json")) or sorted(
        STORED.glob(f"intel*/{name}-2*.json")
    )
    result = json.loads(source.read_text(encoding="utf-8"))
    folder = tmp_path / "machine"
    folder.mkdir()
    every = [place for place in places(result) if len(place) < 8]
    refused = list[str]()
    for number, place in enumerate(every[:: max(1, len(every) // 60)]):
        for drop in (True, False):
            changed = damaged(result, place, JUNK[number % len(JUNK)], drop)
            (folder / source.name).write_text(json.dumps(changed), encoding="utf-8")
            try:
                if name == "claims":
                    claims_page(load_claims(folder / source.name), "f", "f")
                else:
                    assert machines_page(load_machines(tmp_path), "results")
                if name == "calibration-advice":
                    assert store.load(folder / source.name).points is not None
            except ResultError as error:
                refused.append(str(error))
    assert len(refused) > 5
    assert not any("\n" in message for message in refused)


def test_a_schema_that_is_anything_is_told_in_few_words(tmp_path: Path) -> None:
    path = tmp_path / "timing-a.json"
    path.write_text(json.dumps({"schema": ["x" * 100_000, 10**4000]}))
    with pytest.raises(ResultError, match=r"schema \['xxx.*\.\.\. given; allowed is") as caught:
        evidences.load(tmp_path)
    assert len(str(caught.value)) < 500
