"""Sets of values that changed: the edits that they become, what is asked of them, and the sets that did not change.

A set is named whole where it has at most `LONGEST_SET` values, and else what joined; a value that has no usable name,
or whose name stands in another value's, is left out of it and says why. All edits of one set share their texts
and their answer, so that they never contradict each other.
Of an open relation no list is ever whole (the organisations that a country is in), so that one asks what joined, or
what left, on a day: all that did on it is the answer. What did on one of several days is not asked, nor is a day on
which something else may have. What stays is asked by the day on which it joined (`SET_EVENTS`).
Leaves out: what joined and left (`pipeline.memberships`) and the questions (`pipeline.questions.set_questions`).
"""

from __future__ import annotations

from chronofacts.pipeline.questions.steps import adds_to, creates

__all__ = [
    "CLASHES", "CROWDED_DAYS", "DATED_VALUES", "GUARDED", "JUDGED_VALUES", "LONGEST_SET", "SET_EDITS", "SET_EVENTS",
    "SET_GROUPS", "SET_REJECTIONS", "SET_VALUES", "STABLE_SETS",
]  # fmt: skip

LONGEST_SET = 8
"""Values that a question may expect to be named; nobody names seventy organisations in a breath."""

JUDGED_VALUES = creates("judged_values", reads="members names templates shared_names")("""
WITH prompts AS (
    SELECT m.relation, m.subject, fill(t.form, s.label, s.label, '', '') AS text
    FROM (SELECT DISTINCT relation, subject FROM members) m
    JOIN names s ON s.id = m.subject AND s.kind = 'item'
    JOIN templates t ON t.relation = m.relation AND t.use IN ('all_now', 'joined') AND t.number = 0
)
SELECT m.*, s.label AS subject_label, o.label, o.aliases, o.shown, o.words, o.alias_words, o.fell_back,
    CASE
        WHEN s.reason = 'no_label' OR o.reason = 'no_label' THEN 'no_label'
        WHEN s.reason IS NOT NULL OR o.reason IS NOT NULL THEN 'unusable_label'
        WHEN shared.words IS NOT NULL THEN 'ambiguous_name'
        -- A shared word gives nothing away: that the United States are in the United Nations is to be known.
        WHEN contains(plain_words(p.text), o.words)
            OR len(list_filter(o.alias_words, lambda a: length(a) > 5 AND contains(s.words, a))) > 0
            THEN 'answer_in_question'
    END AS reason
FROM members m
JOIN names s ON s.id = m.subject AND s.kind = 'item'
JOIN names o ON o.id = m.object AND o.kind = m.object_kind
JOIN prompts p ON p.relation = m.relation AND p.subject = m.subject
LEFT JOIN shared_names shared ON shared.relation = m.relation AND shared.words = s.words
""")

# What left must not be named by naming what is there, nor what joined by naming what was.
CLASHES = creates("clashes", reads="judged_values")("""
SELECT DISTINCT mine.relation, mine.subject, mine.object
FROM judged_values mine JOIN judged_values theirs ON theirs.relation = mine.relation AND theirs.subject = mine.subject
WHERE mine.role <> 'stays' AND theirs.role <> mine.role AND mine.reason IS NULL AND theirs.reason IS NULL
    AND names_overlap(mine, theirs)
""")

# What an open relation is asked by: of days that lie within each other the widest, so that its answer is all of them.
DATED_VALUES = creates("dated_values", reads="judged_values relation_facts", drops="judged_values")("""
SELECT j.*, r.open_set, w.changed_on_earliest AS event_on, w.changed_on_precision AS event_precision,
    w.changed_on_latest AS event_latest, is_unit(event_on, event_latest, event_precision) AS event_named
FROM judged_values j JOIN relation_facts r USING (relation)
LEFT JOIN judged_values w ON r.open_set AND j.role <> 'stays' AND w.relation = j.relation AND w.subject = j.subject
    AND w.role = j.role AND w.changed_on_earliest <= j.changed_on_earliest
    AND w.changed_on_latest >= j.changed_on_latest
QUALIFY row_number() OVER (PARTITION BY j.relation, j.subject, j.object
    ORDER BY w.changed_on_latest - w.changed_on_earliest DESC, w.changed_on_earliest, w.changed_on_precision) = 1
""")

# Days on which something may have joined, or left, besides what did: nobody knows what else the answer should name.
CROWDED_DAYS = creates("crowded_days", reads="dated_values timelines")("""
SELECT DISTINCT d.relation, d.subject, d.role, d.event_on
FROM dated_values d JOIN timelines t ON t.relation = d.relation AND t.subject = d.subject
    AND CASE d.role WHEN 'joined' THEN t.valid_from_earliest ELSE t.valid_to_earliest END <= d.event_latest
    AND CASE d.role WHEN 'joined' THEN t.valid_from_latest ELSE t.valid_to_latest END >= d.event_on
LEFT JOIN dated_values other ON other.relation = d.relation AND other.subject = d.subject AND other.object = t.object
    AND other.role = d.role AND other.event_on = d.event_on
WHERE d.open_set AND d.role <> 'stays' AND other.object IS NULL
""")

# after, before, joined: how many usable values the set has, had and gained; at_once: how many joined, or left, on the
# same day. refused: why the value becomes no edit.
SET_VALUES = creates(
    "set_values", reads="dated_values clashes crowded_days", drops="dated_values clashes crowded_days"
)(f"""
WITH judged AS (
    SELECT j.* EXCLUDE (event_latest)
            REPLACE (CASE WHEN c.object IS NOT NULL THEN 'same_name' ELSE j.reason END AS reason),
        d.event_on IS NOT NULL AS crowded
    FROM dated_values j LEFT JOIN clashes c USING (relation, subject, object)
    LEFT JOIN crowded_days d ON d.relation = j.relation AND d.subject = j.subject AND d.role = j.role
        AND d.event_on = j.event_on
)
SELECT * EXCLUDE (crowded), reason IS NULL AS usable,
    count(*) FILTER (reason IS NULL) OVER (PARTITION BY relation, subject, role, event_on) AS at_once,
    count(*) FILTER (reason IS NULL AND role <> 'left') OVER set_of AS after,
    count(*) FILTER (reason IS NULL AND role <> 'joined') OVER set_of AS before,
    count(*) FILTER (reason IS NULL AND role = 'joined') OVER set_of AS joined,
    bool_or(role <> 'stays') OVER set_of AS changed,
    CASE WHEN reason IS NOT NULL THEN reason
        WHEN open_set THEN (CASE WHEN role = 'stays' THEN NULL WHEN NOT event_named THEN 'uncertain_change_date'
            WHEN crowded THEN 'uncertain_others' WHEN at_once > {LONGEST_SET} THEN 'too_many_values' END)
        WHEN role = 'joined' AND joined > {LONGEST_SET} THEN 'too_many_values'
        WHEN role = 'left' AND after > {LONGEST_SET} THEN 'too_many_values'
        WHEN role = 'left' AND after = 0 THEN 'nothing_stays'
    END AS refused
FROM judged
WINDOW set_of AS (PARTITION BY relation, subject)
""")

SET_EDITS = creates("set_edits", reads="set_values")("""
SELECT content_id(CAST(to_json([relation, subject, CASE WHEN role = 'left' THEN object END,
        CASE WHEN role = 'joined' THEN object END, CAST(changed_on_earliest AS VARCHAR)]) AS VARCHAR)) AS edit_id,
    content_id(concat_ws('/', 'set', relation, subject)) AS set_of,
    CASE WHEN open_set THEN content_id(concat_ws('/', 'set', relation, subject, role, CAST(event_on AS VARCHAR)))
        ELSE set_of END AS group_id, * EXCLUDE (reason, refused, usable)
FROM set_values WHERE role <> 'stays' AND refused IS NULL
""")

# A value that only stays and has no usable name makes the answer poorer: that is a rejection where the set changed.
SET_REJECTIONS = adds_to("rejections", reads="set_values stages")("""
SELECT stages.stage, refused AS reason, subject, relation, [object] AS ids,
    concat('subject: ', coalesce(subject_label, subject), '; ', role, ': ', coalesce(label, object)) AS detail
FROM set_values JOIN stages ON stages.reason = refused WHERE changed
""")

# One row per set that changed, or of an open relation per day on which something joined or left. answer_set and
# before_set: the values that the answers name, which of a set too large to be named whole are what joined, and nothing
# but what left. ask, close: the uses of the templates that ask it and that end before the answer; phrase: their day.
SET_GROUPS = creates("set_groups", reads="set_edits set_values relation_facts names")(f"""
WITH edited AS (
    SELECT group_id, set_of, relation, subject, open_set, list_sort(list(edit_id)) AS edit_ids,
        list(object) AS objects, CASE WHEN open_set THEN any_value(role) END AS event,
        CASE WHEN open_set THEN date_phrase(any_value(event_on), min(event_precision)) ELSE '' END AS phrase
    FROM set_edits GROUP BY group_id, set_of, relation, subject, open_set
),
answers AS (
    SELECT e.group_id, any_value(v.before) AS before,
        list({{'id': v.object, 'label': v.label, 'aliases': v.aliases, 'role': v.role}} ORDER BY v.object)
            FILTER (CASE WHEN e.open_set THEN list_contains(e.objects, v.object)
                ELSE v.role = 'joined' OR v.role = 'stays' AND v.after <= {LONGEST_SET} END) AS answer_set,
        list({{'id': v.object, 'label': v.label, 'aliases': v.aliases, 'role': v.role}} ORDER BY v.object)
            FILTER (NOT e.open_set AND (v.role = 'left' OR v.role = 'stays' AND v.before <= {LONGEST_SET}))
            AS before_set,
        list({{'id': v.object, 'label': v.label, 'aliases': v.aliases}} ORDER BY v.object)
            FILTER (v.role = 'stays') AS stays,
        list(v.shown ORDER BY lower(v.label), v.object)
            FILTER (CASE WHEN e.open_set THEN list_contains(e.objects, v.object)
                ELSE v.role = 'joined' OR v.role = 'stays' AND v.after <= {LONGEST_SET} END) AS after_shown,
        list(v.shown ORDER BY lower(v.label), v.object) FILTER (v.role <> 'joined') AS before_shown,
        list(v.object ORDER BY v.object) FILTER (v.role = 'joined' AND named) AS joined_ids,
        list(v.object ORDER BY v.object) FILTER (v.role = 'left' AND named) AS left_ids,
        list(v.object ORDER BY v.object) FILTER (v.fell_back AND named) AS fallback_names
    FROM edited e JOIN (SELECT * EXCLUDE (open_set) FROM set_values) v USING (relation, subject),
        (SELECT NOT e.open_set OR list_contains(e.objects, v.object) AS named)
    WHERE v.usable
    GROUP BY e.group_id
)
SELECT e.*, CASE WHEN e.open_set THEN concat(CASE WHEN len(answer_set) > 1 THEN 'several_' ELSE '' END, event)
        ELSE 'all_now' END AS ask,
    CASE WHEN e.open_set THEN concat(ask, '_cloze') ELSE 'all_cloze' END AS close,
    r.property, r.inverse, s.label AS subject_label, s.aliases AS subject_aliases, s.sitelinks,
    named_subject(r.article, s) AS shown, answer_set, coalesce(before_set, []) AS before_set,
    coalesce(stays, []) AS stays, list_text(after_shown) AS target_new,
    CASE WHEN NOT e.open_set AND a.before BETWEEN 1 AND {LONGEST_SET} THEN list_text(before_shown)
        END AS target_old,
    array_to_string(coalesce(joined_ids, left_ids), '|') AS answer_id,
    CASE WHEN target_old IS NOT NULL THEN array_to_string(list_transform(before_set, lambda v: v.id), '|') END
        AS before_id,
    coalesce(fallback_names, []) AS fallback_names, draw_for(e.set_of) AS draw,
    CAST(draw % getvariable('parts') AS INTEGER) AS part,
    draw_for(concat('split/', e.subject)) % 1000 < getvariable('train_per_mille') AS train
FROM edited e JOIN answers a USING (group_id)
JOIN relation_facts r USING (relation)
JOIN names s ON s.id = e.subject AND s.kind = 'item'
""")

# The days on which what stays joined an open set, day or month known, with all that did.
SET_EVENTS = creates("set_events", reads="set_values timelines relation_facts names")(f"""
WITH open_sets AS (SELECT DISTINCT relation, subject FROM set_values WHERE open_set),
starts AS (
    SELECT t.relation, t.subject, t.object, t.valid_from_earliest AS first, t.valid_from_latest AS last,
        t.valid_from_precision AS precision
    FROM timelines t SEMI JOIN open_sets o ON o.relation = t.relation AND o.subject = t.subject
    WHERE t.valid_from_earliest IS NOT NULL
),
days AS (
    SELECT DISTINCT relation, subject, first, last, precision FROM starts
    WHERE precision >= 10 AND is_unit(first, last, precision) AND last < getvariable('since')
),
events AS (
    SELECT d.relation, d.subject, d.first, any_value(d.precision) AS precision, any_value(v.changed) AS changed,
        list({{'id': v.object, 'label': v.label, 'aliases': v.aliases, 'role': 'stays'}} ORDER BY v.object)
            AS answer_set,
        list_text(list(v.shown ORDER BY lower(v.label), v.object)) AS answer,
        list(v.object ORDER BY v.object) AS objects,
        list(v.object ORDER BY v.object) FILTER (v.fell_back) AS fallback_names
    FROM days d JOIN (SELECT DISTINCT relation, subject, object, first, last FROM starts) s
        ON s.relation = d.relation AND s.subject = d.subject AND s.first <= d.last AND s.last >= d.first
    LEFT JOIN set_values v ON v.relation = s.relation AND v.subject = s.subject AND v.object = s.object
        AND v.usable AND v.role = 'stays'
    GROUP BY d.relation, d.subject, d.first, d.last
    -- Who joined with it and left again is part of the answer, and no longer there; who may have joined on that day is
    -- perhaps part of it.
    HAVING count(v.object) = count(*) AND count(*) = count(DISTINCT s.object) AND count(*) <= {LONGEST_SET}
        AND bool_and(s.first >= d.first AND s.last <= d.last)
)
SELECT e.* EXCLUDE (fallback_names), coalesce(fallback_names, []) AS fallback_names, s.label AS subject_label,
    named_subject(r.article, s) AS shown, date_phrase(e.first, e.precision) AS phrase,
    CASE WHEN len(e.answer_set) > 1 THEN 'several_joined' ELSE 'joined' END AS ask, concat(ask, '_cloze') AS close,
    draw_for(concat_ws('/', 'event', e.relation, e.subject, CAST(e.first AS VARCHAR))) AS draw
FROM events e JOIN relation_facts r USING (relation) JOIN names s ON s.id = e.subject AND s.kind = 'item'
QUALIFY row_number() OVER (PARTITION BY e.relation, e.subject ORDER BY draw) <= getvariable('history_per_edit')
""")

# Whole sets that did not change, and days on which others joined, numbered within their relation by their draws.
STABLE_SETS = creates("stable_sets", reads="set_values set_events relation_facts names", drops="set_values")(f"""
WITH answers AS (
    SELECT v.relation, v.subject,
        list({{'id': v.object, 'label': v.label, 'aliases': v.aliases, 'role': 'stays'}} ORDER BY v.object)
            AS answer_set,
        list_text(list(v.shown ORDER BY lower(v.label), v.object)) AS answer,
        list(v.object ORDER BY v.object) AS objects,
        list(v.object ORDER BY v.object) FILTER (v.fell_back) AS fallback_names
    FROM set_values v WHERE NOT v.changed AND NOT v.open_set GROUP BY v.relation, v.subject
    HAVING bool_and(v.usable AND v.whole) AND count(*) BETWEEN 2 AND {LONGEST_SET}
),
asked AS (
    SELECT a.relation, a.subject, a.answer_set, a.answer, a.objects, coalesce(a.fallback_names, []) AS fallback_names,
        s.label AS subject_label, named_subject(r.article, s) AS shown, '' AS phrase, 'all_now' AS ask,
        'all_cloze' AS close, draw_for(concat_ws('/', 'set', a.relation, a.subject)) AS draw
    FROM answers a JOIN relation_facts r USING (relation) JOIN names s ON s.id = a.subject AND s.kind = 'item'
    UNION ALL BY NAME
    SELECT * EXCLUDE (first, precision, changed) FROM set_events WHERE NOT changed
)
SELECT CAST(row_number() OVER (ORDER BY a.relation, a.subject, a.phrase) AS INTEGER) AS set_id, a.*,
    row_number() OVER (PARTITION BY a.relation ORDER BY draw, a.subject, a.phrase) - 1 AS position,
    count(*) OVER (PARTITION BY a.relation) AS size
FROM asked a JOIN names s ON s.id = a.subject AND s.kind = 'item'
WHERE alive_on(s, getvariable('since'))
""")

# What must not spill over, one row per edit of one value and per set that changed. pick: the key of its draws; objects:
# values that no probe's answer may be; neighbour: the value about which a fact may be asked.
GUARDED = creates("guarded", reads="edits set_groups")("""
SELECT edit_id AS pick, [edit_id] AS edit_ids, relation, subject, [old_object, new_object] AS objects,
    CASE WHEN object_kind = 'item' THEN new_object END AS neighbour, draw, part, train
FROM edits
UNION ALL
SELECT group_id, edit_ids, relation, subject, list_transform(list_filter(list_concat(answer_set, before_set),
        lambda v: v.role <> 'stays'), lambda v: v.id),
    list_filter(answer_set, lambda v: v.role = 'joined')[1].id, draw, part, train
FROM set_groups
""")
