"""The subsets of the challenge's data: where each lies in a data set's folder, and which clips it has."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.dataset.tables import (
    Clip,
    read_rows,
    read_strong_table,
    read_unlabelled_table,
    read_weak_table,
    write_strong_table,
    write_unlabelled_table,
    write_weak_table,
)
from utils.settings.groups import Settings
from utils.settings.overrides import require_settings_of
from utils.system.errors import SedError

CHALLENGE_FACTS = Path(__file__).resolve().parents[2] / "metadata"
# The names of the subsets in subsets.tsv there
WEAK, SYNTHETIC, UNLABELLED = "train_weak", "train_synthetic", "train_unlabel_in_domain"
VALIDATION = "validation"
TABLE_SUFFIXES = (".csv", ".tsv")  # the challenge shipped .csv until 2019 and .tsv since 2020


@dataclass(frozen=True)
class Subset:
    """One part of the challenge's data.

    Attributes
    ----------
    data_type : str
        Its name, as the commands take it.
    annotation : str
        What its table lists besides the clips: `weak` labels, `strong` events, or `none`.
    audio_folder, table : str
        Paths in a data set's folder; the table without its suffix.
    clips, events : int
        How many the full set has; events is None where none are annotated.
    """

    data_type: str
    annotation: str
    audio_folder: str
    table: str
    clips: int
    events: int | None

    @property
    def relative_path(self) -> str:
        """Path of the subset below `features/…`, without suffix: `train/weak`, `validation`."""
        return self.audio_folder.removeprefix("audio/")


def read_subsets() -> dict[str, Subset]:
    """Return the subsets of the challenge by their data type."""
    rows = [row.cells for row in read_rows(CHALLENGE_FACTS / "subsets.tsv", ("data_type",))]
    subsets = [
        Subset(
            data_type=cells["data_type"],
            annotation=cells["annotation"],
            audio_folder=cells["audio_folder"],
            table=cells["table"],
            clips=int(cells["clips"]),
            events=int(cells["events"]) if cells["events"] else None,
        )
        for cells in rows
    ]
    return {subset.data_type: subset for subset in subsets}


def read_challenge_labels() -> list[str]:
    """Return the labels of the challenge, whatever the settings say."""
    return (CHALLENGE_FACTS / "labels.txt").read_text(encoding="utf-8").split()


SUBSETS = read_subsets()


def table_paths(dataset_dir: Path, subset: Subset) -> list[Path]:
    """Return where a subset's table may lie; a table that is written lies at the first of these."""
    return [dataset_dir / f"{subset.table}{suffix}" for suffix in TABLE_SUFFIXES]


def has_table(dataset_dir: Path, subset: Subset) -> bool:
    """Tell whether there is a table of a subset."""
    return any(path.is_file() for path in table_paths(dataset_dir, subset))


def find_table(dataset_dir: Path, subset: Subset) -> Path:
    """Return the path of a subset's table, which may end in .csv or .tsv.

    Raises
    ------
    SedError
        If the data set's folder or the table does not exist, or there are two different ones.
    """
    if not dataset_dir.is_dir():
        raise SedError(
            f"{dataset_dir}: there is no such data set folder; set --dataset_dir to an existing one"
        )
    candidates = table_paths(dataset_dir, subset)
    found = [path for path in candidates if path.is_file()]
    if not found:
        raise SedError(
            f"{candidates[0]}: there is no such table (nor {candidates[1].name}); add it to the data set, "
            f"with the clips of {subset.data_type}"
        )
    if len(found) > 1 and found[0].read_bytes() != found[1].read_bytes():
        raise SedError(f"{found[0]}: differs from {found[1].name} beside it; remove the one that is wrong")
    return found[0]


def read_subset_table(
    dataset_dir: Path, subset: Subset, labels: Sequence[str], problems: list[str] | None = None
) -> list[Clip]:
    """Read a subset's table; see `read_clips`."""
    path = find_table(dataset_dir, subset)
    if subset.annotation == "weak":
        return read_weak_table(path, labels, problems)
    if subset.annotation == "strong":
        return read_strong_table(path, labels, problems=problems)
    return read_unlabelled_table(path, problems)


def write_subset_table(dataset_dir: Path, subset: Subset, clips: Sequence[Clip]) -> None:
    """Write a subset's table, in the challenge's layout."""
    write = {"weak": write_weak_table, "strong": write_strong_table, "none": write_unlabelled_table}
    write[subset.annotation](table_paths(dataset_dir, subset)[0], clips)


def read_clips(
    dataset_dir: Path, data_type: str, labels: Sequence[str], problems: list[str] | None = None
) -> list[Clip]:
    """Read the clips of a subset from a data set's folder.

    Parameters
    ----------
    dataset_dir : Path
        Folder with `metadata/` in the challenge's layout.
    data_type : str
        Name of the subset: `train_weak`, `train_synthetic`, `train_unlabel_in_domain` or `validation`.
    labels : sequence of str
        The labels that may occur.
    problems : list of str or None
        Where it is given, wrong rows are left out and their problems added to it.

    Returns
    -------
    list of Clip
        Sorted by name.

    Raises
    ------
    SedError
        If the table is missing or wrong; the message says where.
    """
    require_settings_of(dataset_dir)
    subset = SUBSETS[data_type]
    clips = read_subset_table(dataset_dir, subset, labels, problems)
    if not clips and not problems:
        path = find_table(dataset_dir, subset)
        raise SedError(f"{path}: lists no clips; it must have rows below its header")
    return clips


def listed_clips(dataset_dir: Path, data_type: str, settings: Settings, *, mini_data: bool) -> list[Clip]:
    """Return the clips of a subset that features are made of, with those whose recordings are missing.

    With `mini_data` these are a few of the clips in its table, always the same ones.
    """
    clips = read_clips(dataset_dir, data_type, settings.features.labels)
    if not mini_data:
        return clips
    generator = np.random.default_rng(settings.defaults.mini_data_seed)
    count = min(settings.defaults.mini_data_clips, len(clips))
    return [clips[index] for index in sorted(generator.choice(len(clips), count, replace=False))]
