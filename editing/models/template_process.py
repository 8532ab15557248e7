"""Renders chat templates in a process of its own, which `chat_rendering` starts: JSON in, JSON out.

A template comes from whoever made the model. Jinja's sandbox keeps it from files and from Python's insides, but not
from running for ever or filling the memory: this process has a bound of each, which it sets before it reads the
template.
Knows nothing of the package, so that it starts in a moment.
"""

import datetime
import json
import sys
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace


class Generation(Extension):
    """`{% generation %}…{% endgeneration %}` marks what an assistant said; here it is just said."""

    tags = {"generation"}  # noqa: RUF012 (jinja's own)

    def parse(self, parser: Any) -> Any:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_say"), [], [], body).set_lineno(line)

    def _say(self, caller: Any) -> str:
        return str(caller())


class PublicNamespace(Namespace):
    """A namespace without names that begin with an underscore."""

    def __setitem__(self, name: str, value: Any) -> None:
        if str(name).startswith("_"):
            raise SecurityError(f"no name of a namespace begins with an underscore: {name!r}")
        super().__setitem__(name, value)


def bound(seconds: int, bytes_of_memory: int) -> None:
    """Of this process, where the system can."""
    try:
        import resource
    except ImportError:  # Windows; the parent's clock is left
        return
    for limit, most in ((resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, bytes_of_memory)):
        _, hard = resource.getrlimit(limit)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (most, hard))


def render(request: dict[str, Any]) -> list[str]:
    """The texts of the request's conversations. Raises whatever the template makes happen."""
    day = datetime.datetime.fromisoformat(request["day"])

    def refuse(message: str) -> NoReturn:
        raise TemplateError(message)

    def as_json(value: Any, **named: Any) -> str:
        return json.dumps(value, **{"ensure_ascii": False, **named})

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = as_json
    environment.globals |= {
        "raise_exception": refuse,
        "strftime_now": day.strftime,
        "dict": lambda *given, **named: dict(*given, **named),
        "namespace": PublicNamespace,
    }
    template = environment.from_string(request["template"])
    texts = []
    for conversation in request["conversations"]:
        parts, size = list[str](), 0
        for part in template.generate(**request["variables"], **conversation):
            size += len(part)
            if size > request["most"]:
                raise ValueError(f"it writes more than {request['most']:,} characters")
            parts.append(part)
        texts.append("".join(parts))
    return texts


def main() -> None:
    request = json.load(sys.stdin)
    bound(request["seconds"], request["memory"])
    try:
        answer: dict[str, Any] = {"texts": render(request)}
    except MemoryError:
        answer = {"error": "it fills the memory"}
    except Exception as error:
        answer = {"error": (str(error) or type(error).__name__)[:300]}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
