"""The closed list of reasons for which something is left out of a snapshot.

A reason is a code (stable, for counting), the stage that gives it and one sentence for a person.
`pipeline.storage.rejections` refuses any code that is not in this list. The promises of `schemas.promises` are reasons
as well: the last stage, `verify`, sets aside what breaks one.
"""

from __future__ import annotations

from chronofacts.schemas.promises import PROMISES

__all__ = ["REASONS", "STAGES", "explain"]

STAGES = ("statements", "timelines", "crosscheck", "changes", "questions", "hops", "verify")

# code -> (stage, sentence)
REASONS: dict[str, tuple[str, str]] = {
    # One statement, looked at alone.
    "malformed_time": ("statements", "A time value does not read as a Wikidata time."),
    "absurd_year": ("statements", "A year lies outside what a calendar of days can hold."),
    "unknown_calendar": ("statements", "A time names a calendar that is neither Gregorian nor Julian."),
    "conflicting_dates": ("statements", "Several start or end qualifiers that cannot all be true."),
    "start_after_end": ("statements", "The statement starts after it ends."),
    "wrong_object_type": ("statements", "A literal stands where the relation wants an item, or the reverse."),
    "too_long": ("statements", "A value or its qualifiers are longer than Wikidata lets anybody write."),
    "malformed_id": ("statements", "An id is not a Wikidata id."),
    "deprecated": ("statements", "The statement has deprecated rank: Wikidata says it is wrong."),
    "broken_line": ("statements", "A line of the dump could not be read."),
    "unread_subject": ("statements", "Nothing about its subject changed in the days read: the rest is not known."),
    "duplicate_statement": ("statements", "The same statement id was read twice; the newer revision was kept."),
    # One statement within its timeline.
    "dateless": ("timelines", "Neither start nor end is known, and other statements of the timeline are dated."),
    "coarse_date": ("timelines", "The start is known only to the decade or worse, which decides nothing."),
    "restricted": ("timelines", "A qualifier restricts the statement (acting, a district, a part only)."),
    "no_release": ("timelines", "A pre-release of software is never its current version."),
    "older_branch": ("timelines", "A version with a lower number than one that was published before it."),
    "other_class": ("timelines", "The object is of a class that the relation does not ask for, or of none listed."),
    "unknown_holder": ("timelines", "Wikidata says that somebody held it, but not who."),
    "outranked": ("timelines", "Another holder who began on the same day has preferred rank."),
    "replacement_cycle": ("timelines", "The statements' replaced-by qualifiers run in a circle."),
    "not_single_valued": ("timelines", "Several objects hold at once for a subject of a single-valued relation."),
    "plural_relation": ("timelines", "The relation is declared single-valued, but the data says that it is not."),
    # Several places that say the same thing.
    "sources_disagree": ("crosscheck", "Two places of Wikidata name different holders for the same time."),
    "young_statement": ("crosscheck", "The statement was edited so recently that it may yet be reverted."),
    # One (subject, relation) on the two dates.
    "uncertain_at_since": ("changes", "The value at since is not certain."),
    "uncertain_at_as_of": ("changes", "The value at as_of is not certain."),
    "ended_without_successor": ("changes", "A value held at since and ended, and none came in its place by as_of."),
    "subject_gone": ("changes", "By as_of the subject had died or ceased to exist, or may have on an unknown day."),
    "uncertain_change_date": ("changes", "The day of the change is not certain: before since, or one of several."),
    "uncertain_others": (
        "changes",
        "Something else may have joined or left at the same time; nobody knows all that did.",
    ),
    "too_many_values": ("changes", "A value left a set that is too large to be told whole."),
    "nothing_stays": ("changes", "Values left a set and none of the others is certain."),
    "same_name": ("changes", "Old and new object have the same name or share an alias."),
    "no_label": ("changes", "The subject, the old or the new object has no name in the snapshot's language."),
    "unusable_label": ("changes", "A name cannot stand in a question (too long, control characters, an id)."),
    # Questions.
    "said_twice": ("questions", "Another edit or question of the set asks the same with the same answer."),
    "foreign_title": ("questions", "An office has no name in the language of the questions."),
    "ambiguous_name": ("questions", "Two entities of the set share the name in the same relation."),
    "answer_in_question": ("questions", "The question gives its answer away."),
    "contradicting_answers": ("questions", "Two questions with one text have different answers."),
    "contradicting_edits": ("questions", "Another edit of the imported set changes the same fact otherwise."),
    "repeated_record": ("questions", "Another record of the imported file says the same; it counts once."),
    "subject_not_in_prompt": ("questions", "The imported prompt does not name its subject; the edit is kept as it is."),
    "answer_of_both": ("questions", "A further answer of the imported file is one of the other side of the change."),
    "unread_field": ("questions", "A field of the imported file that its reader does not know."),
    "no_probe": ("questions", "No fact was found that could serve as a probe of this kind for the edit."),
    "uncertain_hop": ("hops", "A fact of the chain is not certain on one of the two dates."),
    "hop_unchanged": ("hops", "The chain's final answer is the same before and after the edit."),
    "hop_loop": ("hops", "The chain returns to an entity already named."),
    "hop_over_cap": ("hops", "The sampler's cap for this subject, relation or edit was reached."),
    # The finished snapshot.
    **{
        code: ("verify", f"It, or what it depends on, broke a promise: {promise}.")
        for code, promise in PROMISES.items()
    },
}


def explain(code: str) -> str:
    """The sentence for a reason code; KeyError for a code that is not in the list."""
    return REASONS[code][1]
