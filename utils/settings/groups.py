"""The settings by what they are for. Their values, units and reasons stand in `utils/config.py`."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from utils.settings.group import SettingsGroup, names_of, setting
from utils.system.errors import SedError

LABEL_SEPARATORS = set(",\t\n\r")
POST_PROCESSING_NAMES = ("double_threshold", "median_filter", "event_boxes")
MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # Hz
# Of a clip: 52 minutes at 32 kHz, and 49 times the features of the published clips. Settings beyond are taken
# for those of a damaged file rather than for ones that need hundreds of gigabytes.
MOST_CLIP_SAMPLES, MOST_CLIP_FEATURES = 100_000_000, 2_000_000
PRECISION_NAMES = ("auto", "fp32", "tf32", "bf16")  # see pytorch/compute.py


@dataclass(frozen=True)
class FeatureSettings(SettingsGroup):
    """The classes, and how recordings become log-mel features."""

    labels: tuple[str, ...] = setting()
    sample_rate: int = setting(at_least=1000, at_most=1_000_000)
    clip_seconds: float = setting(above=0, at_most=3600)
    resampling_margin: float = setting(at_least=0, at_most=3600)
    window_size: int = setting(at_least=1)
    hop_size: int = setting(at_least=1)
    mel_bins: int = setting(at_least=1, at_most=10_000)
    mel_min_frequency: float = setting(at_least=0)
    mel_max_frequency: float = setting(above=0)
    log_floor: float = setting(at_least=1e-37)  # single precision holds no smaller power

    def check_together(self) -> None:
        check_labels(self.labels)
        if self.clip_samples < max(self.window_size, self.hop_size):
            raise SedError(
                f"clip_seconds {self.clip_seconds:g} s is shorter than window_size or hop_size; raise it"
            )
        if self.clip_samples > MOST_CLIP_SAMPLES or self.clip_frames * self.mel_bins > MOST_CLIP_FEATURES:
            raise SedError(
                f"clip_seconds {self.clip_seconds:g} s makes clips of {self.clip_samples} samples and "
                f"{self.clip_frames} × {self.mel_bins} features, at most {MOST_CLIP_SAMPLES} and "
                f"{MOST_CLIP_FEATURES} of which are possible; lower it, or raise hop_size"
            )
        if not self.mel_min_frequency < self.mel_max_frequency <= self.sample_rate / 2:
            raise SedError(
                f"mel_min_frequency {self.mel_min_frequency:g} Hz must be below mel_max_frequency "
                f"{self.mel_max_frequency:g} Hz, and that at most half of sample_rate {self.sample_rate} Hz"
            )

    @property
    def classes_num(self) -> int:
        return len(self.labels)

    @property
    def clip_samples(self) -> int:
        return round(self.clip_seconds * self.sample_rate)

    @property
    def clip_frames(self) -> int:
        return self.clip_samples // self.hop_size

    @property
    def frames_per_second(self) -> float:
        return self.sample_rate / self.hop_size

    @property
    def folder_name(self) -> str:
        """The name of the folder that holds features of this kind, in the published system's layout."""
        return f"logmel_{self.frames_per_second:g}frames_{self.mel_bins}melbins"


def check_labels(labels: tuple[str, ...]) -> None:
    """Raise SedError unless the labels are distinct texts that a table can hold."""
    for label in labels:
        if not label or label != label.strip() or set(label) & LABEL_SEPARATORS or not is_unicode(label):
            raise SedError(
                f"{label!r} is not a valid label: it must be text without commas, tabs or line ends"
            )
    if len(set(labels)) != len(labels):
        raise SedError(f"labels must be distinct, but they are {', '.join(labels)}")


def is_unicode(text: str) -> bool:
    """Tell whether the text can be written to a file: half of a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True)
class EventSettings(SettingsGroup):
    """How probabilities become events."""

    cnn_post_processing: str = setting(choices=POST_PROCESSING_NAMES)
    crnn_post_processing: str = setting(choices=POST_PROCESSING_NAMES)
    recipe_post_processing: str = setting(choices=POST_PROCESSING_NAMES)
    clip_threshold: float = setting(at_least=0, at_most=1)
    high_threshold: float = setting(at_least=0, at_most=1)
    low_threshold: float = setting(at_least=0, at_most=1)
    join_gap: float = setting(at_least=0, at_most=3600)
    drop_length: float = setting(at_least=0, at_most=3600)
    frame_threshold: float = setting(at_least=0, at_most=1)
    median_filter_outputs: int = setting(at_least=1, at_most=100_000)
    box_step: float = setting(above=0, at_most=3600)
    box_merge_difference: float = setting(at_least=0, at_most=1)
    box_merge_ratio: float = setting(at_least=1)
    box_threshold: float = setting(at_least=0, at_most=1)
    window_overlap: float = setting(at_least=0, below=1)

    def check_together(self) -> None:
        if self.low_threshold > self.high_threshold:
            raise SedError(
                f"low_threshold {self.low_threshold:g} must be at most high_threshold {self.high_threshold:g}"
            )


@dataclass(frozen=True)
class TrainingSettings(SettingsGroup):
    """What the weights depend on besides the flags of a run: optimizer, schedule, mean teacher."""

    learning_rate: float = setting(above=0)
    learning_rate_decay: float = setting(above=0, at_most=1)
    learning_rate_decay_interval: int = setting(at_least=1)
    adam_betas: tuple[float, float] = setting(at_least=0, below=1)
    adam_epsilon: float = setting(above=0)
    weight_decay: float = setting(at_least=0)
    outputs_in_float32: bool = setting()
    teacher_decay: float = setting(at_least=0, below=1)
    teacher_noise: float = setting(at_least=0)
    consistency_weight: float = setting(at_least=0)
    consistency_ramp_fraction: float = setting(at_least=0, at_most=1)
    consistency_ramp_steepness: float = setting(at_least=0)

    def of_system(self, *, has_teacher: bool) -> Self:
        """Return the settings with the published values of those that only the other system uses.

        They do not change the weights, so they neither distinguish runs nor stand in their names.
        """
        unused = SETTINGS_WITHOUT_TEACHER if has_teacher else SETTINGS_OF_TEACHER
        return replace(self, **{name: getattr(PUBLISHED_TRAINING, name) for name in unused})


SETTINGS_WITHOUT_TEACHER = ("learning_rate_decay", "learning_rate_decay_interval")
SETTINGS_OF_TEACHER = (
    "teacher_decay",
    "teacher_noise",
    "consistency_weight",
    "consistency_ramp_fraction",
    "consistency_ramp_steepness",
)

# Of the published systems. The folder of a run names what its training has otherwise.
PUBLISHED_TRAINING = TrainingSettings(
    learning_rate=0.001,
    learning_rate_decay=0.9,
    learning_rate_decay_interval=200,
    adam_betas=(0.9, 0.999),
    adam_epsilon=1e-8,
    weight_decay=0.0,
    outputs_in_float32=True,
    teacher_decay=0.999,
    teacher_noise=0.5,
    consistency_weight=2.0,
    consistency_ramp_fraction=0.5,
    consistency_ramp_steepness=5.0,
)


@dataclass(frozen=True)
class RecipeSettings(SettingsGroup):
    """What the weights of a training by the recipe depend on besides the flags of a run."""

    recipe_learning_rate: float = setting(above=0)
    average_memory_fraction: float = setting(above=0, at_most=1)
    clipwise_loss_weight: float = setting(at_least=0)
    teacher_loss_weight: float = setting(at_least=0)
    teacher_ramp_fraction: float = setting(at_least=0, at_most=1)
    time_shift_deviation: float = setting(at_least=0)
    added_sounds_fraction: float = setting(at_least=0, at_most=1)
    added_sound_gain: float = setting(at_least=0)
    mixup_probability: float = setting(at_least=0, at_most=1)
    mixup_alpha: float = setting(above=0)


# Behind the recipe's row of results. The folder of a run names what its training has otherwise.
MEASURED_RECIPE = RecipeSettings(
    recipe_learning_rate=0.002,
    average_memory_fraction=0.05,
    clipwise_loss_weight=0.5,
    teacher_loss_weight=1.0,
    teacher_ramp_fraction=0.3,
    time_shift_deviation=1.4,
    added_sounds_fraction=0.5,
    added_sound_gain=6.0,
    mixup_probability=0.5,
    mixup_alpha=0.2,
)


@dataclass(frozen=True)
class LoopSettings(SettingsGroup):
    """How often a training is looked at, and what it may take of the machine. The weights do not change."""

    evaluation_interval: int = setting(at_least=1)
    checkpoint_interval: int = setting(at_least=1)
    log_interval: int = setting(at_least=1)
    pace_iterations: int = setting(at_least=1)
    evaluation_batch_size: int = setting(at_least=1)
    scoring_workers: int = setting(at_least=1)
    train_eval_clips: int = setting(at_least=1)
    gpu_data_fraction: float = setting(at_least=0, at_most=1)
    gpu_repeatable: bool = setting()


@dataclass(frozen=True)
class ScoringSettings(SettingsGroup):
    """The tolerances of the scores, and how their intervals are found."""

    onset_collar: float = setting(at_least=0)
    offset_collar_fraction: float = setting(at_least=0)
    segment_lengths: tuple[float, ...] = setting(at_least=0.001, at_most=3600)
    psds1_tolerance: float = setting(above=0, at_most=1)
    psds2_tolerance: float = setting(above=0, at_most=1)
    psds2_cross_trigger_tolerance: float = setting(above=0, at_most=1)
    psds2_cross_trigger_cost: float = setting(at_least=0)
    psds_instability_cost: float = setting(at_least=0)
    psds_max_false_positive_rate: float = setting(above=0)
    bootstrap_resamples: int = setting(at_least=1, at_most=100_000)
    bootstrap_seed: int = setting(at_least=0, below=2**63)
    bootstrap_confidence: float = setting(above=0, below=1)


@dataclass(frozen=True)
class TuningSettings(SettingsGroup):
    """The values that `inference.py tune` tries."""

    tuned_clip_thresholds: tuple[float, ...] = setting(at_least=0, at_most=1)
    tuned_high_thresholds: tuple[float, ...] = setting(at_least=0, at_most=1)
    tuned_low_thresholds: tuple[float, ...] = setting(at_least=0, at_most=1)
    tuned_join_gaps: tuple[float, ...] = setting(at_least=0)
    tuned_drop_lengths: tuple[float, ...] = setting(at_least=0)
    tuned_frame_thresholds: tuple[float, ...] = setting(at_least=0, at_most=1)
    tuned_median_filter_outputs: tuple[int, ...] = setting(at_least=1, at_most=100_000)
    tuned_box_steps: tuple[float, ...] = setting(above=0, at_most=3600)
    tuned_box_merge_ratios: tuple[float, ...] = setting(at_least=1)
    tuned_box_thresholds: tuple[float, ...] = setting(at_least=0, at_most=1)


@dataclass(frozen=True)
class PageSettings(SettingsGroup):
    """What the page of a recording may take, however long the recording is."""

    recording_page_columns: int = setting(at_least=1)
    recording_page_sound_rate: int = setting(at_least=8000, at_most=48000)
    recording_page_chunk_seconds: float = setting(at_least=1, at_most=3600)
    recording_page_sound_megabytes: float = setting(at_least=0)

    def check_together(self) -> None:
        if self.recording_page_sound_rate not in MP3_RATES:
            rates = ", ".join(map(str, MP3_RATES))
            raise SedError(
                f"recording_page_sound_rate {self.recording_page_sound_rate} Hz is none of MP3: {rates}"
            )


@dataclass(frozen=True)
class ImportSettings(SettingsGroup):
    """How own recordings become a data set."""

    import_validation_fraction: float = setting(above=0, below=1)
    import_overlap: float = setting(at_least=0, at_most=3600)
    import_shortest_event: float = setting(at_least=0, at_most=3600)
    import_eventless_fraction: float = setting(at_least=0, at_most=1)
    import_iterations: int = setting(at_least=1)
    import_batch_size: int = setting(at_least=1)


@dataclass(frozen=True)
class CommandDefaults(SettingsGroup):
    """What commands do where their options say nothing."""

    model_type: str = setting()
    loss_type: str = setting()
    iterations: int = setting(at_least=1)
    batch_size: int = setting(at_least=1)
    mean_teacher_batch_size: int = setting(at_least=1)
    mean_teacher_iterations: int = setting(at_least=1)
    recipe_batch_size: int = setting(at_least=1)
    recipe_iterations: int = setting(at_least=1)
    seed: int = setting(at_least=0, below=2**63)
    precision: str = setting(choices=PRECISION_NAMES)
    visualized_clips: int = setting(at_least=1)
    report_clips: int = setting(at_least=1)
    report_runs: int = setting(at_least=1)
    mini_data_clips: int = setting(at_least=1)
    mini_data_seed: int = setting(at_least=0)


@dataclass(frozen=True)
class Settings:
    """All settings, in their groups."""

    features: FeatureSettings
    events: EventSettings
    training: TrainingSettings
    recipe: RecipeSettings
    loop: LoopSettings
    scoring: ScoringSettings
    tuning: TuningSettings
    page: PageSettings
    importing: ImportSettings
    defaults: CommandDefaults

    @classmethod
    def of(cls, values: Mapping[str, Any], where: str) -> Self:
        """Make all groups of the values in `where`, which goes into messages.

        Raises
        ------
        SedError
            If a value is missing, or is not one that it can be.
        """
        return cls(**{one.name: one.type.of(values, where) for one in fields(cls)})

    @classmethod
    def names(cls) -> list[str]:
        """Return the names of all settings."""
        return [name for one in fields(cls) for name in names_of(one.type)]
