"""The program `chronofacts`: it listens for Ctrl-C before it loads the commands, which takes a second."""

from __future__ import annotations

from chronofacts.flows.stopping import listen

__all__ = ["main"]


def main() -> None:
    listen()
    from chronofacts.flows.cli import main as run

    run()
