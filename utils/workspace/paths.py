"""Where everything made from a data set lies: every path below a workspace is built here."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from utils import config
from utils.dataset.tables import SUBSETS

CHECKPOINT_NAME = "md_{}_iters.pth"
RUN_SETTINGS_NAME = "run.json"
DATA_TYPE_SEPARATOR = "+"
STUDENT, TEACHER = "student", "teacher"  # whose weights: of the model that learns, or of its moving average


def feature_settings(mini_data: bool) -> str:
    """Return the folder name that tells one kind of features from another."""
    prefix = "minidata_" if mini_data else ""
    return f"{prefix}logmel_{config.frames_per_second:g}frames_{config.mel_bins}melbins"


def join_data_types(data_types: Iterable[str]) -> str:
    """Return the name of several subsets together, in the challenge's order: `train_weak+train_synthetic`."""
    return DATA_TYPE_SEPARATOR.join(sorted(data_types, key=list(SUBSETS).index))


def variant(weights: str, tuned: bool) -> str:
    """Return what tells the file names of the teacher, or of tuned post-processing, from the others."""
    return f"_{weights}" * (weights != STUDENT) + "_tuned" * tuned


@dataclass(frozen=True)
class Run:
    """The settings that tell one training run from another."""

    data_type: str
    holdout_fold: str
    model_type: str
    loss_type: str
    batch_size: int
    seed: int
    mini_data: bool = False

    @property
    def data_types(self) -> list[str]:
        """The subsets that the run is trained on."""
        return self.data_type.split(DATA_TYPE_SEPARATOR)

    @property
    def folder(self) -> Path:
        """Path of the run below `checkpoints/`, `statistics/` and the others."""
        return Path(
            feature_settings(self.mini_data),
            self.data_type,
            f"holdout_fold={self.holdout_fold}",
            self.model_type,
            self.loss_type,
            f"batch_size={self.batch_size}",
            f"seed={self.seed}",
        )


def tuned_beside(checkpoint: Path, weights: str) -> Path:
    """Return where the post-processing is that was tuned for some weights of a checkpoint."""
    return checkpoint.with_name(f"{checkpoint.stem}{variant(weights, True)}.json")


@dataclass(frozen=True)
class Workspace:
    """A workspace folder and the paths of the files in it."""

    root: Path

    def _subset_file(self, kind: str, data_type: str, mini_data: bool, suffix: str) -> Path:
        subset = SUBSETS[data_type]
        return self.root / kind / feature_settings(mini_data) / f"{subset.relative_path}{suffix}"

    def features(self, data_type: str, mini_data: bool) -> Path:
        return self._subset_file("features", data_type, mini_data, ".h5")

    def missing_clips(self, data_type: str, mini_data: bool) -> Path:
        return self._subset_file("features", data_type, mini_data, "_missing.csv")

    def unreadable_clips(self, data_type: str, mini_data: bool) -> Path:
        return self._subset_file("features", data_type, mini_data, "_unreadable.csv")

    def feature_journal(self, data_type: str, mini_data: bool) -> Path:
        """Return the folder of what an extraction has computed so far."""
        return self._hidden(self.features(data_type, mini_data), ".journal")

    def features_lock(self, data_type: str, mini_data: bool) -> Path:
        return self._hidden(self.features(data_type, mini_data), ".lock")

    @staticmethod
    def _hidden(path: Path, suffix: str) -> Path:
        return path.with_name(f".{path.name}{suffix}")

    def scalar(self, data_type: str, mini_data: bool) -> Path:
        return self._subset_file("scalars", data_type, mini_data, ".h5")

    def checkpoint(self, run: Run, iteration: int) -> Path:
        return self.root / "checkpoints" / run.folder / CHECKPOINT_NAME.format(iteration)

    def saved_iterations(self, run: Run) -> list[int]:
        """Return the iterations that the run has checkpoints of, in ascending order."""
        before, after = CHECKPOINT_NAME.split("{}")
        names = [path.name for path in self.checkpoint(run, 0).parent.glob(CHECKPOINT_NAME.format("*"))]
        numbers = [name.removeprefix(before).removesuffix(after) for name in names]
        return sorted(int(number) for number in numbers if number.isdecimal())

    def tuned_post_processing(self, run: Run, iteration: int, weights: str = STUDENT) -> Path:
        return tuned_beside(self.checkpoint(run, iteration), weights)

    def submission(self, run: Run, iteration: int, weights: str = STUDENT, tuned: bool = False) -> Path:
        name = f"{iteration}_iters{variant(weights, tuned)}_submission.csv"
        return self.root / "submissions" / run.folder / name

    @property
    def statistics(self) -> Path:
        return self.root / "statistics"

    def run_settings(self, run: Run) -> Path:
        return self.statistics / run.folder / RUN_SETTINGS_NAME

    def all_run_settings(self) -> list[Path]:
        """Return the settings files of all runs that have left statistics."""
        return sorted(self.statistics.rglob(RUN_SETTINGS_NAME))

    def run_lock(self, run: Run) -> Path:
        return self._hidden(self.run_settings(run), ".lock")

    def training_statistics(self, run: Run) -> Path:
        return self.statistics / run.folder / "training.jsonl"

    def loss_statistics(self, run: Run) -> Path:
        return self.statistics / run.folder / "loss.jsonl"

    def inference_statistics(self, run: Run) -> Path:
        return self.statistics / run.folder / "inference.jsonl"

    def new_log(self, run: Run, command: str) -> Path:
        """Return a path in the run's log folder that no earlier command has written to."""
        folder = self.root / "logs" / run.folder
        number = len(list(folder.glob("*.log")))
        return folder / f"{number:04d}_{command}.log"

    def clip_figures(self, run: Run, iteration: int, weights: str = STUDENT, tuned: bool = False) -> Path:
        return self.root / "figures" / run.folder / f"{iteration}_iters{variant(weights, tuned)}"

    def tensorboard(self, run: Run) -> Path:
        return self.root / "tensorboard" / run.folder

    @property
    def training_curves(self) -> Path:
        return self.root / "figures" / "training_curves.png"

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    @property
    def results_table(self) -> Path:
        return self.statistics / "results.tsv"
