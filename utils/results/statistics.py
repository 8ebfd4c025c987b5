"""The statistics of a run: its settings as JSON, its scores as JSON lines."""

import json
import math
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from utils import config
from utils.settings.overrides import public_values
from utils.system.errors import SedError
from utils.system.files import make_folder, written_whole
from utils.workspace.paths import STUDENT, Run

# Config values that do not change a run's weights (how often things are looked at, and how they are scored),
# and those that only give a default to what `Run` holds.
NOT_OF_THE_WEIGHTS = {
    *("iterations", "evaluation_interval", "checkpoint_interval", "log_interval", "evaluation_batch_size"),
    *("train_eval_clips", "scoring_workers", "gpu_data_share", "visualized_clips", "report_clips"),
    *("clip_threshold", "high_threshold", "low_threshold", "join_gap", "drop_length"),
    *("onset_collar", "offset_collar_fraction", "segment_lengths"),
    *("cnn_post_processing", "crnn_post_processing", "frame_threshold", "median_filter_outputs"),
    *("tuned_clip_thresholds", "tuned_high_thresholds", "tuned_low_thresholds", "tuned_join_gaps"),
    *("tuned_drop_lengths", "tuned_frame_thresholds", "tuned_median_filter_outputs"),
    *("psds1_tolerance", "psds2_tolerance", "psds2_cross_trigger_tolerance", "psds2_cross_trigger_cost"),
    *("psds_instability_cost", "psds_most_false_alarms"),
    "window_overlap",
    *("model_type", "loss_type", "batch_size", "mean_teacher_batch_size", "seed"),
}


def validation_key(weights: str, tuned: bool = False) -> str:
    """Return the name that the scores of the student or the teacher have in a record."""
    words = [weights] * (weights != STUDENT) + ["tuned"] * tuned
    return "_".join([*words, "validation"])


def finite_or_none(value: Any) -> Any:
    """Return the value with every NaN replaced by None, as JSON has no NaN."""
    if isinstance(value, dict):
        return {key: finite_or_none(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite_or_none(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def append_record(path: Path, record: dict[str, Any]) -> None:
    """Append a record as one JSON line; the rest of a line that a killed process left is overwritten."""
    make_folder(path.parent)
    try:
        with path.open("a+b") as file:
            file.truncate(whole_lines_end(file))
            file.write((json.dumps(finite_or_none(record)) + "\n").encode())
    except OSError as error:
        raise SedError(f"{path}: cannot be written: {error}") from error


def whole_lines_end(file: BinaryIO) -> int:
    """Return the position after the last line end of a file."""
    file.seek(0)
    return file.read().rfind(b"\n") + 1


def read_records(path: Path) -> list[dict[str, Any]]:
    """Read the records of a file of JSON lines; none where there is no such file.

    What follows the last line end is a line that a process could not finish, and is left out.
    """
    if not path.is_file():
        return []
    try:
        with path.open("rb") as file:
            end = whole_lines_end(file)
            file.seek(0)
            return [json.loads(line) for line in file.read(end).decode().splitlines()]
    except (OSError, ValueError) as error:
        raise SedError(f"{path}: is no file of JSON lines: {error}; remove it") from error


def forget_records(path: Path, *, after: int) -> None:
    """Remove the records of later iterations, which a training that goes on will make again."""
    records = [record for record in read_records(path) if record["iteration"] <= after]
    with written_whole(path) as unfinished:
        unfinished.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def settings_of(run: Run, precision: str) -> dict[str, Any]:
    """Return all that determines the run's weights, as JSON holds it."""
    values = {
        name: value for name, value in public_values(vars(config)).items() if name not in NOT_OF_THE_WEIGHTS
    }
    values["precision"] = precision
    return json.loads(json.dumps({"run": asdict(run), "config": values}))


def claim_run_folder(path: Path, run: Run, precision: str, *, resume: bool = False) -> None:
    """Write the run's settings to `path`, unless other settings stand there already.

    Parameters
    ----------
    path : Path
    run, precision
        The settings.
    resume : bool
        Whether to go on with the training that stands there; else what tells it from others is made anew.

    Raises
    ------
    SedError
        If a run with other values in the config has left its files in the same folders.
    """
    settings = settings_of(run, precision)
    earlier = read_settings(path) if path.is_file() else {}
    for name, value in settings["config"].items() if earlier else ():
        if earlier["config"].get(name) != value:
            raise SedError(
                f"{path.parent}: holds a run with {name} = {earlier['config'].get(name)}, and now it is "
                f"{value}; take another --seed or --workspace, or remove that run's folders"
            )
    settings["start"] = earlier.get("start", new_start()) if resume else new_start()
    with written_whole(path) as unfinished:
        unfinished.write_text(json.dumps(settings, indent=1), encoding="utf-8")


def new_start() -> str:
    """Return a text that no other training has."""
    return uuid.uuid4().hex


def read_settings(path: Path) -> dict[str, Any]:
    """Read the settings file of a run."""
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(settings["run"], dict) or not isinstance(settings["config"], dict):
            raise TypeError("its parts are of the wrong kind")
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise SedError(f"{path}: is no settings file of a run: {error}; remove that run's folders") from error
    return settings


def read_start(path: Path) -> str:
    """Return what tells the training whose settings stand at `path` from others of the same run."""
    return read_settings(path)["start"]
