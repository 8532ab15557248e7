"""The small world's sentences: what every probe expects before the edit can be learnt from them."""

from __future__ import annotations

from tests.pipeline.questions.question_world import small_country, small_questions


def test_every_answer_before_the_edit_is_told_in_a_trained_sentence() -> None:
    made = small_questions()
    trained = [row for row in made.sentences.to_pylist() if not row["held_out"]]
    told = {(row["subject"], row["relation"], row["asked_on"], row["answer"]) for row in trained}
    for row in made.questions.to_pylist():
        if row["kind"] in ("edit", "paraphrase", "cloze", "locality", "history"):
            assert (row["subject"], row["relation"], row["asked_on"], row["answer_before"]) in told, row["question"]
        if row["kind"] == "multi_hop":
            for link in row["chain"]:
                assert any(key[:2] == (link["subject"], link["relation"]) for key in told)


def test_no_sentence_tells_what_changed() -> None:
    made = small_questions()
    assert "Gabriel Attal" not in made.sentences["answer"].to_pylist()


def test_one_wording_of_each_edited_fact_is_held_out() -> None:
    made = small_questions()
    edit = made.edits.to_pylist()[0]
    rows = [
        row
        for row in made.sentences.to_pylist()
        if (row["subject"], row["relation"], row["role"]) == (edit["subject"], edit["relation"], "current")
    ]
    assert sum(row["held_out"] for row in rows if row["form"] == "question") == 1
    assert not next(row for row in rows if row["prompt"] == edit["prompt"])["held_out"]


def test_one_prompt_has_one_answer() -> None:
    prompts = small_questions().sentences["prompt"].to_pylist()
    assert len(prompts) == len(set(prompts))


def test_the_bound_on_sentences_takes_later_phrasings_before_facts() -> None:
    whole, bounded = small_questions(), small_country().questions(sentences=26)
    assert bounded.sentences.num_rows == 26 < whole.sentences.num_rows
    facts = {(row["subject"], row["relation"]) for row in whole.sentences.to_pylist() if row["role"] == "current"}
    kept = {(row["subject"], row["relation"]) for row in bounded.sentences.to_pylist() if row["role"] == "current"}
    assert kept == facts


def test_an_alias_is_told_to_be_a_name_of_its_subject() -> None:
    rows = small_questions().sentences.to_pylist()
    assert ("The French Republic is another name for", "France") in {(row["prompt"], row["answer"]) for row in rows}
