"""Broken and hostile files: each is processed right, listed with its reason, or refused by name."""

import os
import pickle
import struct
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile
import torch

from tests.commands import assert_user_error, run_command
from tests.settings_for_tests import SETTINGS
from tests.small import FEATURES_FOLDER, Small, make_small
from utils.audio.extraction import logmel_of_file
from utils.audio.feature_file import Scalar, read_features, read_scalar, write_features, write_scalar
from utils.audio.logmel import logmel_of_clip
from utils.audio.origin import Origin, RecordingFile, recording_at
from utils.audio.reading import read_clip
from utils.dataset.tables import Clip, read_rows
from utils.system.errors import SedError, made_by

FEATURES = SETTINGS.features
FREQUENCY, LEVEL = 440.0, 0.5  # Hz and full scale of the tone in the test files
LONG_SECONDS = 3600
SOURCE_BYTES = 64 * 2**20  # more than the features of any clip take on the way


def tone(sample_rate: int, seconds: float = 11.5) -> np.ndarray:
    return LEVEL * np.sin(2 * np.pi * FREQUENCY * np.arange(round(seconds * sample_rate)) / sample_rate)


@pytest.mark.parametrize(
    ("suffix", "subtype", "sample_rate", "channels"),
    [
        (".wav", "PCM_16", 44100, 1),
        (".wav", "PCM_16", 44100, 8),
        (".wav", "PCM_16", 192000, 1),
        (".wav", "PCM_24", 48000, 2),
        (".wav", "PCM_U8", 32000, 1),
        (".wav", "FLOAT", 44100, 1),
        (".wav", "DOUBLE", 22050, 2),
        (".flac", "PCM_16", 44100, 1),
        (".flac", "PCM_24", 96000, 2),
        (".ogg", "VORBIS", 44100, 1),
    ],
)
def test_any_format_gives_the_same_samples(tmp_path, suffix, subtype, sample_rate, channels):
    path = tmp_path / f"tone{suffix}"
    audio = np.repeat(tone(sample_rate)[:, None], channels, axis=1)
    soundfile.write(path, audio, sample_rate, subtype=subtype)
    expected = tone(FEATURES.sample_rate)[: FEATURES.clip_samples]
    tolerance = 0.02 if subtype in ("PCM_U8", "VORBIS") else 2e-4
    start = FEATURES.sample_rate // 100  # resampling rings at the start of a tone
    np.testing.assert_allclose(read_clip(path, FEATURES)[start:], expected[start:], atol=tolerance)


def test_an_hour_takes_no_more_memory_than_a_clip(tmp_path):
    path = tmp_path / "hour.wav"
    with soundfile.SoundFile(path, "w", 16000, 1) as file:
        minute = tone(16000, 60)
        for _ in range(LONG_SECONDS // 60):
            file.write(minute)
    tracemalloc.start()
    samples = read_clip(path, FEATURES)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(samples) == FEATURES.clip_samples
    assert peak_bytes < SOURCE_BYTES < path.stat().st_size


def wav_with(header_change: dict[int, bytes]) -> bytes:
    """A short 16-bit WAV file with some bytes of its header changed."""
    samples = (tone(8000, 0.5) * 2**15).astype("<i2").tobytes()
    header = b"RIFF" + struct.pack("<I", 36 + len(samples)) + b"WAVEfmt "
    header += (
        struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16) + b"data" + struct.pack("<I", len(samples))
    )
    content = bytearray(header + samples)
    for position, change in header_change.items():
        content[position : position + len(change)] = change
    return bytes(content)


BROKEN_AUDIO = {
    "empty.wav": b"",
    "text.wav": b"this is no audio\n" * 100,
    "header only.wav": b"RIFF\x24\x00\x00\x00WAVE",
    "no channels.wav": wav_with({22: struct.pack("<H", 0)}),
    "rate 0.wav": wav_with({24: struct.pack("<I", 0)}),
    "unknown format.wav": wav_with({20: struct.pack("<H", 0x7777)}),
    "no samples.wav": wav_with({40: struct.pack("<I", 0)})[:44],
    "flac with no frames.flac": b"fLaC\x00\x00\x00\x22" + bytes(34),
}


@pytest.mark.parametrize("name", BROKEN_AUDIO)
def test_broken_audio_is_refused_by_name(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(BROKEN_AUDIO[name])
    with pytest.raises(SedError, match=name):
        read_clip(path, FEATURES)


@pytest.mark.parametrize(
    "change",
    [{40: struct.pack("<I", 2**32 - 2)}, {4: struct.pack("<I", 0)}, {24: struct.pack("<I", 2**31 - 1)}],
    ids=["claims 4 GB", "claims no content", "claims 2 GHz"],
)
def test_wrong_header_takes_no_memory_and_gives_finite_features(tmp_path, change):
    path = tmp_path / "wrong.wav"
    path.write_bytes(wav_with(change))
    tracemalloc.start()
    try:
        logmel = logmel_of_clip(read_clip(path, FEATURES), FEATURES)
        assert np.isfinite(logmel).all()
    except SedError as error:
        assert "wrong.wav" in str(error)
    assert tracemalloc.get_traced_memory()[1] < SOURCE_BYTES
    tracemalloc.stop()


def test_truncated_recording_is_padded(tmp_path):
    path = tmp_path / "truncated.wav"
    soundfile.write(path, tone(44100), 44100)
    path.write_bytes(path.read_bytes()[:200_000])
    samples = read_clip(path, FEATURES)
    kept = int((200_000 - 44) / 2 / 44100 * FEATURES.sample_rate)
    assert np.abs(samples[: kept - 100]).max() > LEVEL * 0.99
    assert not samples[kept + 100 :].any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e16])
def test_samples_that_are_no_numbers_are_refused_by_name(tmp_path, value):
    audio = tone(44100)
    audio[1000] = value
    soundfile.write(tmp_path / "bad.wav", audio, 44100, subtype="FLOAT")
    with pytest.raises(SedError, match=r"bad\.wav: holds samples that are NaN or infinite"):
        read_clip(tmp_path / "bad.wav", FEATURES)


def test_link_out_of_the_audio_folder_is_not_followed(tmp_path):
    (tmp_path / "audio").mkdir()
    soundfile.write(tmp_path / "outside.wav", tone(8000), 8000)
    soundfile.write(tmp_path / "audio/inside.wav", tone(8000), 8000)
    (tmp_path / "audio/out.wav").symlink_to(tmp_path / "outside.wav")
    (tmp_path / "audio/in.wav").symlink_to("inside.wav")
    (tmp_path / "linked").symlink_to(tmp_path / "audio")  # the folder itself may be a link
    assert "leads out of the audio folder" in logmel_of_file(tmp_path / "linked/out.wav", FEATURES).reason
    logmel = logmel_of_file(tmp_path / "linked/in.wav", FEATURES)
    assert logmel.shape == (FEATURES.clip_frames, FEATURES.mel_bins)

    link = recording_at(tmp_path / "audio/out.wav")
    (tmp_path / "outside.wav").replace(tmp_path / "audio/out.wav")
    assert recording_at(tmp_path / "audio/out.wav") != link, "so features are made again once it is mended"


def test_silence_gives_the_floor(tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(1000), 8000)
    assert (logmel_of_file(tmp_path / "silence.wav", FEATURES) == 10 * np.log10(FEATURES.log_floor)).all()


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.path}",)


def test_pickle_bomb_is_refused_and_does_not_go_off(trained, tmp_path):
    for name in ("scalars", "features"):
        (tmp_path / name).symlink_to(trained.workspace.root / name)
    relative = trained.paths.checkpoint(2).relative_to(trained.workspace.root)
    checkpoint = tmp_path / relative
    checkpoint.parent.mkdir(parents=True)
    marks = [tmp_path / "torch_bomb", tmp_path / "plain_bomb"]
    torch.save({"model": Bomb(marks[0])}, checkpoint)
    arguments = ["inference_validation", *trained.run_arguments(workspace=tmp_path), "--iteration", 2]
    assert_user_error(
        run_command("pytorch/inference.py", *arguments), checkpoint, "is not a valid checkpoint"
    )
    checkpoint.write_bytes(pickle.dumps(Bomb(marks[1])))
    assert_user_error(
        run_command("pytorch/inference.py", *arguments), checkpoint, "is not a valid checkpoint"
    )
    assert not any(mark.exists() for mark in marks)


CLIPS = [Clip("a.wav", frozenset(["Dog"]), ()), Clip("b.wav", frozenset(), ())]


@pytest.fixture
def feature_path(tmp_path) -> Path:
    logmels = np.zeros((2, FEATURES.clip_frames, FEATURES.mel_bins), np.float32)
    origin = Origin.of(FEATURES, CLIPS, [RecordingFile(clip.name, 1, 2) for clip in CLIPS])
    path = tmp_path / "features.h5"
    write_features(path, CLIPS, logmels, FEATURES, clips_listed=2, origin=origin, tried="")
    return path


def as_external_link(file: h5py.File) -> None:
    other = Path(file.filename).with_name("other.h5")
    with h5py.File(other, "w") as target:
        target["weak_target"] = file["weak_target"][:]
    del file["weak_target"]
    file["weak_target"] = h5py.ExternalLink(other, "weak_target")


def as_virtual_array(file: h5py.File) -> None:
    shape = file["feature"].shape
    layout = h5py.VirtualLayout(shape, np.float32)
    with h5py.File(Path(file.filename).with_name("other.h5"), "w") as target:
        target["feature"] = file["feature"][:]
        layout[:] = h5py.VirtualSource(target["feature"])
    del file["feature"]
    file.create_virtual_dataset("feature", layout)


def as_external_storage(file: h5py.File) -> None:
    secret = Path(file.filename).with_name("secret")
    secret.write_bytes(bytes(16))
    del file["audio_size"]
    file.create_dataset("audio_size", (2,), np.int64, external=[(str(secret), 0, 16)])


def compressed_bomb(file: h5py.File) -> None:
    del file["audio_name"]
    file.create_dataset("audio_name", (10**12,), "S64", chunks=(10**6,), compression="gzip")


def never_written(file: h5py.File) -> None:
    del file["audio_name"]
    file.create_dataset("audio_name", (10**12,), h5py.string_dtype(), chunks=(10**6,))


def replaced(name: str, array: np.ndarray):
    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = array

    return change


def delete(name: str):
    return lambda file: file.__delitem__(name)


@pytest.mark.parametrize(
    "damage",
    [
        delete("feature"),
        delete("audio_name"),
        delete("audio_size"),
        lambda file: file.attrs.__delitem__("settings"),
        lambda file: file.attrs.__setitem__("settings", "no JSON"),
        lambda file: file.attrs.__setitem__("settings", "[1]"),
        lambda file: file.attrs.__setitem__("clips_listed", "many"),
        replaced("feature", np.zeros((2, FEATURES.clip_frames, 5), np.float32)),
        replaced("feature", np.zeros((1, FEATURES.clip_frames, FEATURES.mel_bins), np.float32)),
        replaced("feature", np.zeros((2, FEATURES.clip_frames, FEATURES.mel_bins))),
        replaced("feature", np.full((2, FEATURES.clip_frames, FEATURES.mel_bins), np.nan, np.float32)),
        replaced("feature", np.full((2, FEATURES.clip_frames, FEATURES.mel_bins), np.inf, np.float32)),
        replaced("weak_target", np.zeros((2, 3), bool)),
        replaced("weak_target", np.zeros((2, FEATURES.classes_num))),
        replaced("strong_target", np.zeros((2, 5, FEATURES.classes_num), bool)),
        replaced("audio_name", np.arange(2)),
        replaced("audio_size", np.array(["a", "b"], "S1")),
        as_external_link,
        as_virtual_array,
        as_external_storage,
        compressed_bomb,
        never_written,
    ],
)
def test_feature_file_of_wrong_content_is_refused_by_name(feature_path, damage):
    assert read_features(feature_path, FEATURES).names == ["a.wav", "b.wav"]
    with h5py.File(feature_path, "a") as file:
        damage(file)
    refusal = r"features\.h5: not a valid feature file: .*; make it with: THE COMMAND"
    with pytest.raises(SedError, match=refusal), made_by("THE COMMAND"):
        read_features(feature_path, FEATURES)


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        (np.zeros(3), np.ones(3)),
        (np.full(FEATURES.mel_bins, np.nan), np.ones(FEATURES.mel_bins)),
        (np.zeros(FEATURES.mel_bins), np.zeros(FEATURES.mel_bins)),
        (np.zeros(FEATURES.mel_bins, np.float32), np.ones(FEATURES.mel_bins)),
    ],
    ids=["shape", "NaN", "deviation 0", "type"],
)
def test_scalar_of_wrong_content_is_refused_by_name(tmp_path, mean, std):
    write_scalar(tmp_path / "scalar.h5", Scalar(mean, std, ""))
    refusal = r"scalar\.h5: not a valid scalar: .*; make it with: THE COMMAND"
    with pytest.raises(SedError, match=refusal), made_by("THE COMMAND"):
        read_scalar(tmp_path / "scalar.h5", FEATURES.mel_bins)


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Small:
    return make_small(tmp_path_factory.mktemp("small"))


def test_run_goes_on_with_a_data_set_full_of_broken_files(small, tmp_path):
    """One extraction, training and inference over it: what is broken is listed, silence has no events."""
    folder = small.dataset_dir / "audio/validation"
    recordings = sorted(folder.iterdir())
    soundfile.write(recordings[0], np.zeros(8000), 8000)
    recordings[1].write_bytes(b"text")
    soundfile.write(recordings[2], np.full(8000, np.nan), 8000, subtype="FLOAT")
    for data_type in ("validation", "train_weak"):
        small.run(*small.extract(tmp_path, data_type))
    small.run(*small.scalar(tmp_path))
    listed = tmp_path / "features" / FEATURES_FOLDER / "validation_unreadable.csv"
    rows = read_rows(listed, ("filename", "reason"))
    assert [row.cells["filename"] for row in rows] == [path.name for path in recordings[1:3]]
    assert "cannot be read as audio" in rows[0].cells["reason"]
    assert "NaN or infinite" in rows[1].cells["reason"]
    place = ["--dataset_dir", small.dataset_dir, "--workspace", tmp_path, "--data_type", "train_weak"]
    run_arguments = [*place, "--holdout_fold", 1, "--batch_size", 4, "--model_type", "Cnn_5layers_AvgPooling"]
    eager = "clip_threshold = 0.0\nhigh_threshold = 0.0\nlow_threshold = 0.0\n"
    small.config.write_text(small.config.read_text() + eager)
    output = small.run("pytorch/main.py", "train", *run_arguments, "--iterations", 1)
    assert "Validation clips: 4 of 6 (2 recordings are missing or unreadable)" in output
    (submission,) = tmp_path.rglob("*_submission.csv")
    detected = {line.split("\t")[0] for line in submission.read_text().splitlines()[1:]}
    assert detected == {path.name for path in recordings[3:]}, "with such thresholds all that is not silent"


def test_nan_loss_stops_training_with_iteration_and_clips_and_keeps_the_last_checkpoint(trained, tmp_path):
    for name in ("scalars", "features"):
        (tmp_path / name).symlink_to(trained.workspace.root / name)
    (tmp_path / "config.py").write_text("learning_rate = 1e30\nlog_interval = 1\ncheckpoint_interval = 1\n")
    arguments = [*trained.run_arguments(workspace=tmp_path, model_type="Cnn_5layers_AvgPooling")]
    result = run_command(
        "pytorch/main.py", "train", *arguments, "--iterations", 20, SED_CONFIG=str(tmp_path / "config.py")
    )
    assert_user_error(result, "the loss is nan, of the clips ", ".wav", "lower the learning rate")
    broken = int(result.stderr.split("iteration ")[1].split(":")[0])
    saved = [int(path.stem.split("_")[1]) for path in tmp_path.rglob("*.pth")]
    assert max(saved) == broken - 1
