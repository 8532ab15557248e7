"""What a finished snapshot promises: the id of each promise, and its sentence.

An id is stable: `rejections` give it as the reason for what was set aside because it breaks the promise
(`schemas.reasons`). How each promise is checked is said in `pipeline.snapshots.invariants`; those of files, in
`pipeline.snapshots.verify`.
"""

from __future__ import annotations

__all__ = ["PROMISES"]

# id -> sentence
PROMISES: dict[str, str] = {
    # The files of the folder.
    "files_there": "every file of the manifest is there",
    "no_foreign_file": "no Parquet file is missing from the manifest",
    "no_links": "no file is a link to another place",
    "files_as_written": "every file is the one that was written",
    "tables_there": "every table is there",
    # Ids, and what they point at.
    "unique_statement_ids": "every statement_id is unique",
    "unique_edit_ids": "every edit_id is unique",
    "unique_question_ids": "every question_id is unique",
    "unique_entities": "every entity has one row",
    "edit_id_is_hash": "every edit_id is the hash of its edit",
    "edit_statements_exist": "every statement behind an edit is there",
    "edit_has_statements": "every edit names its statements",
    "timeline_statements_exist": "every statement behind a timeline is there",
    "question_edits_exist": "every edit that a question names is there",
    "edit_is_asked": "every edit has its edit question",
    "edit_names_exist": "every QID of an edit is an entity with a name",
    # Edits.
    "labels_are_names": "no label is missing or an id",
    "values_differ": "old and new value of an edit differ",
    "kind_fits_values": "a modification has an old value, an injection and an update none",
    "change_in_window": "a change lies after since and not after as_of",
    "edits_agree": "no edit contradicts another",
    "nothing_held_before": "nothing may hold at since where an edit has no old value",
    "nobody_is_stated": "that nobody held it at since is stated, or the subject began later",
    # Facts that edits and questions rely on.
    "facts_certain": "every fact used is certain on its day, by the timelines",
    "facts_stated": "every fact used is stated, by a statement that may count",
    "facts_uncontradicted": "no statement with both dates contradicts a fact used",
    "left_alone": "who left something left that alone on its day, by the statements",
    "left_before_since": "a departure lies before since",
    "nothing_after_death": "nobody holds anything after death",
    # Questions.
    "chain_joined": "a chain is joined",
    "chain_ends_in_answer": "a chain ends in its answer",
    "edited_hop_is_edit": "an edited hop is its edit",
    "changes_told_as_edited": "every changed fact in a chain is told as edited",
    "two_answers": "a question about a change has two answers",
    "locality_unmoved": "a locality answer has not moved",
    "history_is_past": "a history question asks about the past",
    "question_and_answer": "every question has at least one answer and a text",
    "answer_not_given_away": "no question contains its answer",
    "one_answer_per_text": "one text has one answer",
    "fallback_names_told": "a name of another language is told",
    "split_kept": "no question for training asks about an edit for testing",
    "subject_split": "the edits of a subject are all for training or all for testing",
    # Sets of values.
    "set_by_timelines": "what joined, left or stays does so by the timelines",
    "set_stated": "every value of a set is stated, by a statement that may count",
    "set_uncontradicted": "no statement with both dates contradicts what joined or left",
    "left_by_stated_end": "what left has a stated end",
    "set_edits_agree": "edits of one set share their words and their answers",
    "set_answer_named": "an answer names its set and nothing else",
    "set_change_told": "a question about a set that changed tells what joined and what left",
    "set_asked_once": "the edits of a set are asked as one",
    "set_answer_stays": "a set that is asked as it was or stays has the same answer before",
    "set_preserved": "what is preserved stays by every edit of the set",
    "set_not_given_away": "no question about a set names one of its values",
    "set_guard_unmoved": "a set that guards an edit has not moved",
    # Words.
    "target_is_named": "what an edit writes is the name of its value",
    "edit_asked_as_told": "an edit is asked by its prompt and answered by what it writes",
    "wordings_of_the_edit": "a paraphrase and a cloze are words of their edit",
    "called_by_name": "every entity is called by its name, and every literal by its value",
    "question_names_subject": "every question names its subject",
    "question_id_is_hash": "every question_id is the hash of its question",
    "known_reasons": "every reason is in the closed list",
}
