"""Scores of clips as files that other tools read: a folder in the format of sed_scores_eval."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from utils.dataset.tables import read_score_table, write_score_table
from utils.scoring.psds import ClipScores
from utils.system.errors import SedError
from utils.system.files import make_folder, remove_file
from utils.system.log import logger
from utils.system.words import counted

SUFFIX = ".tsv"


def file_names(clips: Sequence[str]) -> dict[str, str]:
    """Return the file of each clip: its name without the ending of a recording.

    Raises
    ------
    SedError
        If two clips have the same file.
    """
    names = {clip: f"{PurePosixPath(clip).with_suffix('')}{SUFFIX}" for clip in clips}
    owner: dict[str, str] = {}
    for clip, name in names.items():
        if owner.setdefault(name, clip) != clip:
            raise SedError(
                f"{clip} and {owner[name]} have the same file of scores, {name}; rename one of them"
            )
    return names


def write_scores(
    folder: Path, clips: Sequence[str], scores: Sequence[ClipScores], labels: Sequence[str]
) -> None:
    """Write the scores of clips; whatever other scores are in the folder are removed."""
    names = file_names(clips)
    make_folder(folder)
    for path in folder.iterdir():
        if path.name not in names.values():
            remove_file(path)
    for clip, of_clip in zip(clips, scores, strict=True):
        write_score_table(folder / names[clip], of_clip.edges_seconds, of_clip.scores, labels)


def read_scores(folder: Path, clips: Sequence[str], labels: Sequence[str]) -> list[ClipScores]:
    """Read the scores of clips, in their order.

    Raises
    ------
    SedError
        If a clip has no file there, or a file is not valid.
    """
    names = file_names(clips)
    without = [name for name in names.values() if not (folder / name).is_file()]
    if without:
        raise SedError(
            f"{folder / without[0]}: there is no such file ({counted(len(without), 'clip')} without scores)"
        )
    others = [path for path in folder.glob(f"*{SUFFIX}") if path.name not in names.values()]
    if others:
        logger.info(f"Left out: scores of {len(others)} clips that the reference does not list")
    return [ClipScores(*read_score_table(folder / names[clip], labels)) for clip in clips]


def ranked(scores: Sequence[ClipScores]) -> list[ClipScores]:
    """Return ranks in place of the scores of all clips, which thresholds separate in the same way.

    Scores of other systems may differ by less than the single precision that sed_scores_eval is given.
    """
    lengths = np.cumsum([len(clip.scores) for clip in scores])[:-1]
    by_class = np.concatenate([clip.scores for clip in scores]).T
    ranks = np.stack([np.unique(of_class, return_inverse=True)[1] for of_class in by_class], axis=1)
    parts = np.split(ranks, lengths)
    return [ClipScores(clip.edges_seconds, part) for clip, part in zip(scores, parts, strict=True)]
