"""All claims, and what the results at hand say about each."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from comparisons.claims.claim import Claim, Judgement, NotMeasured
from comparisons.claims.lesson import LESSON
from comparisons.claims.popular import POPULAR
from comparisons.claims.store import Record
from twofold.errors import BadInput, ResultError
from twofold.report.wording import listing

CLAIMS: Final[tuple[Claim, ...]] = (*LESSON, *POPULAR)


@dataclass(frozen=True)
class Entry:
    """A claim with its judgement, or with the reason why there is none, and its records."""

    claim: Claim
    judgement: Judgement | None
    missing: str
    records: Mapping[str, Record]

    @property
    def verdict(self) -> str:
        return self.judgement.verdict if self.judgement else "not measured yet"


def entry_of(claim: Claim, records: Mapping[str, Record]) -> Entry:
    """What the records say about a claim."""
    own = {name: records[name] for name in claim.studies if name in records}
    absent = [name for name in claim.studies if name not in records]
    if absent:
        return Entry(claim, None, f"the results lack the study {listing(absent)}", own)
    try:
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            judgement = claim.rule(*(own[name].findings for name in claim.studies))
        _require_figures(judgement)
    except NotMeasured as error:
        return Entry(claim, None, str(error), own)
    except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise ResultError(
            f"the study {listing(claim.studies)}: its findings cannot be judged "
            f"({type(error).__name__}: {error}); measure it again: "
            f"python -m comparisons.claims --measure --only {claim.id}"
        ) from error
    return Entry(claim, judgement, "", own)


def _require_figures(judgement: Judgement) -> None:
    """Raise TypeError for a figure that is neither a number nor a text."""
    for figure in judgement.figures:
        if not isinstance(figure.value, (int, float, str)):
            raise TypeError(f"{figure.label}: {figure.value!r:.60} is neither a number nor a text")


def entries(records: Mapping[str, Record]) -> list[Entry]:
    """Every claim with what the records say, the lesson's first."""
    return [entry_of(claim, records) for claim in CLAIMS]


def find(claim_id: str) -> Claim:
    """The claim of that id. Raises BadInput with the nearest ids where there is none."""
    claims = {claim.id: claim for claim in CLAIMS}
    if claim_id in claims:
        return claims[claim_id]
    near = difflib.get_close_matches(claim_id, claims, n=3, cutoff=0.4)
    hint = (
        f"did you mean {' or '.join(near)}?" if near else "list them: python -m comparisons.claims"
    )
    raise BadInput(f"no claim is called '{claim_id}'; {hint}")


def studies_of(claims: Sequence[Claim]) -> list[str]:
    """The studies that claims rest on, each once."""
    return list(dict.fromkeys(name for claim in claims for name in claim.studies))
