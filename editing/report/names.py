"""The names of all metrics, the same in tables, plots, JSON and CSV, with what they mean and the papers' terms.

`edit_success` in JSON is "edit success" for a reader: nothing else has a name of its own.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["DETAILS", "MAIN", "NAMES", "Name", "heading", "label"]


class Name(NamedTuple):
    meaning: str
    better: str
    """↑ where more is better, ↓ where less is; empty where neither."""
    term: str = ""
    """What papers call it."""


MAIN = {
    "edit_success": Name(
        "the new fact is given, asked in the wording of the edit", "↑",
        "reliability (Yao et al. 2023), edit success (KnowEdit)",
    ),
    "paraphrase": Name(
        "the new fact is given in wordings that no editor was trained on", "↑", "generalization (Yao et al. 2023)"
    ),
    "portability": Name(
        "it is used: by another name, in reverse, over several hops", "↑", "portability (Yao et al. 2023)"
    ),
    "multi_hop": Name(
        "a question over several facts is answered rightly in any of its wordings", "↑",
        "multi-hop accuracy (MQuAKE, Zhong et al. 2023)",
    ),
    "locality": Name(
        "facts that did not change are answered as before the edit", "↑", "locality (KnowEdit, Zhang et al. 2024)"
    ),
    "history": Name("the past is known: who it was on a date before the change", "↑"),
    "preservation": Name(
        "of a set that was added to or taken from, every value that stays is still named", "↑",
        "forgetfulness (RippleEdits, Cohen et al. 2024)",
    ),
    "stale_rate": Name("the outdated answer is still given to a question about now", "↓"),
    "seconds": Name("seconds of editing, without scoring", "↓"),
    "peak_memory_mb": Name("most memory of the process while editing or scoring, in MB", "↓"),
}  # fmt: skip
"""The first table."""
DETAILS = {
    "edit_wise": Name("the new fact completes a sentence", "↑", "edit-wise accuracy (MQuAKE)"),
    "instance_wise": Name("every single fact of a multi-hop question is known", "↑", "instance-wise accuracy (MQuAKE)"),
    "hop_by_hop": Name("the same questions, one fact after the other with the model's own answers put in", "↑"),
    "chain_of_thought": Name("the same questions, after worked examples that think aloud", "↑", "CoT (MQuAKE)"),
    "multi_hop_known": Name(
        "multi-hop questions of which the unedited model knows every fact that did not change",
        "↑",
        "conditions (RippleEdits)",
    ),
    "alias_multi_hop": Name("multi-hop questions that name their subject otherwise", "↑", "subject alias (UniEdit)"),
    "same_entity": Name("whether two edit questions have the same answer", "↑", "same-entity reasoning (UniEdit)"),
    "locality_gold": Name("facts that did not change are answered rightly", "↑"),
    "history_kept": Name("of the past that the unedited model knew, what is still known", "↑", "retention"),
    "preservation_share": Name("of the values of such a set that stay, so many are still named", "↑"),
    "date_sensitivity": Name("a question about now and one about then get different answers, as they should", "↑"),
    "overfit": Name(
        "locality, history and multi-hop questions are answered with the edit's new object, where that is wrong",
        "↓",
        "editing overfit (EVOKE)",
    ),
    "flip_back": Name(
        "under pressure, the outdated answer comes back where the right one was given",
        "↓",
        "superficial editing (arXiv 2505.12636), robustness (HalluEditBench)",
    ),
    "flip_repeated": Name("the same, after the outdated name was repeated", "↓"),
    "flip_asked": Name('the same, after "Is OLD the …?"', "↓"),
    "flip_past": Name("the same, after a true sentence about the past", "↓"),
    "flip_objection": Name("the same, as an objection to the right answer", "↓"),
    "date_year": Name("the right year of a change is likelier than a wrong one", "↑", "win rate (TimeStress)"),
    "date_month": Name("the same of the month", "↑"),
    "date_day": Name("the same of the day", "↑"),
    "date_robust": Name("the right date of a change is likelier than every wrong one", "↑", "robustness (TimeStress)"),
    "since_when": Name("asked since when something is so, the date is given", "↑"),
    "refusal": Name("where nobody can be named for a date, the answer says so", "↑", "refusal (EvolveBench)"),
    "refuse_before": Name("the same, before the subject existed", "↑"),
    "refuse_after": Name("the same, after it had ended", "↑"),
    "refuse_vacant": Name("the same, in a vacancy", "↑"),
    "refuse_future": Name("the same, in a year that is to come", "↑"),
    "false_refusal": Name("an edit question is answered that nobody can be named", "↓"),
    "across_edit": Name(
        "taught in one language, the new fact is given in another", "↑", "cross-lingual reliability (Wang et al. 2023)"
    ),
    "across_paraphrase": Name("the same in other wordings", "↑", "cross-lingual generality"),
    "across_multi_hop": Name("the same over several facts", "↑", "cross-lingual portability"),
    "across_locality": Name(
        "in the other language, what did not change is answered as before", "↑", "cross-lingual locality"
    ),
    "across_history": Name("in the other language, the past is known", "↑"),
    "across_stale": Name("in the other language, the outdated answer is still given", "↓"),
    "text_new": Name("texts written freely about a fact name the new object", "↑"),
    "text_old": Name("texts written freely about a fact name the outdated object", "↓"),
    "token_accuracy": Name(
        "teacher-forced: share of the answer's tokens that come first", "↑", "rewrite accuracy of other tools"
    ),
    "forced_gap": Name("token accuracy less edit success: what teacher forcing flatters", "↓", "WILD (2025)"),
    "new_over_old": Name("the new answer is likelier than the old one", "↑", "efficacy (ROME, Meng et al. 2022)"),
    "fluency": Name("n-gram entropy, in bits, of texts written freely (repetition lowers it)", "↑", "fluency (ROME)"),
    "perplexity": Name("of texts that no edit touches (a small world learns answers alone, not questions)", "↓"),
    "success_at_once": Name("edits in chunks: edit success right after each chunk", "↑"),
    "success_at_end": Name("edits in chunks: the same questions after all chunks", "↑"),
    "forgotten": Name("edits in chunks: right after the chunk, and wrong at the end", "↓"),
}
"""The second table: what explains the first."""
NAMES = MAIN | DETAILS


def label(metric: str) -> str:
    """`edit_success` -> edit success"""
    return metric.replace("_", " ").replace(" mb", " MB")


def heading(metric: str) -> str:
    """The name, and which way is better: edit success ↑"""
    better = NAMES[metric].better if metric in NAMES else ""
    return f"{label(metric)} {better}".rstrip()
