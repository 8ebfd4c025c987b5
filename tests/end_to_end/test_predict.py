"""`predict`: the events that a checkpoint detects in recordings of any length, and how they are written."""

import json
import math
import tracemalloc
import weakref
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import soxr
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytorch.compute import choose_compute
from pytorch.detector import StoredDetector, load_detector
from pytorch.long_audio import WindowProbabilities, average_windows, detect_in_streams
from pytorch.predict import predict
from tests.commands import assert_user_error, run_command, run_well
from tests.settings_for_tests import LABELS, SETTINGS, rule_named, same_for_all
from tests.small import CONFIG, FEATURES_FOLDER, Small, make_small
from utils.audio.logmel import logmel_of_clip
from utils.audio.reading import SampleStream, read_clip
from utils.audio.recordings import find_recordings
from utils.audio.windows import cut_windows, window_hop_frames
from utils.dataset.tables import Clip, Event, read_strong_table, write_strong_table
from utils.events.event_files import label_of_audacity, write_audacity
from utils.events.probabilities import Probabilities
from utils.events.scored_events import ScoredEvent, events_within
from utils.system.errors import SedError
from utils.workspace.paths import Workspace, tuned_beside
from utils.workspace.run import STUDENT, TEACHER, Run

pytestmark = pytest.mark.xdist_group("predict")  # one process runs all these tests, as they share a run

RUN = Run("train_synthetic", "1", "Cnn_5layers_AvgPooling", "framewise_binary_crossentropy", 4, 1234)
ITERATIONS = 6
# After so few iterations hardly anything is sure: thresholds at which events are found all the same.
EAGER = (
    "clip_threshold = 0.05\nhigh_threshold = 0.1\nlow_threshold = 0.08\njoin_gap = 0.0\ndrop_length = 0.0\n"
)
PREDICT = ("pytorch/inference.py", "predict")
RATE = 44100  # Hz, of the recordings
FEATURES = SETTINGS.features
DOUBLE_THRESHOLD = same_for_all(rule_named("double_threshold"))
ROUNDING = 1e-4  # of probabilities: a model rounds a window differently beside others in a batch


@dataclass(frozen=True)
class Taught:
    """A trained run of the small data set, whose validation clips are at most as long as a clip."""

    small: Small
    checkpoint: Path
    submission: Path

    @property
    def clips(self) -> Path:
        return self.small.dataset_dir / "audio/validation"


@pytest.fixture(scope="module")
def taught(tmp_path_factory) -> Taught:
    folder = tmp_path_factory.mktemp("predict")
    small = make_small(folder)
    small.config.write_text(CONFIG + EAGER)
    for index, path in enumerate(sorted((small.dataset_dir / "audio/validation").iterdir())):
        audio, rate = soundfile.read(path)
        soundfile.write(path, audio[: int((1.3 if index == 2 else 2.0) * rate)], rate)
    workspace = folder / "workspace"
    for data_type in ("train_synthetic", "train_weak", "validation"):
        small.run(*small.extract(workspace, data_type))
    small.run(*small.scalar(workspace))
    small.run(*small.train(workspace, RUN, ITERATIONS))
    small.run(*small.inference(workspace, RUN, ITERATIONS))
    paths = Workspace(workspace, FEATURES_FOLDER).run_paths(RUN)
    return Taught(small, paths.checkpoint(ITERATIONS), paths.submission(ITERATIONS))


@dataclass(frozen=True)
class Outputs:
    """What one call of the command made of a folder of all kinds of files."""

    recordings: Path
    folder: Path
    code: int
    shown: str
    long: np.ndarray


@pytest.fixture(scope="module")
def outputs(taught, tmp_path_factory) -> Outputs:
    """The settings of the checkpoint are those of the small data set; this call has the project's own."""
    folder = tmp_path_factory.mktemp("recordings")
    generator = np.random.default_rng(0)
    sounds = [soundfile.read(path, always_2d=True)[0].mean(axis=1) for path in sorted(taught.clips.iterdir())]
    long = np.concatenate(sounds)[: int(9.7 * RATE)]
    stereo = np.stack([long, 0.5 * long + 0.001 * generator.standard_normal(len(long))], axis=1)
    for name in ("one", "two"):
        (folder / name).mkdir()
        soundfile.write(folder / name / "same.wav", sounds[0 if name == "one" else 1], RATE)
    soundfile.write(folder / "long.wav", stereo, RATE, subtype="PCM_16")
    soundfile.write(folder / "long.flac", stereo, RATE, subtype="PCM_16")
    soundfile.write(folder / "long.ogg", stereo, RATE)
    soundfile.write(folder / "long.mp3", stereo, RATE)
    (folder / "broken.wav").write_bytes(b"RIFF\x00\x00\x00\x00WAVE")
    (folder / "notes.txt").write_text("not a recording")
    (folder / ".hidden.wav").write_text("not a recording")
    (folder / ".Trash").mkdir()
    (folder / ".Trash" / "thrown_away.wav").write_text("not a recording")
    made = tmp_path_factory.mktemp("made") / "events"
    options = [
        "--output_dir",
        made,
        "--format",
        "csv,audacity,json",
        "--probabilities",
        "--precision",
        "fp32",
    ]
    result = run_command(*PREDICT, "--checkpoint_path", taught.checkpoint, folder, *options)
    samples, _ = soundfile.read(folder / "long.wav")
    return Outputs(folder, made, result.returncode, result.stdout + result.stderr, samples)


def events_by_name(path: Path) -> dict[str, list[Event]]:
    clips = read_strong_table(path, LABELS, names_with_folders=True)
    return {clip.name: sorted(clip.events, key=lambda e: (e.label, e.onset)) for clip in clips}


def test_clips_give_what_inference_validation_gives(taught, tmp_path):
    run_well(
        *PREDICT,
        "--checkpoint_path",
        taught.checkpoint,
        taught.clips,
        "--output_dir",
        tmp_path,
        SED_CONFIG="",
    )
    expected = {path.name: [] for path in taught.clips.iterdir()} | events_by_name(taught.submission)
    assert sum(map(len, expected.values())) > 10
    short = sorted(expected)[2]
    assert soundfile.info(taught.clips / short).duration == pytest.approx(1.3, abs=1e-3)
    duration = soundfile.info(taught.clips / short).duration
    expected[short] = [
        Event(event.onset, min(event.offset, float(f"{duration:.6g}")), event.label)
        for event in expected[short]
        if event.onset < duration
    ]
    assert events_by_name(tmp_path / "events.csv") == expected


def load(path: Path, weights: str = STUDENT, **event_values: float) -> StoredDetector:
    """Load a detector that computes in float32."""
    compute = choose_compute(cuda=False, precision="fp32")
    return load_detector(path, weights, compute, batch_size=32, event_values=event_values)


def plain_probabilities(samples: np.ndarray, taught: Taught) -> np.ndarray:
    """Windows of two seconds at each second, one at a time; each frame's mean over those that hold it."""
    detector = load(taught.checkpoint)
    detector.model.eval()
    mono = soxr.resample(samples.mean(axis=1), RATE, 8000, quality="HQ")
    frames = len(mono) // 250
    of_frame: list[list[np.ndarray]] = [[] for _ in range(frames)]
    starts = [start for start in range(0, frames, 32) if start + 64 <= frames]
    beyond = frames - 64 - starts[-1]
    stride = detector.model.stride_frames
    starts += [starts[-1] + stride * math.ceil(beyond / stride)] if beyond else []
    content = torch.load(taught.checkpoint, weights_only=True)
    mean, std = content["scalar"]["mean"].numpy(), content["scalar"]["std"].numpy()
    for start in starts:
        clip = np.zeros(16000)
        part = mono[start * 250 : start * 250 + 16000]
        clip[: len(part)] = part
        logmel = ((logmel_of_clip(clip, detector.features) - mean) / std).astype(np.float32)
        with torch.inference_mode():
            output = detector.model(torch.from_numpy(logmel[None])).stretched(64)
        framewise = output.framewise_output[0].numpy()
        for frame in range(64):
            if start + frame < frames:
                of_frame[start + frame].append(framewise[frame])
    return np.array([np.mean(values, axis=0) for values in of_frame])


def read_probabilities(path: Path) -> tuple[list[str], np.ndarray]:
    header, *rows = [line.split("\t") for line in path.read_text().splitlines()]
    return header, np.array(rows, dtype=float)


def test_frame_probabilities_of_a_long_recording_equal_the_plain_reading(outputs, taught):
    header, table = read_probabilities(outputs.folder / "long.wav.probabilities.csv")
    assert header == ["time", *LABELS]
    expected = plain_probabilities(outputs.long, taught)
    np.testing.assert_allclose(table[: len(expected), 1:], expected, atol=ROUNDING)
    np.testing.assert_allclose(table[:, 0], np.arange(len(table)) / 32)
    seconds = len(outputs.long) / RATE
    assert len(table) == math.ceil(seconds * 32)
    assert table[:, 1:].std(axis=0).max() > 0.001, "a constant would show nothing"


def test_all_formats_give_the_same_probabilities(outputs):
    tables = {
        suffix: read_probabilities(outputs.folder / f"long.{suffix}.probabilities.csv")[1]
        for suffix in ("wav", "flac", "ogg", "mp3")
    }
    np.testing.assert_allclose(tables["wav"], tables["flac"], atol=ROUNDING)
    for suffix in ("ogg", "mp3"):
        frames = min(len(tables["wav"]), len(tables[suffix]))
        assert abs(len(tables["wav"]) - len(tables[suffix])) <= 3
        assert np.abs(tables["wav"][:frames] - tables[suffix][:frames]).mean() < 0.02


def test_outputs_hold_the_same_events(outputs):
    table = events_by_name(outputs.folder / "events.csv")
    names = {"long.wav", "long.flac", "long.ogg", "long.mp3", "one/same.wav", "two/same.wav"}
    assert table.keys() == names
    content = json.loads((outputs.folder / "events.json").read_text())
    assert {one["filename"] for one in content["recordings"]} == names
    assert content["settings"]["sample_rate"] == 8000
    values = {"clip_threshold": 0.05, "high_threshold": 0.1, "low_threshold": 0.08}
    values |= {"name": "double_threshold", "join_gap": 0.0, "drop_length": 0.0}
    assert content["post_processing"] == dict.fromkeys(SETTINGS.features.labels, values)
    assert content["checkpoint"]["iteration"] == ITERATIONS
    assert sum(map(len, table.values())) > 10
    for one in content["recordings"]:
        expected = table[one["filename"]]
        in_json = [Event(e["onset"], e["offset"], e["event_label"]) for e in one["events"]]
        lines = (outputs.folder / f"{one['filename']}.txt").read_text().splitlines()
        in_audacity = [
            Event(float(onset), float(offset), label_of_audacity(text))
            for onset, offset, text in (line.split("\t") for line in lines)
        ]
        for found in (in_json, in_audacity):
            assert [e.onset for e in found] == sorted(e.onset for e in found)
        for found in (in_json, in_audacity):
            found.sort(key=lambda e: (e.label, e.onset))
            assert [e.label for e in found] == [e.label for e in expected]
            for times in ("onset", "offset"):
                np.testing.assert_allclose(
                    [getattr(e, times) for e in found], [getattr(e, times) for e in expected], atol=1e-4
                )
        assert all(e.offset <= one["duration"] for e in in_json)
        path = outputs.recordings / one["filename"]
        assert one["duration"] == pytest.approx(soundfile.info(path).duration, abs=0.06)


def test_recordings_of_one_name_in_two_folders_keep_their_own_events(outputs):
    one, two = (
        read_probabilities(outputs.folder / f"{name}/same.wav.probabilities.csv")[1]
        for name in ("one", "two")
    )
    assert not np.array_equal(one, two)


def test_unreadable_recording_is_listed_and_the_others_are_not_lost(outputs):
    assert outputs.code == 1
    *_, before, reason = outputs.shown.strip().splitlines()
    assert before == "Not read: 1 of 7"
    assert f"{outputs.recordings / 'broken.wav'}: cannot be read as audio" in reason
    assert "× real time" in outputs.shown
    assert "Traceback" not in outputs.shown
    (unreadable,) = json.loads((outputs.folder / "events.json").read_text())["unreadable"]
    assert unreadable["path"] == str(outputs.recordings / "broken.wav")
    assert not [path for path in outputs.folder.rglob("*") if "broken" in path.name or "notes" in path.name]


def test_score_reads_the_table(outputs):
    table = outputs.folder / "events.csv"
    output = run_well("pytorch/inference.py", "score", "--reference_csv", table, "--submission_csv", table)
    assert output.startswith("6 clips")
    (micro,) = [line.split() for line in output.splitlines() if line.startswith("event F1 micro")]
    assert micro == ["event", "F1", "micro", *["100.00"] * 4, *["0.00"] * 3], "one number as its interval"


def test_labels_are_those_of_the_checkpoint(outputs, taught, tmp_path):
    content = torch.load(taught.checkpoint, weights_only=True)
    labels = [f"sound {number}" for number in range(10)]
    content["features"]["labels"] = labels
    torch.save(content, tmp_path / "renamed.pth")
    command = [*PREDICT, "--checkpoint_path", tmp_path / "renamed.pth", outputs.recordings / "long.wav"]
    header, *renamed = run_well(*command, "--precision", "fp32").splitlines()
    assert header == "filename\tonset\toffset\tevent_label\tscore"
    table = (outputs.folder / "events.csv").read_text().splitlines()
    original = [line.split("\t") for line in table if line.startswith("long.wav\t")]
    assert len(original) > 3
    expected = ["\t".join([*cells, labels[LABELS.index(label)], score]) for *cells, label, score in original]
    assert sorted(renamed) == sorted(expected)


def test_thresholds_can_be_chosen_anew(taught, outputs, tmp_path):
    (tmp_path / "strict.py").write_text("high_threshold = 0.999999\nsample_rate = 44100\n")
    command = [*PREDICT, "--checkpoint_path", taught.checkpoint, outputs.recordings / "long.wav"]
    printed = run_well(*command, SED_CONFIG=str(tmp_path / "strict.py"))
    assert printed == "filename\tonset\toffset\tevent_label\tscore\nlong.wav\t\t\t\t\n"


def test_tuned_post_processing_lies_beside_the_checkpoint(taught, outputs, tmp_path):
    (tmp_path / "model.pth").symlink_to(taught.checkpoint)
    command = [*PREDICT, "--checkpoint_path", tmp_path / "model.pth", outputs.recordings / "long.wav"]
    nothing = {"clip_threshold": 1, "high_threshold": 1, "low_threshold": 1, "join_gap": 0, "drop_length": 0}
    everything = {**nothing, "clip_threshold": 0, "high_threshold": 0, "low_threshold": 0}
    classes = dict.fromkeys(LABELS, nothing) | {LABELS[4]: everything}
    training_id = torch.load(taught.checkpoint, weights_only=True)["training_id"]
    content = {"training_id": training_id, "post_processing": "double_threshold", "classes": classes}
    path = tuned_beside(tmp_path / "model.pth", STUDENT)
    path.write_text(json.dumps(content))
    (printed,) = run_well(*command, "--tuned").splitlines()[1:]
    assert printed.rpartition("\t")[0] == f"long.wav\t0\t{len(outputs.long) / RATE:.6g}\t{LABELS[4]}"

    path.write_text(json.dumps(content | {"training_id": "another"}))
    assert_user_error(run_command(*command, "--tuned"), path, "was tuned for an earlier training of this run")
    path.unlink()
    expected = (path, "was not tuned yet", "pytorch/inference.py tune")
    assert_user_error(run_command(*command, "--tuned"), *expected)


def test_nothing_to_read_is_a_user_error(taught, tmp_path):
    (tmp_path / "empty").mkdir()
    soundfile.write(tmp_path / "no_samples.wav", np.zeros(0), RATE)
    command = [*PREDICT, "--checkpoint_path", taught.checkpoint]
    result = run_command(*command, tmp_path / "empty", tmp_path / "no_samples.wav", tmp_path / "absent.wav")
    expected = (
        "empty: there are no recordings",
        "no_samples.wav: holds no samples",
        "absent.wav: there is no",
    )
    assert result.returncode == 2
    for words in expected:
        assert words in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


def test_files_need_a_folder():
    for options in ({"format": ("json",)}, {"probabilities": True}, {"page": True}):
        arguments = {
            "audio": ["a.wav"],
            "output_dir": None,
            "probabilities": False,
            "page": False,
            "format": ("csv",),
            "live": None,
            "sample_rate": None,
        } | options
        with pytest.raises(SedError, match="name a folder for them with --output_dir"):
            predict(SimpleNamespace(**arguments))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": None}, "'features' is not valid"),
        ({"events": [1]}, "'events' is not valid"),
        ({"outputs_in_float32": 1}, "'outputs_in_float32' is not valid"),
        ({"iteration": "6"}, "'iteration' is not valid"),
        ({"training_id": None}, "'training_id' is not valid"),
        ({"scalar": {"mean": torch.zeros(16).double()}}, "its scalar has no valid std of 16 mel bands"),
        (
            {"scalar": {"mean": torch.zeros(16).double(), "std": torch.ones(3).double()}},
            "its scalar has no valid std of 16 mel bands",
        ),
        (
            {"scalar": {"mean": torch.zeros(16).double(), "std": torch.zeros(16).double()}},
            "a standard deviation in its scalar is not positive",
        ),
        (
            {"scalar": {"mean": torch.full((16,), math.nan).double(), "std": torch.ones(16).double()}},
            "its scalar has no valid mean of 16 mel bands",
        ),
        ({"model_type": "Rnn"}, "'Rnn' is not known"),
        ({"model_type": ["Rnn"]}, "'model_type' is not valid"),
        ({"loss_type": "none"}, "'none' is not known"),
        ({"model": None}, "its weights are not those of a Cnn_5layers_AvgPooling"),
        ({"model": {"weights": torch.zeros(1)}}, "its weights are not those of a Cnn_5layers_AvgPooling"),
    ],
)
def test_checkpoint_with_wrong_content_is_refused(taught, tmp_path, change, message):
    torch.save(torch.load(taught.checkpoint, weights_only=True) | change, tmp_path / "changed.pth")
    with pytest.raises(SedError, match=f"changed.pth: .*{message}"):
        load(tmp_path / "changed.pth")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("labels", ["a", "a"], "labels must be distinct"),
        ("labels", ["a\tb"], "is not a valid label"),
        ("sample_rate", "8000", "sample_rate must be a whole number, but is '8000'"),
        ("hop_size", 0, "hop_size must be at least 1, but is 0"),
        ("clip_seconds", math.nan, "clip_seconds must be more than 0"),
        ("clip_seconds", math.inf, "clip_seconds must be more than 0"),
        ("mel_max_frequency", 14000, "at most half of sample_rate"),
        ("window_overlap", 1.0, "window_overlap must be at least 0 and less than 1"),
        ("window_size", 100000, "is shorter than window_size"),
        ("high_threshold", None, "high_threshold must be a number, but is None"),
        ("low_threshold", 0.5, "low_threshold 0.5 must be at most high_threshold 0.1"),
        (
            "crnn_post_processing",
            "vad",
            "crnn_post_processing must be one of double_threshold, median",
        ),
    ],
)
def test_checkpoint_with_wrong_settings_is_refused(taught, tmp_path, name, value, message):
    content = torch.load(taught.checkpoint, weights_only=True)
    (group,) = [group for group in ("features", "events") if name in content[group]]
    path = tmp_path / "changed.pth"
    torch.save(content | {group: content[group] | {name: value}}, path)
    with pytest.raises(SedError, match=f"changed.pth: .*{message}"):
        load(path)
    result = run_command(*PREDICT, "--checkpoint_path", path, taught.clips)
    assert_user_error(result, path, message)


def test_checkpoint_of_an_earlier_version_says_what_it_lacks(taught, tmp_path):
    content = torch.load(taught.checkpoint, weights_only=True)
    for name in ("scalar", "features", "events", "outputs_in_float32", "iteration", "training_id", "model"):
        torch.save({key: value for key, value in content.items() if key != name}, tmp_path / "old.pth")
        with pytest.raises(SedError, match=f"old.pth: has no '{name}', as it is of an earlier version"):
            load(tmp_path / "old.pth")
    del content["features"]["mel_bins"]
    torch.save(content, tmp_path / "old.pth")
    with pytest.raises(SedError, match="old.pth: mel_bins is missing"):
        load(tmp_path / "old.pth")
    with pytest.raises(SedError, match="has no teacher"):
        load(taught.checkpoint, TEACHER)
    (tmp_path / "text.pth").write_text("no checkpoint")
    with pytest.raises(SedError, match="text.pth: is not a valid checkpoint"):
        load(tmp_path / "text.pth")
    with pytest.raises(SedError, match="there is no such checkpoint"):
        load(tmp_path / "none.pth")


def test_chosen_event_values_replace_those_of_the_checkpoint_and_are_checked(taught):
    before = load(taught.checkpoint)
    after = load(taught.checkpoint, join_gap=0.3, sample_rate=44100)
    assert after.events == replace(before.events, join_gap=0.3)
    assert after.features == before.features
    with pytest.raises(SedError, match="low_threshold 0.5 must be at most high_threshold 0.1"):
        load(taught.checkpoint, low_threshold=0.5)


@settings(max_examples=300, deadline=None)
@given(
    samples=st.integers(1, 900),
    hop_size=st.integers(1, 7),
    clip_frames=st.integers(8, 30),
    rest=st.integers(0, 6),
    overlap=st.sampled_from([0.0, 0.3, 0.5, 0.9]),
    stride=st.sampled_from([1, 4, 8]),
    blocks=st.lists(st.integers(0, 200), max_size=5),
)
def test_windows_hold_each_frame_whatever_the_blocks(
    samples, hop_size, clip_frames, rest, overlap, stride, blocks
):
    clip_samples = clip_frames * hop_size + min(rest, hop_size - 1)
    features = replace(
        FEATURES, window_size=1, hop_size=hop_size, clip_seconds=clip_samples / FEATURES.sample_rate
    )
    assert (features.clip_samples, features.clip_frames) == (clip_samples, clip_frames)
    options = {"stride_frames": stride, "window_overlap": overlap}
    recording = 1.0 + np.arange(samples)
    windows = list(cut_windows(np.split(recording, np.cumsum(blocks)), features, **options))
    hop_frames = window_hop_frames(clip_frames, **options)
    padded = np.concatenate([recording, np.zeros(2 * clip_samples)])
    for window in windows:
        start = window.start_frame * hop_size
        np.testing.assert_array_equal(window.samples, padded[start : start + clip_samples])
    starts = [window.start_frame for window in windows]
    frames = samples // hop_size
    assert starts[0] == 0
    assert all(start % stride == 0 for start in starts)
    assert hop_frames <= clip_frames
    assert all(after - before == hop_frames for before, after in zip(starts[:-2], starts[1:-1], strict=True))
    if len(starts) > 1:
        assert 0 < starts[-1] - starts[-2] <= hop_frames
        assert frames <= starts[-1] + clip_frames < frames + stride
    else:
        assert frames <= clip_frames


def random_window(
    generator: np.random.Generator, start_frame: int, outputs: int, classes: int, stride: int, rest: int = 0
) -> WindowProbabilities:
    """A window of so many outputs of `stride` frames, and a rest of frames that the last one reaches over."""
    probabilities = Probabilities(
        generator.random((outputs, classes), np.float32),
        generator.random(classes, np.float32),
        stride,
        outputs * stride + rest,
    )
    return WindowProbabilities(SampleStream(Path("a.wav"), FEATURES), start_frame, probabilities)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(1, 6), max_size=6),
    st.sampled_from([1, 4, 8]),
    st.integers(0, 7),
    st.integers(0, 2**32 - 1),
)
def test_averages_equal_the_plain_reading(shifts, stride, rest, seed):
    generator = np.random.default_rng(seed)
    rest = min(rest, stride - 1)
    starts = [0, *np.cumsum(shifts).tolist()]  # in outputs
    windows = [random_window(generator, start * stride, 6, 3, stride, rest) for start in starts]
    averages = average_windows(windows)
    assert averages.stride_frames == stride
    assert averages.frames == (starts[-1] + 6) * stride + rest
    assert len(averages.framewise) == len(averages.clipwise) == starts[-1] + 6
    for output in range(len(averages.framewise)):
        holding = [
            (output - start, window.probabilities)
            for start, window in zip(starts, windows, strict=True)
            if 0 <= output - start < 6
        ]
        framewise = np.mean([of_window.framewise[place] for place, of_window in holding], axis=0)
        clipwise = np.mean([of_window.clipwise for _, of_window in holding], axis=0)
        np.testing.assert_allclose(averages.framewise[output], framewise, rtol=1e-6)
        np.testing.assert_allclose(averages.clipwise[output], clipwise, rtol=1e-6)
    assert averages.stretched().shape == (averages.frames, 3)


def test_single_window_keeps_its_probabilities_bit_by_bit():
    window = random_window(np.random.default_rng(0), 0, 80, 10, 8)
    averages, own = average_windows([window]), window.probabilities
    np.testing.assert_array_equal(averages.framewise, own.framewise)
    np.testing.assert_array_equal(averages.clipwise, np.broadcast_to(own.clipwise, own.framewise.shape))
    assert (averages.stride_frames, averages.frames) == (8, 640)


@pytest.mark.parametrize("rate", [32000, 44100, 8000])
@pytest.mark.parametrize("seconds", [3.21, 10.0])
def test_stream_of_a_short_recording_is_the_clip_bit_by_bit(tmp_path, rate, seconds):
    path = tmp_path / "noise.wav"
    noise = 0.1 * np.random.default_rng(0).standard_normal((int(seconds * rate), 2))
    soundfile.write(path, noise, rate, subtype="PCM_16")
    stream = SampleStream(path, FEATURES)
    (window,) = cut_windows(stream.blocks(), FEATURES, stride_frames=8, window_overlap=0.5)
    np.testing.assert_array_equal(window.samples, read_clip(path, FEATURES))
    assert stream.seconds == pytest.approx(seconds, abs=1 / rate)


class LoudnessDetector:
    """Detects the first class wherever it is loud, as a model with one output for each 8 frames would."""

    model = SimpleNamespace(stride_frames=8)
    features, events = SETTINGS.features, SETTINGS.events
    batch_size = 32

    def probabilities(self, logmel: np.ndarray) -> Probabilities:
        is_loud = logmel[:, ::8].max(axis=2) > -20
        framewise = np.zeros((*is_loud.shape, len(LABELS)), np.float32)
        framewise[:, :, 0] = 0.98 * is_loud
        return Probabilities(framewise, framewise.max(axis=1), 8, logmel.shape[1])


def write_tone(path: Path, seconds: float, onset: float, offset: float) -> None:
    time = np.arange(int(seconds * 16000)) / 16000
    tone = np.where((time >= onset) & (time < offset), 0.5 * np.sin(2 * np.pi * 1000 * time), 0)
    soundfile.write(path, tone, 16000)


@pytest.mark.parametrize(
    ("seconds", "onset", "offset"),
    [(31.3, 4.5, 5.5), (31.3, 8.0, 22.0), (31.3, 0.0, 31.3), (12.0, 9.5, 10.5), (12.0, 11.0, 12.0)],
)
def test_event_across_window_borders_is_one_event(tmp_path, seconds, onset, offset):
    write_tone(tmp_path / "tone.wav", seconds, onset, offset)
    stream = SampleStream(tmp_path / "tone.wav", FEATURES)
    ((of_stream, probabilities),) = filter(None, detect_in_streams(LoudnessDetector(), [stream]))
    assert of_stream is stream
    (event,) = events_within(DOUBLE_THRESHOLD.events(probabilities), stream.seconds)
    assert event.label == LABELS[0]
    assert event.onset == pytest.approx(onset, abs=0.15)
    assert event.offset == pytest.approx(offset, abs=0.15)
    assert event.offset <= seconds


def test_what_a_stream_gave_its_samples_to_is_let_go_at_its_end(tmp_path):
    write_tone(tmp_path / "tone.wav", 3, 1, 2)
    gathered: set[int] = {0}  # unlike a list, it can be referred to weakly
    taker = weakref.ref(gathered)
    stream = SampleStream(tmp_path / "tone.wav", FEATURES, lambda block, to=gathered: to.add(len(block)))
    del gathered
    assert sum(map(len, stream.blocks())) == 3 * 32000
    assert taker() is None


def test_recordings_come_in_their_order_and_a_broken_end_leaves_one_out(tmp_path):
    for name, seconds in (("a", 3), ("b", 25), ("c", 12)):
        write_tone(tmp_path / f"{name}.wav", seconds, 1, 2)
    noise = 0.1 * np.random.default_rng(0).standard_normal((30 * 16000, 1))
    noise[-16000:] = np.nan
    soundfile.write(tmp_path / "b2.wav", noise, 16000, subtype="FLOAT")
    streams = [SampleStream(path, FEATURES) for path in sorted(tmp_path.iterdir())]
    read = [step[0] for step in detect_in_streams(LoudnessDetector(), streams) if step is not None]
    assert [stream.path.stem for stream in read] == ["a", "b", "c"]
    assert [stream.seconds for stream in read] == [3, 25, 12]
    assert "NaN or infinite" in str(streams[2].error)


def test_class_starts_events_only_where_windows_find_it_and_they_reach_beyond():
    framewise = np.zeros((240, 10))
    framewise[25:50, 3] = framewise[75:125, 3] = framewise[200:225, 3] = 0.95
    clipwise = np.zeros((240, 10))
    clipwise[:80, 3] = SETTINGS.events.clip_threshold + 0.1
    clipwise[80:, 3] = SETTINGS.events.clip_threshold
    events = DOUBLE_THRESHOLD.events(Probabilities(framewise, clipwise, stride_frames=4, frames=960))
    assert [(event.onset * 64, event.offset * 64) for event in events] == [(100, 200), (300, 500)]


def test_events_end_with_the_recording():
    events = (Event(1.0, 2.0, "a"), Event(3.0, 9.0, "b"), Event(4.5, 5.0, "c"), Event(5.0, 6.0, "d"))
    assert events_within(events, 4.5) == (Event(1.0, 2.0, "a"), Event(3.0, 4.5, "b"))


def test_times_in_long_recordings_keep_their_milliseconds(tmp_path):
    first = ScoredEvent(9.984375, 10.0, LABELS[0], 0.934)
    events = (first, ScoredEvent(86399.984375, 86400.5, LABELS[0], 1.0))
    write_strong_table(tmp_path / "events.csv", [Clip("day.wav", events=events)])
    short, long = (tmp_path / "events.csv").read_text().splitlines()[1:]
    assert short.split("\t")[1:3] == ["9.98438", "10"]
    assert long.split("\t")[1:3] == ["86399.984", "86400.500"]
    write_audacity(tmp_path / "day.txt", events)
    first, second = f"{LABELS[0]} [0.93]", f"{LABELS[0]} [1.00]"
    expected = f"9.984375\t10.000000\t{first}\n86399.984375\t86400.500000\t{second}\n"
    assert (tmp_path / "day.txt").read_text() == expected


def test_memory_does_not_grow_with_the_recording(tmp_path):
    """Five minutes would be 77 MB of samples; a window and a block are 5 MB."""
    path = tmp_path / "long.wav"
    soundfile.write(path, np.zeros(300 * RATE, np.int16), RATE)
    tracemalloc.start()
    blocks = SampleStream(path, FEATURES).blocks()
    count = sum(1 for _ in cut_windows(blocks, FEATURES, stride_frames=8, window_overlap=0.5))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 59
    assert peak < 40e6


def test_recordings_have_names_of_their_own(tmp_path):
    for name in ("x/a.wav", "x/deep/b.flac", "y/a.wav", "y/c.WAV"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    x, y = tmp_path / "x", tmp_path / "y"

    def names(*paths):
        return [recording.name for recording in find_recordings(paths)[0]]

    assert names(x) == ["a.wav", "deep/b.flac"]
    assert names(y / "c.WAV", x / "a.wav") == ["a.wav", "c.WAV"]
    assert names(x, y) == ["x/a.wav", "x/deep/b.flac", "y/a.wav", "y/c.WAV"]
    assert names(x, x / "a.wav", x / "deep" / ".." / "a.wav") == ["a.wav", "deep/b.flac"]
    assert names(tmp_path) == names(x, y)
