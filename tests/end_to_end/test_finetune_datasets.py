"""The data sets of the experiment on fine-tuning: what is held out occurs in one of them only."""

import runpy

from tests.commands import PROJECT, assert_user_error, run_command, run_well
from utils.dataset.tables import read_strong_table

SCRIPT = "appendixes/finetune_datasets.py"
TABLES = ("metadata/train/synthetic.csv", "metadata/validation/validation.csv")


def test_held_out_classes_are_in_the_second_data_set_only(small, tmp_path):
    labels = runpy.run_path(str(PROJECT / "utils/config.py"))["labels"]
    clips = [read_strong_table(small.dataset_dir / table, labels) for table in TABLES]
    present = sorted({event.label for clip in clips[0] for event in clip.events})
    held_out = [present[0], present[-1]]
    arguments = [SCRIPT, "--dataset_dir", small.dataset_dir, "--output_dir", tmp_path]
    run_well(*arguments, "--classes", ",".join(held_out), "--clips", 2)
    labels_of = {part: runpy.run_path(str(tmp_path / f"{part}.py"))["labels"] for part in ("before", "after")}
    assert labels_of == {"before": [one for one in labels if one not in held_out], "after": held_out}
    for table, of_table in zip(TABLES, clips, strict=True):
        before = read_strong_table(tmp_path / "before" / table, labels)
        assert before == [c for c in of_table if not {e.label for e in c.events} & set(held_out)]
        after = {c.name: c.events for c in read_strong_table(tmp_path / "after" / table, held_out)}
        for clip in of_table:
            if clip.name in after:
                assert after[clip.name] == tuple(e for e in clip.events if e.label in held_out)
        if "validation" in table:
            assert len(after) == len(of_table)
        else:
            assert len(after) == 2
            assert {e.label for events in after.values() for e in events} == set(held_out)
    assert list((tmp_path / "after/audio/validation").glob("*.wav"))

    result = run_command(*arguments, "--classes", "Unicorn")
    assert_user_error(result, "'Unicorn' is none of the labels")
