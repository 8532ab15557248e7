"""The tables of scoring: probes (`PROBES`), what a model makes of them (`RESULTS`), and both together (`SCORES`)."""

from __future__ import annotations

import pyarrow as pa

__all__ = ["BEHIND", "OF_PROBE", "PROBES", "RESULTS", "SCORES"]

_VALUES = pa.list_(pa.struct([pa.field("names", pa.list_(pa.string())), pa.field("role", pa.string())]))
_STEPS = pa.list_(pa.struct([pa.field("question", pa.string()), pa.field("subject", pa.string())]))
PROBES = pa.schema(
    [
        pa.field("probe_id", pa.string()),  # hash of all that decides the score
        pa.field("way", pa.string()),  # ask, think, walk, write or read: see `probe_scorer`
        pa.field("question_id", pa.string()),
        pa.field("phrasing", pa.int8()),  # 0 is the question itself, then its phrasings; of kind hop: the hop's number
        pa.field(
            "kind", pa.string()
        ),  # the question's; across_edit …, chain_of_thought, hop, hop_by_hop, fluency, general
        pa.field("locality_kind", pa.string()),
        pa.field("relation", pa.string()),
        pa.field("hops", pa.int8()),
        pa.field("edited_hops", pa.int8()),
        pa.field("asked_on", pa.date32()),  # the past day asked about; null: now
        pa.field("fact", pa.string()),  # the edit tested or guarded (else the question): unit of the bootstrap
        pa.field("text", pa.string()),  # the wording, without the form around it
        pa.field("form", pa.string()),  # question or cloze
        pa.field("prefix", pa.string()),  # what stands before it
        pa.field("answer", pa.string()),
        pa.field("names", pa.list_(pa.string())),  # all right answers
        pa.field("answer_before", pa.string()),  # null where it never was another
        pa.field("names_before", pa.list_(pa.string())),
        pa.field("values", _VALUES),  # of an answer of several: what joined, stays or left, each under all its names
        pa.field("steps", _STEPS),  # hop by hop: the question of every hop, and the name in it to be replaced
        pa.field("edited_at", pa.string()),  # of a chain: where its edited facts stand, first, later or first+later
    ]
)
RESULTS = pa.schema(
    [
        pa.field("generated", pa.string()),  # greedy, literally, up to EOS or the end of the line
        pa.field("exact_match", pa.bool_()),  # normalised, any alias; of an answer of several: `answer_sets`
        pa.field("exact_match_before", pa.bool_()),  # the same for the old answer; null where there is none
        pa.field("named_share", pa.float32()),  # of an answer of several: share of the wanted values that are named
        pa.field("token_f1", pa.float32()),
        pa.field("token_accuracy", pa.float32()),  # teacher-forced: share of the answer's tokens that come first
        pa.field("answer_argmax", pa.bool_()),  # teacher-forced: all of them do
        pa.field("nll_answer", pa.float32()),  # mean negative log-likelihood per token of the answer, without EOS
        pa.field("nll_answer_before", pa.float32()),
        pa.field("p_new_over_old", pa.float32()),  # P(new) / (P(new) + P(old)), P = exp(-nll); null without an old one
        pa.field("tokens", pa.int32()),  # of the answer, or of the text that was read
        pa.field("walk", pa.list_(pa.string())),  # hop by hop: the model's answer to every hop
        pa.field("ngram_entropy", pa.float32()),  # bits, of what was written freely
    ]
)
OF_PROBE = [
    *("question_id", "phrasing", "kind", "locality_kind", "relation", "hops", "edited_hops", "asked_on", "fact"),
    *("text", "answer", "answer_before"),
]
"""Columns of `PROBES` in `SCORES`, before those of `RESULTS`; behind these stand `probe_id` and `BEHIND`."""
BEHIND = ["names", "edited_at"]
SCORES = pa.schema(
    [
        *(PROBES.field(name).with_name("prompt" if name == "text" else name) for name in OF_PROBE),
        *RESULTS,
        PROBES.field("probe_id"),
        *(PROBES.field(name) for name in BEHIND),
    ]
)
