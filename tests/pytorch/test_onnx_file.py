"""Detectors as ONNX files: the same probabilities as the pipeline's, from waveforms of any length."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from operator import itemgetter

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from pytorch import onnx_file
from pytorch.compute import Compute
from pytorch.data_generator import Standardizer
from pytorch.detector import StoredDetector, load_detector
from pytorch.models import DESIGNS, CnnDesign, create_model
from pytorch.onnx_file import INPUT_NAME, OUTPUT_NAMES, metadata_of, onnx_content, write_onnx
from tests.commands import PROJECT, assert_user_error, run_command, run_well
from tests.settings_for_tests import SETTINGS
from tests.small import CNN, ITERATIONS
from utils.audio.logmel import logmel_of_clip
from utils.audio.reading import read_clip
from utils.system.errors import SedError

PAGE = PROJECT / "appendixes/elsewhere.md"
EXPORT = ("pytorch/export.py", "onnx", "--checkpoint_path")
FEATURES = replace(
    SETTINGS.features,
    sample_rate=8000,
    clip_seconds=2.0,
    window_size=256,
    hop_size=250,
    mel_bins=32,
    mel_max_frequency=4000,
    labels=("Dog", "Cat", "Bird|Owl"),
)
CHANNELS_LEFT = 16  # of the channels, every so manieth: the same layers in little time


def new_detector(model_type: str, monkeypatch: pytest.MonkeyPatch) -> StoredDetector:
    """A detector of that kind, smaller, whose weights and normalizations are random."""
    design = DESIGNS[model_type]
    if isinstance(design, CnnDesign):
        channels = tuple(channels // CHANNELS_LEFT for channels in design.channels)
        monkeypatch.setitem(DESIGNS, model_type, replace(design, channels=channels))
    torch.manual_seed(1)
    model = create_model(
        model_type, 3, "frame_outputs", outputs_in_float32=True, mel_bins=FEATURES.mel_bins
    ).train()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.5, 2)
    bands = torch.arange(FEATURES.mel_bins).double()
    standardize = Standardizer(-bands - 20, 10 + bands)
    compute = Compute(torch.device("cpu"), torch.float32)
    return StoredDetector(
        model,
        model_type,
        standardize,
        FEATURES,
        SETTINGS.events,
        compute,
        8,
        iteration=7,
        training_id="training_id",
    )


def session_of(content: bytes | str) -> object:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs requirements-onnx.txt")
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


def run_session(session: object, waveforms: np.ndarray) -> list[np.ndarray]:
    return session.run(OUTPUT_NAMES, {INPUT_NAME: waveforms.astype(np.float32)})


@pytest.mark.parametrize("model_type", DESIGNS)
def test_every_model_gives_the_probabilities_of_the_pipeline_for_any_length(
    model_type, monkeypatch, tmp_path
):
    pytest.importorskip("onnx", reason="needs requirements-onnx.txt")
    pytest.importorskip("onnxruntime", reason="needs requirements-onnx.txt")
    detector = new_detector(model_type, monkeypatch)
    path = tmp_path / "below" / "detector.onnx"
    assert write_onnx(path, detector, "student") <= 1e-4
    session = session_of(str(path))
    generator = np.random.default_rng(5)
    stride = detector.model.stride_frames
    lengths = [15999, stride * 250, stride * 250 + 249, 30_003]
    for samples in lengths:
        waveforms = generator.normal(size=(3, samples)).astype(np.float32)
        waveforms[1] *= np.sin(np.arange(samples) / 3000) ** 4 / 50
        waveforms[2] = 0
        logmel = np.stack([logmel_of_clip(one, FEATURES) for one in waveforms])
        expected = detector.probabilities(logmel)
        framewise, clipwise = run_session(session, waveforms)
        assert framewise.shape[:2] == expected.framewise.shape[:2]
        np.testing.assert_allclose(framewise, expected.framewise, atol=1e-4)
        np.testing.assert_allclose(clipwise, expected.clipwise, atol=1e-4)
        assert not framewise[2].any() and not clipwise[2].any()  # digital silence
        assert framewise[0].any()


def test_waveform_of_less_than_an_output_is_padded_with_zeros(monkeypatch):
    pytest.importorskip("onnx", reason="needs requirements-onnx.txt")
    detector = new_detector("Cnn_5layers_AvgPooling", monkeypatch)
    session = session_of(onnx_content(detector, {}))
    waveform = np.random.default_rng(0).normal(size=(1, 300))
    framewise, _ = run_session(session, waveform)
    padded, _ = run_session(session, np.pad(waveform, ((0, 0), (0, 8 * 250 - 300))))
    assert framewise.shape == (1, 1, 3)
    np.testing.assert_allclose(framewise, padded, atol=1e-6)
    assert run_session(session, waveform[:, :1])[0].shape == (1, 1, 3)


def test_metadata_tell_labels_rates_and_thresholds(monkeypatch, tmp_path):
    pytest.importorskip("onnx", reason="needs requirements-onnx.txt")
    detector = new_detector("Cnn_5layers_AvgPooling", monkeypatch)
    untuned, highs = detector.post_processing, [0.7, 0.8, 0.9]
    of_classes = tuple(replace(untuned.of_classes[0], high_threshold=high) for high in highs)
    tuned = replace(detector, tuned=replace(untuned, of_classes=of_classes))
    session = session_of(onnx_content(tuned, metadata_of(tuned, "student")))
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["labels"]) == list(FEATURES.labels)
    assert int(about["sample_rate"]) == 8000
    assert float(about["outputs_per_second"]) == 8000 / 250 / 8
    assert float(about["frames_per_second"]) == 8000 / 250
    rules = json.loads(about["post_processing"])
    assert [rule["label"] for rule in rules] == list(FEATURES.labels)
    assert [rule["high_threshold"] for rule in rules] == highs
    assert {rule["name"] for rule in rules} == {"double_threshold"}
    assert json.loads(about["features"])["mel_bins"] == 32
    assert [about[name] for name in ("model_type", "weights", "iteration")] == [
        "Cnn_5layers_AvgPooling",
        "student",
        "7",
    ]


def test_file_that_differs_from_the_pipeline_is_not_written(monkeypatch, tmp_path):
    pytest.importorskip("onnxruntime", reason="needs requirements-onnx.txt")
    detector = new_detector("Cnn_5layers_AvgPooling", monkeypatch)
    filters_of = onnx_file.mel_filters
    monkeypatch.setattr(onnx_file, "mel_filters", lambda features: 1.1 * filters_of(features))
    path = tmp_path / "detector.onnx"
    with pytest.raises(SedError, match="not written, as its probabilities would differ by up to"):
        write_onnx(path, detector, "student")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime"])
def test_missing_package_is_named(missing, monkeypatch, tmp_path):
    if missing == "onnxruntime":
        pytest.importorskip("onnx", reason="needs requirements-onnx.txt")
    monkeypatch.setitem(sys.modules, missing, None)
    detector = new_detector("Cnn_5layers_AvgPooling", monkeypatch)
    with pytest.raises(SedError, match=r"pip install -r requirements-onnx\.txt"):
        write_onnx(tmp_path / "detector.onnx", detector, "student")


def example_of_the_page() -> str:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(example.splitlines()) <= 15
    return example


def test_example_of_the_page_finds_the_events_of_predict_without_this_project(small, finished, tmp_path):
    pytest.importorskip("onnxruntime", reason="needs requirements-onnx.txt")
    checkpoint = finished.workspace.run_paths(CNN).checkpoint(ITERATIONS)
    (clip, *_) = sorted((small.dataset_dir / "audio/validation").glob("*.wav"))
    audio, _ = soundfile.read(clip, always_2d=True)
    soundfile.write(tmp_path / "clip.wav", audio[:16000, :1], 8000)  # slower, but of the detector's rate
    # Thresholds that some classes cross now and then; nothing is joined or dropped, as in the example.
    compute = Compute(torch.device("cpu"), torch.float32)
    detector = load_detector(checkpoint, "student", compute, batch_size=1, event_values={})
    logmel = logmel_of_clip(read_clip(tmp_path / "clip.wav", detector.features), detector.features)
    level = float(np.median(detector.probabilities(logmel[None]).framewise))
    settings = f"low_threshold = {level}\nhigh_threshold = {level}\nclip_threshold = 0.0\n"
    environment = small.with_settings(tmp_path, settings + "join_gap = 0.0\ndrop_length = 0.0\n").environment
    (tmp_path / "detector.md").write_text("License: CC BY")  # a card that was filled in
    exported = run_well(*EXPORT, checkpoint, "--output", tmp_path / "detector.onnx", **environment)
    assert "is kept as it is" in exported
    assert (tmp_path / "detector.md").read_text() == "License: CC BY"
    predicted = run_well(
        "pytorch/inference.py",
        "predict",
        "--checkpoint_path",
        checkpoint,
        "--precision",
        "fp32",
        tmp_path / "clip.wav",
        **environment,
    )
    expected = [row.split("\t")[1:4] for row in predicted.splitlines()[1:]]
    result = subprocess.run(
        [sys.executable, "-c", example_of_the_page(), "clip.wav"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    found = (row.split("\t") for row in result.stdout.splitlines())
    assert len(expected) > 2
    by_label = itemgetter(2, 0)
    assert sorted(((float(on), float(off), label) for on, off, label in found), key=by_label) == [
        (pytest.approx(on, abs=0.006), pytest.approx(off, abs=0.006), label)
        for on, off, label in sorted(
            ((float(on), float(off), label) for on, off, label in expected), key=by_label
        )
    ]


def test_export_of_no_checkpoint_is_a_user_error(tmp_path):
    result = run_command(*EXPORT, tmp_path / "md_1_iters.pth", "--output", tmp_path / "detector.onnx")
    assert_user_error(result, "md_1_iters.pth: there is no such checkpoint")
