"""The grammar of chains: what follows what, how often each kind may come, and how much a question bears."""

from __future__ import annotations

import functools
import itertools
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronofacts.pipeline.questions.build import QuestionTables
from chronofacts.pipeline.questions.multi_hop import MOST_LINKS, limit_to_shares
from chronofacts.pipeline.snapshots.write import read_table
from chronofacts.schemas.catalogue import load_catalogue
from tests.pipeline.questions.question_world import World, world

CATALOGUE = load_catalogue()


def chains(made: QuestionTables) -> list[dict]:
    return [row for row in made.questions.to_pylist() if row["kind"] == "multi_hop"]


def paths(made: QuestionTables) -> set[tuple[str, ...]]:
    return {tuple(link["relation"] for link in row["chain"]) for row in chains(made)}


@pytest.fixture(scope="module")
def asked(sample_snapshot: Path) -> list[dict]:
    """The multi-hop questions of the sample."""
    return [row for row in read_table(sample_snapshot, "questions").to_pylist() if row["kind"] == "multi_hop"]


def test_the_sample_has_many_chains_and_most_are_short(asked: list[dict]) -> None:
    hops = Counter(row["hops"] for row in asked)
    assert len(asked) > 200
    assert hops[2] > hops[3] > 0 and hops[3] >= hops[4]


def test_every_pair_of_facts_of_a_chain_is_one_that_the_catalogue_joins(asked: list[dict]) -> None:
    for row in asked:
        relations = [link["relation"] for link in row["chain"]]
        for one, other in itertools.pairwise(relations):
            assert other in CATALOGUE.by_id[one].joins, row["question"]


def test_no_chain_asks_one_fact_as_two(asked: list[dict]) -> None:
    one_fact = {tuple(path.split("/")) for relation in CATALOGUE.relations for path in relation.agrees_with}
    for row in asked:
        relations = [link["relation"] for link in row["chain"]]
        assert not one_fact & set(itertools.pairwise(relations))


@pytest.mark.parametrize(("place", "share"), [(0, "start_share"), (-1, "end_share")])
def test_no_kind_of_start_and_no_kind_of_answer_takes_more_than_its_share(
    asked: list[dict], place: int, share: str
) -> None:
    counted = Counter(row["chain"][place]["relation"] for row in asked)
    bounded = {r.id: getattr(r, share) for r in CATALOGUE.relations if getattr(r, share)}
    assert all(bound <= 0.15 for bound in bounded.values())
    assert set(bounded) & set(counted)
    for relation, bound in bounded.items():
        assert counted[relation] <= bound * len(asked), relation


def test_no_question_says_of_more_often_than_a_reader_bears(asked: list[dict]) -> None:
    for row in asked:
        for text in (row["question"], *row["phrasings"]):
            assert len(re.findall(r"\bof\b", text)) <= MOST_LINKS, text


def test_nobody_is_asked_for_a_country_by_who_was_born_or_is_a_citizen_there(asked: list[dict]) -> None:
    """ "The country in which Ada Bell's birthplace lies" is a detour that nobody takes."""
    starts = {row["chain"][0]["relation"] for row in asked}
    assert "capital_of" in starts and not starts & {"citizenship", "birthplace", "country", "jurisdiction"}


def government() -> World:
    """A country whose new head of government holds the office of its head of government."""
    told = world().named("Q1", "Redland").named("Q2", "Chancellor of Redland").named("Q9", "Oldtown")
    told.person("Q3", "Ada Bell").person("Q4", "Bea Hill").person("Q5", "Eva Vale")
    told.held("office_of_head_of_government", "Q1", "Q2").held("jurisdiction", "Q2", "Q1").held("country", "Q2", "Q1")
    told.changed("office_holder", "Q2", "Q3", "Q4").changed("head_of_government", "Q1", "Q3", "Q4")
    return told.held("office_holder", "Q2", "Q5", "2008-01-01", "2012-06-20")


@functools.cache
def of_the_government() -> set[tuple[str, ...]]:
    return paths(government().questions(hops_per_edit=20))


def test_the_holder_of_the_office_of_the_head_of_government_is_one_fact() -> None:
    assert not [path for path in of_the_government() if "office_of_head_of_government" in path]


def test_who_leads_a_country_is_asked_for_by_the_title() -> None:
    told = government().named("Q11", "Red Party").named("Q12", "Blue Party")
    made = told.held("party", "Q3", "Q11").held("party", "Q4", "Q12").questions(hops_per_edit=20)
    texts = {row["question"] for row in chains(made) if row["relation"] == "party"}
    assert texts == {"Which political party does the Chancellor of Redland belong to?"}


def test_without_an_office_the_head_of_government_is_asked_for_by_that_name() -> None:
    told = world().named("Q1", "Redland").named("Q11", "Red Party").named("Q12", "Blue Party")
    told.person("Q3", "Ada Bell").person("Q4", "Bea Hill").changed("head_of_government", "Q1", "Q3", "Q4")
    made = told.held("party", "Q3", "Q11").held("party", "Q4", "Q12").questions()
    assert {row["question"] for row in chains(made)} == {
        "Which political party does the head of government of Redland belong to?"
    }


@pytest.mark.parametrize("leads", [True, False])
def test_a_minister_is_asked_for_no_year_of_birth_and_a_leader_is(leads: bool) -> None:
    told = world().named("Q1", "Redland").named("Q2", "Minister of Finance of Redland")
    told.person("Q3", "Ada Bell").person("Q4", "Bea Hill").changed("office_holder", "Q2", "Q3", "Q4")
    told.held("birth_year", "Q3", "1950").held("birth_year", "Q4", "1960")
    if leads:
        told.changed("head_of_government", "Q1", "Q3", "Q4")
    assert (("office_holder", "birth_year") in paths(told.questions(hops_per_edit=20))) is leads


def test_the_office_that_somebody_left_does_not_lead_back_to_itself_by_its_country() -> None:
    found = of_the_government()
    assert {path for path in found if path[0] == "office_left"} == {("office_left", "office_holder")}
    assert not [path for path in found if "jurisdiction" in path or path[0] == "country"]


def test_a_country_is_named_by_its_capital_and_by_no_other_town() -> None:
    told = government().named("Q8", "Greytown").person("Q7", "Cat Moor").held("country", "Q8", "Q1")
    told.held("birthplace", "Q7", "Q8").held("country", "Q9", "Q1").held("capital_of", "Q9", "Q1")
    questions = {row["question"] for row in chains(told.questions(hops_per_edit=20))}
    assert "Who is the head of government of the country whose capital is Oldtown?" in questions
    assert not [text for text in questions if "Greytown" in text or "Cat Moor" in text]


def test_two_relative_clauses_do_not_close_on_each_other() -> None:
    told = world().person("Q1", "Ada Bell").named("Q2", "Greytown FC").named("Q3", "Second League")
    told.named("Q4", "Redland").person("Q5", "Bea Hill").person("Q6", "Cat Moor")
    told.held("club", "Q1", "Q2", "2019-01-01").held("league", "Q2", "Q3").held("country", "Q3", "Q4")
    made = told.changed("head_of_state", "Q4", "Q5", "Q6").questions(hops_per_edit=20)
    # not "the country in which the league in which the team that Ada Bell plays for competes lies"
    assert ("club", "league", "country", "head_of_state") not in paths(made)
    assert all(len(path) < 3 for path in paths(made))


def crowd(others: int) -> World:
    """Forty towns with mayors whose years of birth are known, and some whose parties are."""
    told = world()
    for i in range(40):
        told.named(f"Q1{i:02}", f"Mayor of Town{i}").person(f"Q2{i:02}", f"Ada{i} Bell{i}")
        told.person(f"Q3{i:02}", f"Bea{i} Hill{i}").changed("office_holder", f"Q1{i:02}", f"Q2{i:02}", f"Q3{i:02}")
        told.named(f"Q6{i:02}", f"Town{i}").changed("head_of_government", f"Q6{i:02}", f"Q2{i:02}", f"Q3{i:02}")
        told.held("birth_year", f"Q2{i:02}", str(1900 + i)).held("birth_year", f"Q3{i:02}", str(1950 + i))
        if i < others:
            told.named(f"Q4{i:02}", f"Red{i} Party").named(f"Q5{i:02}", f"Blue{i} Party")
            told.held("party", f"Q2{i:02}", f"Q4{i:02}").held("party", f"Q3{i:02}", f"Q5{i:02}")
    return told


def test_years_of_birth_keep_to_their_share_of_the_whole_set_whatever_its_parts() -> None:
    whole, parted = crowd(34).questions(), crowd(34).questions(edits_per_part=25, threads=1)
    counted = Counter(row["relation"] for row in chains(whole))
    assert counted == {"party": 34, "birth_year": 2}  # the most that are 8 % of all
    assert whole.questions.equals(parted.questions)


shares = st.dictionaries(
    st.sampled_from("abc"), st.tuples(st.floats(0.01, 1), st.integers(1, 500)), min_size=1, max_size=3
)


@given(free=st.integers(0, 2000), offered=shares)
def test_what_is_left_keeps_to_its_shares_and_no_more_could_stay(
    free: int, offered: dict[str, tuple[float, int]]
) -> None:
    allowed = limit_to_shares({None: (None, free), **offered})
    total = free + sum(allowed.values())
    for name, (share, times) in offered.items():
        assert allowed[name] <= min(times, max(1, share * total))
        assert allowed[name] == times or allowed[name] + 1 > share * total
