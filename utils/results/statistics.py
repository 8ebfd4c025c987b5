"""The statistics of a run: its settings as JSON, its scores as JSON lines."""

import itertools
import json
import math
import os
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self

from utils.settings.groups import FeatureSettings
from utils.system.errors import SedError
from utils.system.files import LONGEST_WAIT_SECONDS, claim, written_whole
from utils.workspace.run import Run

SECONDS_PER_MINUTE = 60
MOST_ITERATIONS = 2**53  # whole numbers up to here are exact in JSON readers


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
    """Append a record as one JSON line, in place of an incomplete last line that a killed process left."""
    descriptor = claim(path, path, wait_seconds=LONGEST_WAIT_SECONDS)
    try:
        with os.fdopen(descriptor, "r+b") as file:
            file.seek(file.truncate(complete_lines_end(file)))
            file.write((json.dumps(finite_or_none(record)) + "\n").encode())
    except OSError as error:
        raise SedError(f"{path}: cannot be written: {error}") from error


def complete_lines_end(file: BinaryIO) -> int:
    """Return the position after the last line end of a file."""
    file.seek(0)
    return file.read().rfind(b"\n") + 1


def read_records(path: Path) -> list[dict[str, Any]]:
    """Read a file of JSON lines; none where there is no such file. An incomplete last line is left out.

    Raises
    ------
    SedError
        If the file cannot be read, or a line is not a JSON object with an iteration.
    """
    if not path.is_file():
        return []
    try:
        *lines, _incomplete = path.read_bytes().split(b"\n")
    except OSError as error:
        raise SedError(f"{path}: cannot be read: {error}") from error
    return [parsed_record(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1)]


def parsed_record(line: bytes, where: str) -> dict[str, Any]:
    """Return the record in a JSON line; `where` it stands goes into the message if there is none."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record = None
    iteration = record.get("iteration") if isinstance(record, dict) else None
    if type(iteration) is not int or not 0 <= iteration <= MOST_ITERATIONS:
        raise SedError(f"{where}: not a JSON object with an iteration; remove the line")
    return record


def keep_longer_curve(path: Path, iterations: int) -> Path | None:
    """Copy records that reach further than `iterations`, which a new training of the run will replace.

    Returns
    -------
    Path or None
        Of the copy, whose name says how far it reaches; None where there is nothing to keep.
    """
    last = max((record["iteration"] for record in read_records(path)), default=0)
    if last <= iterations:
        return None
    copy = path.with_name(f"{path.stem}_{last}_iterations{path.suffix}")
    with written_whole(copy) as unfinished:
        unfinished.write_bytes(path.read_bytes())
    return copy


def forget_records(path: Path, *, after: int, kept_from: float = math.inf) -> None:
    """Remove the records of later iterations, which a resumed training makes again, and sort the others.

    Those from `kept_from` on stay: the training has come that far before, and goes on from there later.
    """
    records = [record for record in read_records(path) if not after < record["iteration"] < kept_from]
    records.sort(key=lambda record: record["iteration"])
    with written_whole(path) as unfinished:
        unfinished.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def value_at(record: dict[str, Any], keys: tuple[str, ...]) -> float:
    """Return a score in nested statistics, or NaN where there is none."""
    value: Any = record
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, float) else float("nan")


@dataclass(frozen=True)
class RunSettings:
    """What the weights of a training depend on, and which training of the run it is.

    Attributes
    ----------
    run : Run
    features : FeatureSettings
    precision : str
        One of `utils.settings.groups.PRECISION_NAMES`.
    inputs : dict of str to str
        Digests of the features and the scalar that it learns from, by what they are of.
    training_id : str
        Differs between trainings of the same run; a resumed training keeps it.
    """

    run: Run
    features: FeatureSettings
    precision: str
    inputs: dict[str, str]
    training_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as `from_json` reads them."""
        return {**vars(self), "run": self.run.to_json(), "features": asdict(self.features)}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """Return the settings that `to_json` has written.

        Raises
        ------
        SedError, TypeError, LookupError
            If the content is another one.
        """
        precision, inputs, training_id = (content[name] for name in ("precision", "inputs", "training_id"))
        if not isinstance(precision, str) or not isinstance(training_id, str) or not isinstance(inputs, dict):
            raise TypeError("precision and training_id must be strings, and inputs an object")
        features = FeatureSettings.of(content["features"], "features")
        return cls(Run.from_json(content["run"]), features, precision, inputs, training_id)

    def by_name(self) -> dict[str, Any]:
        """Return the values of all settings."""
        run = self.run.to_json()
        return {**run.pop("training"), **run, **asdict(self.features), "precision": self.precision}


def first_difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Return `name = value, but now it is value` of the first setting that differs; None where none does."""
    for name, value in now.items():
        if value != before[name]:
            return f"{name} = {before[name]}, but now it is {value}"
    return None


def write_run_settings(path: Path, settings: RunSettings, *, resume: bool) -> None:
    """Write what a training depends on.

    Parameters
    ----------
    path : Path
        The JSON file. An earlier one is overwritten.
    settings : RunSettings
    resume : bool
        Whether the training goes on where an earlier one has stopped. Then the file stays as it is.

    Raises
    ------
    SedError
        If the training to resume had other settings or inputs, or its file is not valid.
    """
    if resume and path.is_file():
        earlier = read_run_settings(path)
        if difference := first_difference(earlier.by_name(), settings.by_name()):
            raise SedError(
                f"{path.parent}: the training to resume has {difference}; set it back, or leave out --resume "
                "to train anew"
            )
        changed = [name for name, value in settings.inputs.items() if earlier.inputs.get(name) != value]
        if changed:
            raise SedError(
                f"{path.parent}: the {' and the '.join(changed)} are not those that the training to resume "
                "began with; set them back, or leave out --resume to train anew"
            )
        return
    with written_whole(path) as unfinished:
        unfinished.write_text(json.dumps(settings.to_json(), indent=1), encoding="utf-8")


def read_run_settings(path: Path) -> RunSettings:
    """Read the file that `write_run_settings` has written.

    Raises
    ------
    SedError
        If it is not valid.
    """
    try:
        return RunSettings.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, LookupError, TypeError, RecursionError, SedError) as error:
        problem = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise SedError(
            f"{path}: not a valid settings file of a run: {problem}; remove it, or train that run again"
        ) from error


def training_minutes(evaluations: list[dict[str, Any]]) -> list[float]:
    """Return the minutes that a run had been trained at each of its evaluations, which do not count."""
    seconds = [record.get("train_seconds") or 0.0 for record in evaluations]
    return [total / SECONDS_PER_MINUTE for total in itertools.accumulate(seconds)]
