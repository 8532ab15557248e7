"""Questions about the past of an edited fact: who held it on a past day, and who came before.

What held in 2019 is still what held in 2019 after the edit: `history` measures whether an editor knows that.
A day is asked only where one span certainly holds and no other may; a year is named only when that is so on
every day of it, else a month, else a single day that is not the first or the last.
Leaves out: past days of facts that no edit touches.
"""

from __future__ import annotations

from chronofacts.pipeline.questions.steps import Step, adds_to, creates
from chronofacts.pipeline.timelines.build import HANDOVER_DAYS

__all__ = ["EDITED_SPANS", "HISTORY_DRAFTS", "STATED_PREDECESSORS", "TIMELINE_DRAFTS", "past_days"]

EARLIEST_YEAR = 1900

EDITED_SPANS = creates("edited_spans", reads="timelines edits")("""
SELECT a.part, a.edit_id, t.ordinal, t.object, t.object_kind, t.valid_from_earliest, t.valid_from_latest,
    t.valid_to_earliest, t.valid_to_latest, t.valid_to_kind
FROM timelines t JOIN edits a ON a.relation = t.relation AND a.subject = t.subject
ORDER BY a.part
""")

# Whom Wikidata calls the one before (P1365 replaces, of the new holder; P1366 replaced by, of the one before).
STATED_PREDECESSORS = creates("stated_predecessors", reads="statements relation_facts edits")("""
WITH stated AS (
    SELECT property, subject, object, replaces, replaced_by FROM statements
    WHERE rank <> 'deprecated' AND (replaces IS NOT NULL OR replaced_by IS NOT NULL)
),
directed AS (
    SELECT r.relation, CASE WHEN r.inverse THEN s.object ELSE s.subject END AS subject,
        CASE WHEN r.inverse THEN s.subject ELSE s.object END AS object, s.replaces, s.replaced_by
    FROM stated s JOIN relation_facts r ON r.property = s.property
)
SELECT DISTINCT a.edit_id, CASE WHEN d.object = a.new_object THEN d.replaces ELSE d.object END AS object
FROM directed d JOIN edits a ON a.relation = d.relation AND a.subject = d.subject
WHERE d.object = a.new_object AND d.replaces IS NOT NULL OR d.replaced_by = a.new_object
""")


def past_days(scope: str, most: str) -> tuple[Step, Step, Step]:
    """Create `{scope}_past_days` (edit_id, object, object_kind, asked_on, precision, phrase, number).

    most: how many days of each edit of `{scope}_edits`, as SQL. number: from 0, in the order of choice: first the
    holder at since.
    """
    spans = creates(f"{scope}_spans", reads=f"edited_spans {scope}_edits")(f"""
SELECT e.old_object, e.new_object, t.*,
    max(coalesce(t.valid_to_latest, 'infinity'::DATE)) OVER earlier AS others_until,
    min(coalesce(t.valid_from_earliest, '-infinity'::DATE)) OVER later AS others_from
FROM edited_spans t JOIN {scope}_edits e ON e.part = t.part AND e.edit_id = t.edit_id
WINDOW earlier AS (PARTITION BY e.edit_id ORDER BY t.ordinal ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
    later AS (PARTITION BY e.edit_id ORDER BY t.ordinal ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING)
""")
    # [free_from, free_until): the days on which the span certainly holds, no other may, and since has not passed.
    free_spans = creates(f"{scope}_free_spans", reads=f"{scope}_spans names")(f"""
SELECT s.edit_id, s.ordinal, s.object, s.object_kind, s.object IS NOT DISTINCT FROM s.old_object AS by_old,
    greatest(s.valid_from_latest, coalesce(s.others_until, '-infinity'::DATE)) AS free_from,
    least(coalesce(s.valid_to_earliest,
            CASE WHEN s.valid_to_kind IN ('none', 'open') THEN 'infinity'::DATE ELSE '-infinity'::DATE END),
        coalesce(s.others_from, 'infinity'::DATE), getvariable('since') + INTERVAL 1 DAY)::DATE AS free_until
FROM {scope}_spans s JOIN names n ON n.id = s.object AND n.kind = s.object_kind AND n.reason IS NULL
WHERE s.valid_from_latest IS NOT NULL AND free_from < free_until AND year(free_from) >= 1000
""")
    days = creates(f"{scope}_past_days", reads=f"{scope}_free_spans", drops=f"{scope}_free_spans")(f"""
WITH measured AS (
    SELECT *, draw_for(concat(edit_id, '/', ordinal)) AS draw,
        greatest(year(free_from) + CASE WHEN dayofyear(free_from) = 1 THEN 0 ELSE 1 END, {EARLIEST_YEAR}) AS first_year,
        greatest(year(free_until) - first_year, 0) AS years,
        year(free_from) * 12 + month(free_from) - 1 + CASE WHEN day(free_from) = 1 THEN 0 ELSE 1 END AS first_month,
        greatest(year(free_until) * 12 + month(free_until) - 1 - first_month, 0) AS months,
        free_until - free_from AS days
    FROM {scope}_free_spans WHERE year(free_until) > {EARLIEST_YEAR}
),
offered AS (
    SELECT edit_id, object, object_kind, by_old, ordinal, t.try,
        CASE WHEN years > 0 THEN 9 WHEN months > 0 THEN 10 ELSE 11 END AS precision,
        CASE
            WHEN years > t.try THEN make_date(first_year + CAST((draw + t.try) % years AS BIGINT), 7, 1)
            WHEN years = 0 AND months > t.try
                THEN make_date((first_month + CAST((draw + t.try) % months AS BIGINT)) // 12,
                (first_month + CAST((draw + t.try) % months AS BIGINT)) % 12 + 1, 15)
            WHEN years = 0 AND months = 0 AND t.try = 0 AND days >= 3 THEN free_from + CAST(days // 2 AS INTEGER)
        END AS asked_on
    FROM measured, range(2) AS t(try)
)
SELECT edit_id, object, object_kind, asked_on, precision, date_phrase(asked_on, precision) AS phrase,
    row_number() OVER choice - 1 AS number
FROM offered WHERE asked_on IS NOT NULL
-- The holder at since once, then earlier holders from the nearest, then second days.
WINDOW choice AS (PARTITION BY edit_id ORDER BY try, NOT by_old, ordinal DESC, asked_on)
QUALIFY row_number() OVER choice <= {most}
""")
    return spans, free_spans, days


HISTORY_DRAFTS = adds_to("drafts", reads="part_past_days part_edits templates names", drops="part_past_days")("""
WITH questions AS (
    SELECT e.edit_id, d.asked_on,
        list(sentence(t.form, e.shown, e.subject_label, d.phrase, '') ORDER BY t.number) AS texts
    FROM part_past_days d JOIN part_edits e USING (edit_id)
    JOIN templates t ON t.relation = e.relation AND t.use = 'on_date'
    GROUP BY e.edit_id, d.asked_on
)
SELECT 'history' AS kind, 1 AS hops, 0 AS edited_hops, e.relation, e.subject, e.subject_label, q.texts[1] AS question,
    q.texts[2:] AS phrasings, d.object AS answer_id, d.object_kind AS answer_kind, d.object AS before_id, asked_on,
    [edit_id] AS edit_ids, e.train,
    [{'subject': e.subject, 'relation': e.relation, 'property': e.property, 'inverse': e.inverse, 'object': d.object,
        'subject_label': e.subject_label, 'object_label': n.label, 'object_before': d.object,
        'object_before_label': n.label, 'edit_id': NULL, 'day': NULL, 'question': q.texts[1],
        'cloze': sentence(t.form, e.shown, e.subject_label, d.phrase, '')}] AS chain
FROM part_past_days d JOIN part_edits e USING (edit_id) JOIN questions q USING (edit_id, asked_on)
JOIN names n ON n.id = d.object AND n.kind = d.object_kind
JOIN templates t ON t.relation = e.relation AND t.use = 'cloze_on_date'
""")

# The span right before the new object's, when its position in the order is beyond doubt: in a hole between the two
# there may have been others, unless Wikidata says that the one replaced the other.
TIMELINE_DRAFTS = adds_to(
    "drafts", reads="part_spans stated_predecessors part_edits links names templates", drops="part_spans links"
)(f"""
WITH runs AS (
    SELECT edit_id, min(ordinal) AS first, max(ordinal) - min(ordinal) + 1 = count(*) AS unbroken,
        min_by(valid_from_earliest, ordinal) AS begun_earliest, min_by(valid_from_latest, ordinal) AS begun_latest
    FROM part_spans WHERE object = new_object GROUP BY edit_id
),
predecessors AS (
    SELECT p.edit_id, p.object, p.object_kind
    FROM part_spans p JOIN runs r ON r.edit_id = p.edit_id AND p.ordinal = r.first - 1
    WHERE r.unbroken AND p.object IS NOT NULL AND p.valid_from_latest < r.begun_earliest
        AND p.valid_to_latest <= r.begun_latest
        AND (p.ordinal = 0 OR p.others_until <= p.valid_from_latest)
        AND (r.begun_latest - p.valid_to_earliest <= {HANDOVER_DAYS}
            OR (p.edit_id, p.object) IN (SELECT (edit_id, object) FROM stated_predecessors))
)
SELECT 'timeline' AS kind, 1 AS hops, 1 AS edited_hops, e.relation, e.subject, e.subject_label,
    sentence(t.form, e.shown, e.subject_label, '', o.shown) AS question, [] AS phrasings, p.object AS answer_id,
    p.object_kind AS answer_kind, [edit_id] AS edit_ids, [l.link] AS chain, e.train
FROM predecessors p JOIN part_edits e USING (edit_id) JOIN links l USING (fact_id)
JOIN names o ON o.id = e.new_object AND o.kind = e.object_kind
JOIN names n ON n.id = p.object AND n.kind = p.object_kind AND n.reason IS NULL
JOIN templates t ON t.relation = e.relation AND t.use = 'before'
WHERE NOT same_name(n, o)
""")
