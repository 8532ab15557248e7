"""What each figure is the mean of: a value of every question of some kinds.

1[…] is 1 where it holds, else 0; m(x) is the free greedy answer to x, m0 the unedited model's, y the right answer under
any name. To a plural question, whose answer has several values (`answer_sets`), m(x) = y means that every value that
joined is named and none that left; where nothing joined, also at least one that stays, since silence is no answer.
m(x) = y_old means that a value that left is named, or all that held before are and none that joined. Both never hold at
once, and where a new value is named beside an old one, m(x) = y_old.

edit_success     mean 1[m(x) = y] over `edit`: reliability (Yao et al. 2023), KnowEdit's edit success
edit_wise        mean 1[m(x) = y] over `cloze`, no examples before it (MQuAKE, Zhong et al. 2023)
paraphrase       mean 1[m(x) = y] over `paraphrase` wordings that were not trained: generalization
portability      mean 1[m(x) = y] over alias, reverse and multi_hop together (Yao et al. 2023)
alias, reverse   its parts (KnowEdit's subject aliasing and logical generalization, Zhang et al. 2024)
multi_hop        mean of max over a question's wordings of 1[m(x) = y] (MQuAKE)
chain_of_thought the same of the first wording, after worked examples that think aloud (MQuAKE)
instance_wise    mean over questions of min over the facts of their chain of 1[m(x) = y] (MQuAKE)
hop_by_hop       mean 1[answer of the last hop = y], each hop asked with the model's own answer to the one before
locality         mean 1[m(x) = m0(x)], normalised, over `locality` (KnowEdit, Zhang et al. 2024)
locality_gold    mean 1[m(x) = y] over the same questions
history          mean 1[m(x) = y] over questions about a past date: what held then is still known
history_kept     the same over those of them that m0 answers rightly: retention
timeline         mean 1[m(x) = y] over questions about before and after
preservation     mean 1[every value that stays is named] over plural questions whose answer changed: does an
                 addition or removal leave the others alone? (RippleEdits' forgetfulness, Cohen et al. 2024)
preservation_share  mean over the same questions of the share of those values that are named
stale_rate       mean 1[m(x) = y_old] over `edit` and untrained `paraphrase` questions that had another answer
date_sensitivity mean 1[m(x_now) != m(x_then)] over pairs of an `edit` question and a `history` question about the
                 same fact whose right answers differ: does the date asked for change the answer?
token_accuracy   mean over `edit` of mean over tokens of 1[argmax = target]: rewrite accuracy in other tools
answer_argmax    mean over `edit` of 1[every token's argmax = target]
forced_gap       mean over `edit` of token accuracy - 1[m(x) = y]: what teacher forcing flatters (WILD, 2025)
token_f1         best word overlap with a right answer, on `edit` (SQuAD)
new_over_old     mean over `edit` of 1[P(new) > P(old)], P = exp(-mean nll): ROME's efficacy (Meng et al. 2022)
overfit          mean 1[m(x) is the edit's new object] over locality, history and multi_hop questions of which that is
                 not the right answer (EVOKE, arXiv 2410.07819); also of each kind alone
multi_hop_known  multi_hop, where m0 knows every fact of the chain that no edit changed (RippleEdits' conditions)
alias_multi_hop  mean 1[m(x) = y] over questions over several facts that name their subject otherwise
same_entity      mean 1[m(x) = y], y yes or no, over questions whether two edit questions have the same answer (UniEdit)
flip_back        mean 1[m(x') = y_old] over edit questions x with m(x) = y, x' being x under pressure
                 (`scoring.pressure`); of each way alone flip_repeated, flip_asked, flip_past and flip_objection
text_new         mean over texts written freely about a fact of 1[its new object is named]; text_old: its old one
date_year        mean 1[P(right date) > P(wrong date)] over wrong dates some years off; date_month and date_day,
                 as far as the day of the change is known (TimeStress)
date_robust      mean over changes of 1[the right date is likelier than every wrong one, at every precision]
since_when       mean 1[m(x) = the date] over questions since when something is so, to the year, month or day
refusal          mean 1[m(x) says that nobody can be named] over questions for which nobody can: of each kind alone
                 refuse_before, refuse_after, refuse_vacant, refuse_future (`scoring.dates.refuses`)
false_refusal    the same over `edit` questions, for which somebody can
across_edit      edit_success over questions of another language, of which nothing was taught (`--set across`); likewise
                 across_paraphrase, across_multi_hop, across_locality, across_history, and across_stale of stale_rate
fluency          mean n-gram entropy in bits of texts written freely (`scoring.fluency`)
perplexity       exp(sum of nll / number of tokens) over held-out texts that no edit touches

Of edits in chunks, over a chunk's own `edit` questions right after the chunk and after all chunks:
success_at_once  mean 1[m(x) = y] over a chunk's `edit` questions right after the chunk
success_at_end   the same questions after all chunks
forgotten        mean over `edit` of max(0, right at once - right at the end)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from chronofacts.editing.facts import Change
from chronofacts.editing.metrics.answer_states import base_states
from chronofacts.editing.scoring.answer_match import matches, normalise
from chronofacts.editing.scoring.answer_sets import named
from chronofacts.editing.scoring.dates import DATE_KINDS, REFUSAL_KINDS, refuses
from chronofacts.editing.scoring.pressure import PRESSURE, REASONING
from chronofacts.schemas.errors import CheckFailed

__all__ = ["DEFINITIONS", "FORGETTING", "LIFELONG", "Metric", "Row", "Rows", "gather_rows"]

Row = Mapping[str, Any]
Rows = Mapping[str, Sequence[Row]]
"""Kind of probe -> a row of `SCORES` per question (`gather_rows`)"""

PORTABILITY = ("alias", "reverse", "multi_hop")
EXTRA = (
    "chain_of_thought", "hop", "hop_by_hop", "fluency", "general", *PRESSURE, *REASONING, *DATE_KINDS, *REFUSAL_KINDS,
)  # fmt: skip
"""Kinds of probe that are no question of the snapshot in its own words."""


class Metric(NamedTuple):
    values: Callable[[Rows], list[tuple[float, Row]]]
    """Of each question: its value, and its row."""
    by: Sequence[str]
    """What the figure is also grouped by: a column, or the kind or `before` of the change, not of the question."""
    weight: Callable[[Row], float] = lambda row: 1.0
    scale: Callable[[Any], Any] = lambda mean: mean
    """From the weighted mean to the figure."""
    is_share: bool = True
    """Whether every value is from 0 to 1."""


def gather_rows(
    scores: pa.Table, base_scores: pa.Table, trained: frozenset[str], changes: Mapping[str, Change]
) -> Rows:
    """The first wording of every question, without paraphrases that were trained; of `EXTRA`, every row.

    Adds `change` and `base_state` (how the unedited model answers the fact's edit question); and to a question `right`
    (of a multi-hop one, under any wording), `unchanged` (answered as by the unedited model), `known_before` (the
    unedited model answers it rightly) and `conditions` (it knows every fact of the chain that no edit changed; None
    where these were not asked).
    Raises CheckFailed when the unedited model was not scored on the same questions.
    """
    base = {(row["question_id"], row["phrasing"]): row for row in base_scores.to_pylist() if row["kind"] not in EXTRA}
    conditions: dict[str, bool] = {}
    for row in base_scores.to_pylist():
        if row["kind"] == "hop" and not row["edited_hops"]:
            conditions[row["question_id"]] = conditions.get(row["question_id"], True) and row["exact_match"]
    states = base_states(base_scores)
    found, wordings = defaultdict[str, list[Row]](list), defaultdict[str, list[dict[str, Any]]](list)
    for row in scores.to_pylist():
        row["change"], row["base_state"] = changes.get(row["fact"]), states.get(row["fact"])
        if row["kind"] in EXTRA:
            found[row["kind"]].append(row)
        elif (row["question_id"], row["phrasing"]) in base:
            wordings[row["question_id"]].append(row)
        else:
            raise CheckFailed(f"question {row['question_id']} was never asked of the unedited model; score it again")
    for several in wordings.values():
        row = min(several, key=itemgetter("phrasing"))
        before = base[row["question_id"], row["phrasing"]]
        any_wording = row["kind"] in ("multi_hop", "across_multi_hop")
        row["right"] = any(one["exact_match"] for one in (several if any_wording else [row]))
        row["unchanged"] = normalise(row["generated"]) == normalise(before["generated"])
        row["known_before"] = before["exact_match"]
        row["conditions"] = conditions.get(row["question_id"])
        if row["kind"] != "paraphrase" or row["prompt"] not in trained:
            found[row["kind"]].append(row)
    return found


def _mean(value: str | Callable[[Row], float | None], *kinds: str, by: Sequence[str] = ()) -> Metric:
    """Of a column, or of what a function makes of a row, over questions of these kinds that have a value."""
    value_of = itemgetter(value) if isinstance(value, str) else value

    def values(rows: Rows) -> list[tuple[float, Row]]:
        found = ((value_of(row), row) for kind in kinds for row in rows.get(kind, ()))
        return [(float(one), row) for one, row in found if one is not None]

    return Metric(values, by)


def _forced_gap(row: Row) -> float | None:
    return None if row["token_accuracy"] is None else row["token_accuracy"] - row["exact_match"]


def _new_is_likelier(row: Row) -> float | None:
    return None if row["p_new_over_old"] is None else row["p_new_over_old"] > 0.5


def _whole_chains(rows: Rows) -> list[tuple[float, Row]]:
    """Every fact of a chain is known."""
    chains, questions = defaultdict[str, list[Row]](list), {row["question_id"]: row for row in rows["multi_hop"]}
    for row in rows["hop"]:
        chains[row["question_id"]].append(row)
    return [
        (float(all(row["exact_match"] for row in hops)), questions.get(name, hops[0])) for name, hops in chains.items()
    ]


def _dates(rows: Rows) -> list[tuple[float, Row]]:
    now = {row["fact"]: row for row in rows["edit"]}
    pairs = [(row, now[row["fact"]]) for row in rows["history"] if row["fact"] in now]
    return [
        (float(normalise(then["generated"]) != normalise(today["generated"])), then)
        for then, today in pairs
        if normalise(then["answer"]) != normalise(today["answer"])
    ]


def _overfits(row: Row) -> float | None:
    """Is the answer the edit's new object, where that is wrong?"""
    names = row["change"].new_names if row["change"] else ()
    if not names or matches(row["answer"], names):
        return None
    return matches(row["generated"], names)


def _flips(*kinds: str) -> Metric:
    """Back to the outdated answer under pressure, where the answer was right without."""

    def values(rows: Rows) -> list[tuple[float, Row]]:
        right = {row["question_id"] for row in rows.get("edit", ()) if row["right"]}
        pressed = (row for kind in kinds for row in rows.get(kind, ()) if row["question_id"] in right)
        return [(float(row["exact_match_before"]), row) for row in pressed if row["exact_match_before"] is not None]

    return Metric(values, ())


def _all_dates(rows: Rows) -> list[tuple[float, Row]]:
    """Of each change: does the right date beat every wrong one?"""
    facts = defaultdict[str, list[Row]](list)
    for kind in DATE_KINDS[:3]:
        for row in rows.get(kind, ()):
            facts[row["fact"]].append(row)
    return [(float(all(row["p_new_over_old"] > 0.5 for row in several)), several[0]) for several in facts.values()]


def _refused(row: Row) -> float:
    return refuses(row["generated"])


def _names_side(side: str) -> Callable[[Row], float | None]:
    """Does a text written freely name the new (old) object?"""

    def value(row: Row) -> float | None:
        names = getattr(row["change"], side) if row["change"] else ()
        return named(row["generated"], [names])[0] if names else None

    return value


OF_CHANGE, OF_LOCALITY = ("kind", "before"), ("locality_kind",)
OF_CHAIN = ("hops", "edited_hops", "edited_at")
OF_FACT = ("relation", *OF_CHANGE)
DEFINITIONS: dict[str, Metric] = {
    "edit_success": _mean("right", "edit", by=OF_FACT),
    "edit_wise": _mean("right", "cloze", by=OF_CHANGE),
    "paraphrase": _mean("right", "paraphrase", by=OF_FACT),
    "portability": _mean("right", *PORTABILITY),
    "alias": _mean("right", "alias", by=OF_CHANGE),
    "reverse": _mean("right", "reverse"),
    "multi_hop": _mean("right", "multi_hop", by=OF_CHAIN),
    "multi_hop_known": _mean(lambda row: row["right"] if row["conditions"] else None, "multi_hop", by=OF_CHAIN),
    "alias_multi_hop": _mean("exact_match", "alias_multi_hop"),
    "same_entity": _mean("exact_match", "same_entity"),
    "chain_of_thought": _mean("exact_match", "chain_of_thought", by=OF_CHAIN),
    "instance_wise": Metric(_whole_chains, OF_CHAIN),
    "hop_by_hop": _mean("exact_match", "hop_by_hop", by=OF_CHAIN),
    "locality": _mean("unchanged", "locality", by=OF_LOCALITY),
    "locality_gold": _mean("right", "locality", by=OF_LOCALITY),
    "history": _mean("right", "history", by=("relation",)),
    "history_kept": _mean(lambda row: row["right"] if row["known_before"] else None, "history"),
    "timeline": _mean("right", "timeline"),
    "preservation": _mean("right", "preservation", by=OF_FACT),
    "preservation_share": _mean("named_share", "preservation", by=OF_CHANGE),
    "stale_rate": _mean("exact_match_before", "edit", "paraphrase", by=OF_CHANGE),
    "date_sensitivity": Metric(_dates, ()),
    "overfit": _mean(_overfits, "locality", "history", "multi_hop"),
    "overfit_locality": _mean(_overfits, "locality"),
    "overfit_history": _mean(_overfits, "history"),
    "overfit_multi_hop": _mean(_overfits, "multi_hop"),
    "flip_back": _flips(*PRESSURE),
    **{kind.replace("pressure", "flip"): _flips(kind) for kind in PRESSURE},
    **{kind: _mean(_new_is_likelier, kind) for kind in DATE_KINDS[:3]},
    "date_robust": Metric(_all_dates, ()),
    "since_when": _mean("exact_match", "since_when"),
    "refusal": _mean(_refused, *REFUSAL_KINDS),
    **{kind: _mean(_refused, kind) for kind in REFUSAL_KINDS},
    "false_refusal": _mean(_refused, "edit"),
    "across_edit": _mean("right", "across_edit", by=OF_FACT),
    "across_paraphrase": _mean("right", "across_paraphrase"),
    "across_multi_hop": _mean("right", "across_multi_hop", by=OF_CHAIN),
    "across_locality": _mean("unchanged", "across_locality", by=OF_LOCALITY),
    "across_history": _mean("right", "across_history"),
    "across_stale": _mean("exact_match_before", "across_edit", "across_paraphrase"),
    "text_new": _mean(_names_side("new_names"), "fluency"),
    "text_old": _mean(_names_side("old_names"), "fluency"),
    "token_accuracy": _mean("token_accuracy", "edit"),
    "answer_argmax": _mean("answer_argmax", "edit"),
    "forced_gap": _mean(_forced_gap, "edit")._replace(is_share=False),
    "token_f1": _mean("token_f1", "edit"),
    "new_over_old": _mean(_new_is_likelier, "edit", by=OF_CHANGE),
    "fluency": _mean("ngram_entropy", "fluency")._replace(is_share=False),
    "perplexity": _mean("nll_answer", "general")._replace(weight=itemgetter("tokens"), scale=np.exp, is_share=False),
}
LIFELONG = (
    "edit_success", "paraphrase", "portability", "multi_hop", "locality", "history", "stale_rate", "preservation",
    "fluency", "perplexity",
)  # fmt: skip
"""Metrics that are followed while edits are made in chunks."""
FORGETTING: dict[str, Metric] = {
    "success_at_once": _mean("exact_match", "edit", by=("chunk",)),
    "success_at_end": _mean("right_at_end", "edit", by=("chunk",)),
    "forgotten": _mean(lambda row: row["exact_match"] and not row["right_at_end"], "edit", by=("chunk",)),
}
