"""Write three real datasets that scikit-learn carries as folders with train.csv, test.csv and sample_submission.csv."""

from __future__ import annotations

import sys
from pathlib import Path

from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.model_selection import train_test_split

#: Folder name, loader, name of the target column, whether the target is a class.
SETS = (
    ("breast_cancer", load_breast_cancer, "diagnosis", True),
    ("wine", load_wine, "cultivar", True),
    ("diabetes", load_diabetes, "progression", False),
)


def write(folder: Path, load, target: str, classes: bool) -> None:  # type: ignore[no-untyped-def]
    """One dataset as a competition would hand it out; a quarter of the rows is the test table."""
    bunch = load(as_frame=True)
    frame = bunch.data.copy()
    frame.insert(0, "id", range(len(frame)))
    labels = bunch.target
    if classes:
        labels = labels.map(dict(enumerate(bunch.target_names)))
    frame[target] = labels
    train, test = train_test_split(frame, test_size=0.25, random_state=0, stratify=labels if classes else None)
    folder.mkdir(parents=True, exist_ok=True)
    train.to_csv(folder / "train.csv", index=False)
    test.drop(columns=target).to_csv(folder / "test.csv", index=False)
    usual = train[target].mode()[0] if classes else round(float(train[target].mean()), 1)
    test[["id"]].assign(**{target: usual}).to_csv(folder / "sample_submission.csv", index=False)


def main() -> None:
    """Write all of them below the folder given."""
    root = Path(sys.argv[1])
    for name, load, target, classes in SETS:
        write(root / name, load, target, classes)
        print(f"wrote {root / name}")


if __name__ == "__main__":
    main()
