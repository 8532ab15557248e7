"""What a chat template makes of a conversation, bounded in time and size.

`template_process` renders, in a process of its own. Templates that ask for the day are told one and the same, so that a
prompt does not depend on when it is asked.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from chronofacts.schemas.errors import BadInput

__all__ = ["DAY", "render_conversations"]

DAY = "2024-07-26"
"""What templates are told that ask for it: the fallback of Llama 3's own."""
SECONDS, WAIT = 5, 60
"""Of computing, and of waiting for it on a busy machine."""
MEMORY = 1 << 30
LONGEST_TEMPLATE, LONGEST_TEXT = 1 << 20, 1 << 22
"""Characters; the longest template in use has some 20,000."""
PASSED_ON = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "VIRTUAL_ENV")
"""Of the environment; there are secrets in the rest."""


def render_conversations(
    template: str, conversations: Sequence[Mapping[str, Any]], variables: Mapping[str, Any]
) -> list[str]:
    """The text of each conversation (`messages`, `add_generation_prompt`).

    Raises BadInput where the template fails, or takes more time, memory or room than any that is in use.
    """
    if len(template) > LONGEST_TEMPLATE:
        raise _refusal(f"it has {len(template):,} characters")
    request = {
        "template": template,
        "conversations": conversations,
        "variables": {"tools": None, "documents": None, **variables},
        "day": DAY,
        "seconds": SECONDS,
        "memory": MEMORY,
        "most": LONGEST_TEXT,
    }
    return list(_ask(json.dumps(request)))


@lru_cache(maxsize=32)
def _ask(request: str) -> tuple[str, ...]:
    words = [sys.executable, "-P", str(Path(__file__).with_name("template_process.py"))]
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    try:
        done = subprocess.run(  # noqa: S603 (the words are our own)
            words, input=request, capture_output=True, text=True, encoding="utf-8", timeout=WAIT, env=environment
        )
        answer = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise _refusal(f"it takes more than {SECONDS} s or {MEMORY >> 20} MB") from error
    if "texts" not in answer:
        raise _refusal(" ".join(str(answer.get("error", "nothing")).split()))
    return tuple(answer["texts"])


def _refusal(reason: str) -> BadInput:
    return BadInput(f"the model's chat template cannot be used ({reason}); take --set chat=no")
