"""Where everything made from a data set lies: every path below a workspace is built here."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from utils.dataset.subsets import SUBSETS
from utils.system.files import LONGEST_NAME_BYTES
from utils.workspace.run import UNTUNED_STUDENT, Run, Variant

CHECKPOINT_NAME = "md_{}_iters.pth"
RUN_SETTINGS_NAME = "run.json"
MINI_DATA_PREFIX = "minidata_"


def hidden(path: Path, suffix: str) -> Path:
    """Return the path of a hidden companion of a file."""
    return path.with_name(f".{path.name}{suffix}")


def tuned_beside(checkpoint: Path, weights: str) -> Path:
    """Return where the post-processing is that was tuned for some weights of a checkpoint."""
    return checkpoint.with_name(f"{checkpoint.stem}{Variant(weights, tuned=True).suffix}.json")


def result_of_recording(folder: Path, name: str, suffix: str) -> Path:
    """Return where a result of a recording goes: its name with a suffix, shortened where it is too long."""
    path = folder / f"{name}{suffix}"
    if len(path.name.encode()) <= LONGEST_NAME_BYTES:
        return path
    ending = f"-{hashlib.sha256(name.encode()).hexdigest()[:16]}{suffix}"  # no two recordings have the same
    start = Path(name).name.encode()[: LONGEST_NAME_BYTES - len(ending)].decode(errors="ignore")
    return path.with_name(f"{start}{ending}")


@dataclass(frozen=True)
class RunPaths:
    """The paths of what a run makes.

    Attributes
    ----------
    root : Path
        The workspace.
    folder : Path
        Path of the run below `checkpoints/`, `statistics/` and the others.
    """

    root: Path
    folder: Path

    def checkpoint(self, iteration: int) -> Path:
        return self.root / "checkpoints" / self.folder / CHECKPOINT_NAME.format(iteration)

    def saved_iterations(self) -> list[int]:
        """Return the iterations that the run has checkpoints of, in ascending order."""
        before, after = CHECKPOINT_NAME.split("{}")
        names = [path.name for path in self.checkpoint(0).parent.glob(CHECKPOINT_NAME.format("*"))]
        numbers = [name.removeprefix(before).removesuffix(after) for name in names]
        return sorted(int(number) for number in numbers if number.isdecimal())

    def submission(self, iteration: int, variant: Variant = UNTUNED_STUDENT) -> Path:
        name = f"{iteration}_iters{variant.suffix}_submission.csv"
        return self.root / "submissions" / self.folder / name

    def probabilities(self, iteration: int, variant: Variant = UNTUNED_STUDENT) -> Path:
        """Return the folder of a table of probabilities for each clip."""
        name = f"{iteration}_iters{variant.suffix}_probabilities"
        return self.root / "submissions" / self.folder / name

    def clip_figures(self, iteration: int, variant: Variant = UNTUNED_STUDENT) -> Path:
        return self.root / "figures" / self.folder / f"{iteration}_iters{variant.suffix}"

    @property
    def statistics(self) -> Path:
        return self.root / "statistics" / self.folder

    @property
    def settings(self) -> Path:
        return self.statistics / RUN_SETTINGS_NAME

    @property
    def lock(self) -> Path:
        return hidden(self.settings, ".lock")

    @property
    def training_statistics(self) -> Path:
        return self.statistics / "training.jsonl"

    @property
    def loss_statistics(self) -> Path:
        return self.statistics / "loss.jsonl"

    @property
    def inference_statistics(self) -> Path:
        return self.statistics / "inference.jsonl"

    def resampled_scores(self, iteration: int, variant: Variant = UNTUNED_STUDENT) -> Path:
        return self.statistics / f"{iteration}_iters{variant.suffix}_resampled.json"

    def new_log(self, command: str) -> Path:
        """Return a path in the run's log folder that no earlier command has written to."""
        folder = self.root / "logs" / self.folder
        numbers = [path.name.partition("_")[0] for path in folder.glob("*.log")]
        last = max((int(number) for number in numbers if number.isdecimal()), default=-1)
        return folder / f"{last + 1:04d}_{command}.log"

    @property
    def tensorboard(self) -> Path:
        return self.root / "tensorboard" / self.folder


def run_paths_of_checkpoint(path: Path) -> RunPaths | None:
    """Return the paths of the run that a checkpoint is of; None where it does not lie in a workspace."""
    folder = path.absolute().parent
    for root in folder.parents:
        if folder.is_relative_to(root / "checkpoints"):
            return RunPaths(root, folder.relative_to(root / "checkpoints"))
    return None


@dataclass(frozen=True)
class Workspace:
    """The paths below a workspace.

    Attributes
    ----------
    root : Path
    feature_folder : str
        Name of one kind of features: `FeatureSettings.folder_name`; what is about all runs needs none.
    mini_data : bool
        Whether it is about a few clips of each subset.
    """

    root: Path
    feature_folder: str = ""
    mini_data: bool = False

    def _subset_file(self, kind: str, data_type: str, suffix: str) -> Path:
        return self.root / kind / self._folder / f"{SUBSETS[data_type].relative_path}{suffix}"

    @property
    def _folder(self) -> str:
        return f"{MINI_DATA_PREFIX * self.mini_data}{self.feature_folder}"

    def features(self, data_type: str) -> Path:
        return self._subset_file("features", data_type, ".h5")

    def existing_features(self) -> list[Path]:
        """Return the feature files of all subsets and settings."""
        return sorted(
            path for path in (self.root / "features").rglob("*.h5") if not path.name.startswith(".")
        )

    def missing_clips(self, data_type: str) -> Path:
        return self._subset_file("features", data_type, "_missing.csv")

    def unreadable_clips(self, data_type: str) -> Path:
        return self._subset_file("features", data_type, "_unreadable.csv")

    def feature_journal(self, data_type: str) -> Path:
        """Return the folder of what an extraction has computed so far."""
        return hidden(self.features(data_type), ".journal")

    def features_lock(self, data_type: str) -> Path:
        return hidden(self.features(data_type), ".lock")

    def scalar(self, data_type: str) -> Path:
        return self._subset_file("scalars", data_type, ".h5")

    def run_paths(self, run: Run) -> RunPaths:
        return RunPaths(self.root, Path(self._folder) / run.folder)

    @property
    def statistics(self) -> Path:
        return self.root / "statistics"

    def all_run_paths(self) -> list[RunPaths]:
        """Return the paths of all runs that have left statistics, of whatever features."""
        found = sorted(self.statistics.rglob(RUN_SETTINGS_NAME))
        return [RunPaths(self.root, path.parent.relative_to(self.statistics)) for path in found]

    @property
    def training_curves(self) -> Path:
        return self.root / "figures" / "training_curves.png"

    @property
    def scores_over_time(self) -> Path:
        return self.root / "figures" / "event_f1_over_time.png"

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    @property
    def results_table(self) -> Path:
        return self.statistics / "results.tsv"


@dataclass(frozen=True)
class EventPaths:
    """The paths below a folder of `predict`. Names of recordings may hold `/`."""

    folder: Path

    @property
    def table(self) -> Path:
        return self.folder / "events.csv"

    @property
    def json(self) -> Path:
        return self.folder / "events.json"

    @property
    def journal(self) -> Path:
        """Return the path of what has been detected so far."""
        return hidden(self.json, ".journal")

    def audacity(self, recording: str) -> Path:
        return result_of_recording(self.folder, recording, ".txt")

    def raven(self, recording: str) -> Path:
        return result_of_recording(self.folder, recording, ".selections.txt")

    def probabilities(self, recording: str) -> Path:
        return result_of_recording(self.folder, recording, ".probabilities.csv")

    def page(self, recording: str) -> Path:
        return result_of_recording(self.folder, recording, ".html")
