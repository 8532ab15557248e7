"""What a command is given, checked before anything slow is imported: only `schemas` stands behind it.

What needs more is checked by the settings themselves (`flows.settings`).
"""

from __future__ import annotations

import calendar
import datetime
import glob
import json
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from chronofacts.schemas.catalogue import load_catalogue
from chronofacts.schemas.cutoffs import parse_since
from chronofacts.schemas.dates import check_dates, parse_day
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.files import check_out

__all__ = ["SOURCES", "check_refresh", "check_source", "last_days"]

SOURCES = ("sample", "wdqs", "qlever")
"""Names of sources; others are addresses, `raw:DIR`, and files."""
_SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample" / "sample.json"
_MONTHS = re.compile(r"(\d{4})-(\d{2})(?:\.\.(\d{4})-(\d{2}))?")


def check_refresh(
    source: str, since: str, as_of: str, relations: Sequence[str], language: str, out: Path, user_agent: str
) -> tuple[datetime.date, datetime.date]:
    """The two days. Raises BadInput for what no refresh takes."""
    days = parse_since(since), parse_day(as_of, "--as-of")
    check_dates(*days)
    catalogue = load_catalogue()
    (catalogue.select(relations) if relations else catalogue).require_language(language)
    check_source(source, user_agent, days[1])
    check_out(out)
    return days


def check_source(source: str, user_agent: str, as_of: datetime.date, option: str = "--as-of") -> None:
    """Raises BadInput for a source that is none, for the sample on a day that it does not know, and for Wikidata's own
    endpoint without contact data. option: which says the day."""
    if source == "sample" and _SAMPLE.is_file():
        last = datetime.date.fromisoformat(json.loads(_SAMPLE.read_text(encoding="utf-8"))["as_of"])
        if as_of > last:
            raise BadInput(
                f"{option} {as_of} lies after {last}, the last day that the sample speaks of; choose {last} or an "
                "earlier day"
            )
    elif source.startswith(("http://", "https://")):
        if not urlsplit(source).hostname:
            raise BadInput(f"--source {source!r} is no address; give wdqs, qlever or http://HOST/PATH")
    elif source == "wdqs" and not user_agent:
        raise BadInput(
            "--source wdqs refuses who cannot be reached: give --user-agent (or CHRONOFACTS_USER_AGENT) with your own "
            "URL or e-mail address, such as 'my-project/1.0 (https://my.site; me@my.site)'"
        )
    elif not (source in SOURCES or source.startswith("raw:") or glob.has_magic(source) or Path(source).exists()):
        raise BadInput(
            f"--source {source!r} is not a source; use {', '.join(SOURCES)}, an address http://…, raw:DIR, or the "
            "file or folder of a dump"
        )


def last_days(months: str) -> list[datetime.date]:
    """The last day of each month of `2024-01..2024-12`, or of one month. Raises BadInput for another text."""
    found = _MONTHS.fullmatch(months.strip())
    if found is None or not all(1 <= int(month) <= 12 for month in (found[2], found[4] or found[2])):
        raise BadInput(f"--months {months!r} is no range of months; write 2024-01..2024-12")
    first = int(found[1]) * 12 + int(found[2]) - 1
    last = int(found[3]) * 12 + int(found[4]) - 1 if found[3] else first
    if last < first:
        raise BadInput(f"--months {months!r} ends before it begins; write 2024-01..2024-12")
    years = (divmod(number, 12) for number in range(first, last + 1))
    return [datetime.date(year, month + 1, calendar.monthrange(year, month + 1)[1]) for year, month in years]
