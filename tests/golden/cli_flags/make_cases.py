"""Runs the argument parsers of nnU-Net 2.5.1's predict commands on many command lines and writes what they make of them.

Usage (with nnunetv2==2.5.1 installed): python make_cases.py
Of the values only those that differ from the command's first line are kept.
"""
import argparse
import contextlib
import io
import json
from pathlib import Path

from nnunetv2.inference.predict_from_raw_data import predict_entry_point, predict_entry_point_modelfolder


class Captured(BaseException):
    """Carries the parsed namespace out of the entry point before it does anything."""


original = argparse.ArgumentParser.parse_args


def capture(self, args=None, namespace=None):
    raise Captured(vars(original(self, LINE, namespace)))


argparse.ArgumentParser.parse_args = capture

P = "-i in -o out -d 4 -c 3d_fullres"
M = "-i in -o out -m model"
LINES = {
    "predict": [
        P, f"{P} -step_size 0.75", f"{P} -step_size=0.75", f"{P} -step 0.75", f"{P} -s .5e0", f"{P} -step_size=",
        f"{P} -f 0 1", f"{P} -f all", f"{P} -f=3", f"{P} -f3", f"{P} -f 0 1 --verbose -f 2", f"{P} -f", f"{P} -f --verbose",
        f"{P} --disable_tta", f"{P} --disable_t", f"{P} --disable_p", f"{P} --disable", f"{P} --d", f"{P} --di",
        f"{P} --c", f"{P} --continue", f"{P} --continue_prediction", f"{P} --v", f"{P} --s", f"{P} --save_prob",
        f"{P} --disable_tta=1", f"{P} --verbose --verbose", f"{P} -num_parts 3 -part_id 2", f"{P} -num 3", f"{P} -n 3",
        f"{P} -pa 1", f"{P} -p other", f"{P} -pother", f"{P} -part 1", f"{P} -pr stage", f"{P} -prev_stage_predictions=stage",
        f"{P} -npp 1 -nps 2", f"{P} -np 1", f"{P} -npp x", f"{P} -npp 1.5", f"{P} -npp +5", f"{P} -npp 1_0", f"{P} -npp -2",
        f"{P} -step_size x", f"{P} -step_size nan", f"{P} -step_size inf", f"{P} -step_size 1_0.5", f"{P} -step_size -0.5",
        f"{P} -step_size -.5", f"{P} -step_size 1e-1", f"{P} -step_size 1.", f"{P} -step_size", f"{P} -step_size --verbose",
        f"{P} -device cpu", f"{P} -dev cpu", f"{P} -de cpu", f"{P} -device=cpu", f"{P} -tr nnUNetTrainer_250epochs",
        f"{P} -t X", f"{P} -trX", f"{P} -chk checkpoint_best.pth", f"{P} -ch best.pth", f"{P} -chk=a=b", f"{P} -c 2d",
        f"{P} -c2d", f"{P} -c=2d", f"{P} -d4", f"{P} -d=4", f"{P} -d Dataset004_Hippocampus", f"{P} stray", f"{P} -x",
        f"{P} -x 5", f"{P} --nope", f"{P} --nope=5", f"{P} -f 0 -- 1", f"{P} -i=a=b", f"{P} -i -", f"{P} -i --",
        "-i in -o out -d 4", "-o out -c 2d", "", "-d -4 -i in -o out -c 2d", "-i in -o out -d 4 -c",
        f"{P} -1", f"{P} --disable_progress_bar --disable_tta", f"{P} --disable_progress_ba", f"{P} -nps=4",
    ],
    "predict_from_modelfolder": [
        M, f"{M} --c", f"{M} --continue_pred", f"{M} --co", f"{M} -f 0 1 2", f"{M} -f 0 all", f"{M} -m=other", f"{M} -mother",
        f"{M} -prev_stage_predictions p", f"{M} -p stage", f"{M} -pre stage", f"{M} -d cpu", f"{M} -device mps", f"{M} -de cpu",
        f"{M} -c best", f"{M} -ch best", f"{M} -step_size=0.3 --save_probabilities", f"{M} -npp 0 -nps 0", f"{M} -n 3",
        "-i in -o out", f"{M} --disable_tta --disable_progress_bar --verbose", f"{M} -t cpu", f"{M} -s 0.25",
    ],
}
ENTRY = {"predict": predict_entry_point, "predict_from_modelfolder": predict_entry_point_modelfolder}

cases = []
base = {}
for command, lines in LINES.items():
    for line in lines:
        LINE = line.split()
        message = io.StringIO()
        try:
            with contextlib.redirect_stderr(message), contextlib.redirect_stdout(io.StringIO()):
                ENTRY[command]()
        except Captured as captured:
            values = {k: (list(v) if isinstance(v, (list, tuple)) else v) for k, v in captured.args[0].items()}
            values = {k: (repr(v) if isinstance(v, float) and (v != v or abs(v) == float("inf")) else v) for k, v in values.items()}
            if "f" in values:
                values["f"] = [str(i) for i in values["f"]]
            first = base.setdefault(command, values)
            if values is not first:
                values = {k: v for k, v in values.items() if v != first[k]}
            cases.append({"command": command, "line": line, "values": values})
        except SystemExit as end:
            cases.append({"command": command, "line": line, "exit": end.code,
                          "error": message.getvalue().splitlines()[-1].split(": error: ", 1)[-1]})
with open(Path(__file__).with_name("cases.json"), "w") as file:
    file.write("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
