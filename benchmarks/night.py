"""Studies as people have them, carried out for so long: what they found, and how busy the cores were.

    .venv/bin/python -m benchmarks.night files        # eight versions of one table, six minutes each
    .venv/bin/python -m benchmarks.night s5e7         # every family for twenty minutes, in a mix that people ask for
    .venv/bin/python -m benchmarks.night ames_house_prices

Ordinary studies with the usual sampler and pruner, carried out by the command alone. Nothing else may run on the
machine.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path

from benchmarks.contestants import lost_in_fits
from benchmarks.models import Made, family_of, read_made, run_study
from benchmarks.place import frozen_package, markdown, spread, working_folder
from benchmarks.shared import DATASETS, FOLDER
from optimizer.metrics import get_metric
from tests.chaos.evidence import Record, read_journal

#: Accuracy by cross-validation that eight hours on two GPUs and a many-core CPU had found for each file, with row
#: weights, a rule applied afterwards and thresholds tuned on the same folds.
PUBLISHED = (0.973710, 0.973656, 0.969823, 0.974898, 0.971065, 0.974844, 0.975869, 0.969607)
#: Four tenths linear models, three boosting, two forests, a twentieth each networks and support vectors.
_COMMON = {"xgboost": 0.1, "lightgbm": 0.1, "catboost": 0.05, "hist_gradient_boosting": 0.05, "random_forest": 0.1,
           "extra_trees": 0.1, "mlp": 0.025, "neuralboost": 0.025, "svm": 0.05}
MIXES: Mapping[str, Mapping[str, float]] = {
    "s5e7": {"logistic": 0.3, "pls": 0.09, **_COMMON},
    "ames_house_prices": {"ridge": 0.13, "lasso": 0.13, "elastic_net": 0.13, **_COMMON},
}


def in_fits(made: Made) -> float:
    """CPU seconds inside fits over all cores' seconds from the first job on, those of trials cut off at the end too."""
    journal = read_journal(made.folder)
    told, lost = made.trials, journal.of("job_lost")
    begun = min(float(record["t"]) for record in journal.of("job_started"))
    wall = max(float(record["t"]) for record in (*told, *lost)) - begun
    spent = sum(t["fit_cpu_seconds"] for t in told) + lost_in_fits(told, lost)
    return spent / (wall * (os.cpu_count() or 1))


def best_of(trials: list[Record], metric: str) -> Record | None:
    """The best complete trial."""
    complete = [trial for trial in trials if trial["state"] == "complete"]
    choose = max if get_metric(metric).direction == "maximize" else min
    return choose(complete, key=lambda trial: trial["score"]) if complete else None


def files(folder: Path, environment: dict[str, str], minutes: float, sampler: str) -> str:
    """The eight files beside what was published of them."""
    study = folder / "files.toml"
    tables = FOLDER / "s5e7"
    study.write_text(
        f'time_per_dataset = "{minutes * 60:.0f}s"\nfolds = 5\nseed = 42\nmetric = "accuracy"\nsampler = "{sampler}"\n'
        f'test = "{tables}/test.csv"\nsample_submission = "{tables}/sample_submission.csv"\n'
        f'[[datasets]]\ntrain = "{tables}/corrected/train_corrected_0*.csv"\n', encoding="utf-8")
    run_study(study, environment)
    made = read_made(study)
    rows: list[tuple[object, ...]] = []
    for number, published in enumerate(PUBLISHED, start=1):
        trials = [t for t in made.trials if t["trial"].startswith(f"train_corrected_0{number}/")]
        best = best_of(trials, "accuracy")
        assert best is not None, "a file without a complete trial is no result"
        off = round((best["score"] - published) * 18_524)
        rows.append((f"0{number}", len(trials), sum(t["state"] == "complete" for t in trials), family_of(best),
                     f"{best['score']:.6f} ± {best['standard_error']:.6f}", f"{published:.6f}", f"{off:+d}"))
    head = ("file", "trials", "complete", "best by", "accuracy", "published", "rows of 18,524 more")
    return f"{markdown(head, rows)}\n\n{_said(made)}"


def mix(name: str, folder: Path, environment: dict[str, str], minutes: float, sampler: str) -> str:
    """Every family on one table: what each has found."""
    dataset, shares = DATASETS[name], MIXES[name]
    lines = [f'time_per_dataset = "{minutes * 60:.0f}s"', "folds = 5", "seed = 42", f'sampler = "{sampler}"',
             f"families = {json.dumps(list(shares))}", "[[datasets]]", f'name = "{name}"',
             f'train = "{dataset.train}"', f'target = "{dataset.target}"', f'metric = "{dataset.metric}"']
    for family, share in shares.items():
        lines += [f"[family.{family}]", f"share = {share}"]
    study = folder / f"{name}.toml"
    study.write_text("\n".join(lines) + "\n", encoding="utf-8")
    run_study(study, environment)
    made = read_made(study)
    whole = sum(t["seconds"] for t in made.trials)
    rows: list[tuple[object, ...]] = []
    for family in shares:
        trials = made.of(family)
        best, seconds = best_of(trials, dataset.metric), [t["seconds"] for t in trials]
        states = [sum(t["state"] == state for t in trials) for state in ("complete", "pruned", "failed")]
        rows.append((family, len(trials), *states, spread(seconds), f"{100 * sum(seconds) / whole:.0f}",
                     f"{best['score']:.5g} ± {best['standard_error']:.2g}" if best else ""))
    head = ("family", "models", "complete", "pruned", "failed", "seconds of a model", "of the time %", dataset.metric)
    return f"{markdown(head, rows)}\n\n{_said(made)}"


def _said(made: Made) -> str:
    share, stolen = in_fits(made), made.stolen
    text = (f"{len(made.trials):,} models in {made.wall_s / 60:.1f} minutes, loading libraries and reading tables "
            f"included; of all cores' seconds from the first job on, {100 * share:.1f} % were CPU seconds inside fits")
    if stolen >= 0.005:
        text += (f", and {100 * stolen:.1f} % were a hypervisor's, which gave them to others: of what there was, "
                 f"{100 * share / (1 - stolen):.1f} % were spent in fits")
    return f"{text}."


def main() -> None:
    """Carry one out, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("files", *MIXES))
    parser.add_argument("--minutes", type=float, help="of each table; 6 for the files, else 20")
    parser.add_argument("--sampler", default="tpe")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    folder = working_folder(options.folder, f"night-{options.what}")
    frozen = frozen_package(folder)
    print(f"in {folder}", flush=True)
    if options.what == "files":
        text = files(folder, frozen, options.minutes or 6, options.sampler)
    else:
        text = mix(options.what, folder, frozen, options.minutes or 20, options.sampler)
    (folder / f"{options.what}.md").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
