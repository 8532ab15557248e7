"""How long the experiment on the small world takes, stage by stage, and what it reaches.

    python -m benchmarks.editing_small_world SNAPSHOT [key=value …]

Prints the machine, the sizes, seconds and peak memory of every stage, and the metrics. Run it on idle cores.
"""

import argparse
import json
import tempfile
from pathlib import Path

from benchmarks.claims import claim
from chronofacts.editing.report import terminal_table, write_report
from chronofacts.editing.runs.experiment import run_experiment
from chronofacts.editing.runs.settings import read_settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("snapshot", type=Path)
    parser.add_argument("settings", nargs="*", help="as after --set, for example limit=60")
    parser.add_argument("--editors", default="none,lora,lora+replay")
    parser.add_argument("--out", type=Path, help="keep the run and its report here")
    arguments = parser.parse_args()
    given = dict(word.split("=", 1) for word in arguments.settings)
    with tempfile.TemporaryDirectory() as scratch:
        out = arguments.out or Path(scratch)
        run = out / "run"
        figures = run_experiment(
            arguments.snapshot, "small-world", read_settings(arguments.editors.split(","), given), run, print
        ).metrics
        write_report([run], out / "report")
        about = json.loads((run / "run.json").read_text(encoding="utf-8"))
        print(json.dumps(about["machine"]), json.dumps(given))
        print({key: value for key, value in about["snapshot"].items() if key != "files"})
        print("model   ", about["model"])
        for name, editor in about["editors"].items():
            print(f"{name:14}", {key: value for key, value in editor.items() if key != "config"})
        print("total   ", about["seconds"], "s")
        print(terminal_table([run]))
        for name, found in figures.items():
            if name != "none":
                success = found["edit_success"]
                claim(f"small world, {name}: edit success", "at least 0.9", f"{success:.2f}", success >= 0.9)


if __name__ == "__main__":
    main()
