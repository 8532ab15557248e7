"""Names at random, and one record of each format that is read."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from chronofacts.pipeline.exchange.collector import plain

NAME = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=12).filter(plain)


WIKIBIGEDIT = {
    "tag": "new", "subject": "Elm", "update": "Who is the mayor of Elm?", "rephrase": "Who leads Elm?", "ans": "Li",
    "personas": "Ahoy, who be mayor of Elm?", "loc": "Who is the mayor of Zug?", "loc_ans": "Wu",
    "mhop": "Where was the mayor of Elm born?", "mhop_ans": "Zug",
}  # fmt: skip

QAEDIT = {
    "id": 1, "source": "NQ", "prompt": "who wrote Elm?", "target": "Li", "subject": "Elm", "rephrase": "Elm is whose?",
    "locality": [{"loc": "who sings", "loc_ans": "Ann"}, {"loc": "who reads", "loc_ans": "Bob"}],
}  # fmt: skip


def ripple_query(prompt: str, answer: str) -> dict[str, Any]:
    query = {"prompt": prompt, "answers": [{"value": answer, "aliases": [f"{answer}y"]}], "query_type": "regular"}
    return {"test_queries": [query], "test_condition": "OR", "condition_queries": []}


RIPPLE = {
    "example_type": "recent",
    "edit": {
        "prompt": "The name of the head of government of Elm is Li Wei.", "subject_id": "Q91", "relation": "HEAD",
        "target_id": "Q92",
        "original_fact": {
            "prompt": "The name of the head of government of Elm is Lin Wu.", "subject_id": "Q91", "relation": "HEAD",
            "target_id": "Q93",
        },
    },
    "Relation_Specificity": [ripple_query("The continent of Elm is", "Norland")],
    "Compositionality_I": [ripple_query("The birthplace of the head of government of Elm is", "Zug")],
    "Subject_Aliasing": [ripple_query("The head of government of Elmland is", "Li Wei")],
    "Forgetfulness": [],
}  # fmt: skip

WIKIFACTDIFF = {
    "subject": {"id": "Q91", "label": "Elm", "description": "a land", "popularity": 5},
    "relation": {"id": "P6", "label": "head of government"},
    "is_replace": True,
    "objects": [
        {"id": "Q92", "label": "Li", "description": "x", "decision": "new"},
        {"id": "Q93", "label": "Wu", "description": "x", "decision": "obsolete"},
    ],
    "update_prompt": "The head of government of Elm is ____",
    "generalization_prompts": ["Elm is led by ____"],
    "neighborhood": [
        {"subject": {"id": "Q81"}, "prompt": "Oak is led by ____", "object": {"id": "Q82", "label": "Jo"}, "dist": 1}
    ],
}  # fmt: skip


# An invented case in the shape of MQuAKE-T.
CASE: dict[str, Any] = {
    "case_id": 1,
    "requested_rewrite": [
        {
            "prompt": "The premier of {} is",
            "relation_id": "P6",
            "target_new": {"str": "Bo Crane", "id": "Q3"},
            "target_true": {"str": "Ana Brill", "id": "Q2"},
            "subject": "Veldor",
            "question": "Who is the premier of Veldor?",
        }
    ],
    "questions": ["Who is the spouse of Veldor's premier?", "Whom did Veldor's premier marry?", "Veldor's first pair?"],
    "answer": "Tom Ash",
    "answer_alias": ["T. Ash"],
    "new_answer": "Ida Dell",
    "new_answer_alias": [],
    "answer_extended": ["Tom Ash"],
    "single_hops": [
        {"question": "Who is the premier of Veldor?", "cloze": "The premier of Veldor is", "answer": "Ana Brill",
         "answer_alias": ["A. Brill"]},
        {"question": "Who is the spouse of Ana Brill?", "cloze": "The spouse of Ana Brill is", "answer": "Tom Ash",
         "answer_alias": ["T. Ash"]},
    ],
    "new_single_hops": [
        {"question": "Who is the premier of Veldor?", "cloze": "The premier of Veldor is", "answer": "Bo Crane",
         "answer_alias": ["Robert Crane"]},
        {"question": "Who is the spouse of Bo Crane?", "cloze": "The spouse of Bo Crane is", "answer": "Ida Dell",
         "answer_alias": []},
    ],
    "orig": {
        "triples": [["Q1", "P6", "Q2"], ["Q2", "P26", "Q4"]],
        "triples_labeled": [["Veldor", "head of government", "Ana Brill"], ["Ana Brill", "spouse", "Tom Ash"]],
        "new_triples": [["Q1", "P6", "Q3"], ["Q3", "P26", "Q5"]],
        "new_triples_labeled": [["Veldor", "head of government", "Bo Crane"], ["Bo Crane", "spouse", "Ida Dell"]],
        "edit_triples": [["Q1", "P6", "Q3"]],
    },
}  # fmt: skip


# An invented record in the published shape.
COUNTERFACT: dict[str, Any] = {
    "case_id": 0,
    "pararel_idx": 12,
    "requested_rewrite": {
        "prompt": "The mother tongue of {} is",
        "relation_id": "P103",
        "target_new": {"str": "Veldic", "id": "Q11"},
        "target_true": {"str": "Orlish", "id": "Q12"},
        "subject": "Mira Quell",
    },
    "paraphrase_prompts": ["He left early. Mira Quell spoke the language", "Mira Quell, a native"],
    "neighborhood_prompts": ["The mother tongue of Tom Ash is", "Ida Dell, a native"],
    "attribute_prompts": ["The mother tongue of Bo Crane is"],
    "generation_prompts": ["Mira Quell lives in"],
}


# An invented record in the published shape.
ZSRE: dict[str, Any] = {
    "subject": "Tulle Hall",
    "src": "Who designed Tulle Hall?",
    "pred": "Gil Hart",
    "rephrase": "By whom was Tulle Hall designed?",
    "alt": "Bo Crane",
    "answers": ["Ana Brill", "A. Brill"],
    "loc": "nq question: when was the orlo bridge opened",
    "loc_ans": "1931",
    "cond": "Gil Hart >> Bo Crane || Who designed Tulle Hall?",
}
