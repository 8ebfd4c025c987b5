"""A detector as one ONNX file: waveform in, probabilities out; its metadata say how to find events."""

import io
import json
import warnings
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.onnx.operators import shape_as_tensor

from pytorch.detector import Detector, StoredDetector
from utils.audio.logmel import logmel_of_clip, mel_filters
from utils.audio.reading import fit_clip
from utils.synthesis.demo_clips import make_recording
from utils.synthesis.demo_sounds import SAMPLE_RATE
from utils.system.errors import SedError
from utils.system.files import written_whole
from utils.system.terminal import install_command

INPUT_NAME, OUTPUT_NAMES = "waveform", ("framewise", "clipwise")
OPSET = 17  # of ONNX; the first with STFT
LARGEST_DIFFERENCE = 1e-4  # of a probability; a hundredth of a step of the tuned thresholds
CHECKED_LENGTHS = (1.0, 0.31, 1.57)  # in clips: the usual one, and two that are no multiple of a hop
CHECKED_SECONDS = 10.0  # of a synthetic clip at most; a longer one ends with silence
QUIET = 0.01  # full scale of the second clip of the check


class WaveformDetector(nn.Module):
    """A detector that takes waveforms: the log-mel of `utils/audio/logmel.py`, the scalar and the model.

    The log-mel is computed in double precision, which the pipeline does where single precision would show.

    Parameters
    ----------
    detector : Detector
        Its model is used as it is, in evaluation mode.
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        features = detector.features
        self.features = features
        self.model = detector.model.eval()
        self.standardize = detector.standardize
        self.shortest = shortest_waveform(detector)
        self.register_buffer("window", torch.from_numpy(np.hanning(features.window_size)))
        filters = mel_filters(features).toarray().T.astype(np.float64)
        self.register_buffer("filters", torch.from_numpy(filters))

    def mel_power(self, waveform: Tensor) -> Tensor:
        """Return the power (batch, samples // hop_size, mel_bins), float64, of waveform (batch, samples).

        A waveform that is too short for one output of the model is padded with zeros.
        """
        window_size, hop_size = self.features.window_size, self.features.hop_size
        samples = shape_as_tensor(waveform)[1].clamp(min=self.shortest)
        waveform = nn.functional.pad(waveform.double(), (0, self.shortest))[:, :samples]
        margin = window_size // 2
        start, end = waveform[:, 1 : margin + 1].flip(1), waveform[:, -margin - 1 : -1].flip(1)
        spectrum = torch.stft(
            torch.cat([start, waveform, end], dim=1),
            window_size,
            hop_size,
            window=self.window,
            center=False,
            return_complex=False,  # the exporter knows no complex numbers
        )
        power = spectrum.square().sum(dim=-1).transpose(1, 2) @ self.filters
        return power[:, : samples // hop_size]

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """Return framewise (batch, outputs, classes) and clipwise (batch, classes) probabilities."""
        power, log_floor = self.mel_power(waveform), self.features.log_floor
        logmel = (10 * power.clamp(min=log_floor).log10()).float()
        framewise, clipwise, _ = self.model(self.standardize(logmel))
        is_sound = (power.amax(dim=(1, 2)) > log_floor).float()
        return framewise * is_sound[:, None, None], clipwise * is_sound[:, None]


def shortest_waveform(detector: Detector) -> int:
    """Return the samples that it takes for one output of the model, and to mirror them at both ends."""
    features = detector.features
    return max(features.hop_size * detector.model.stride_frames, features.window_size // 2 + 1)


def onnx_content(detector: Detector, metadata: dict[str, str]) -> bytes:
    """Return the content of an ONNX file.

    torch's older exporter writes it: the newer one, of torch 2.13, fails at a bidirectional GRU whose
    sequences may have any length.

    Raises
    ------
    SedError
        If a package is missing.
    """
    try:  # optional packages
        import onnx
    except ImportError as error:
        raise missing_package() from error
    model = WaveformDetector(detector)
    example = torch.zeros(2, detector.features.clip_samples)
    file = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's, about what `largest_difference` checks
        torch.onnx.export(
            model,
            (example,),
            file,
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT_NAME],
            output_names=list(OUTPUT_NAMES),
            dynamic_axes={
                INPUT_NAME: {0: "batch", 1: "samples"},
                OUTPUT_NAMES[0]: {0: "batch", 1: "outputs"},
                OUTPUT_NAMES[1]: {0: "batch"},
            },
        )
    content = onnx.load_from_string(file.getvalue())
    onnx.helper.set_model_props(content, metadata)
    return content.SerializeToString()


def missing_package() -> SedError:
    return SedError(f"ONNX files need two more packages: {install_command('requirements-onnx.txt')}")


def metadata_of(detector: StoredDetector, weights: str) -> dict[str, str]:
    """Return what it takes besides the outputs to find events, by name, as text or JSON."""
    features = detector.features
    rules = detector.post_processing.to_json()
    values = {
        "labels": detector.labels,
        "sample_rate": features.sample_rate,
        "clip_seconds": features.clip_seconds,
        "outputs_per_second": features.frames_per_second / detector.model.stride_frames,
        "frames_per_second": features.frames_per_second,
        "stride_frames": detector.model.stride_frames,
        "post_processing": [{"label": label} | of_class for label, of_class in rules.items()],
        "features": asdict(features),
        "model_type": detector.model_type,
        "weights": weights,
        "iteration": detector.iteration,
    }
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}


def checked_waveforms(detector: Detector) -> list[np.ndarray]:
    """Return for each length a loud, a quiet and a silent waveform, synthetic: (3, samples), float32."""
    features = detector.features
    generator, seconds = np.random.default_rng(0), min(features.clip_seconds, CHECKED_SECONDS)
    audio = make_recording("", "strong", generator, stereo=False, clip_seconds=seconds).audio
    clip = fit_clip(audio, SAMPLE_RATE, features)
    waveforms = []
    for clips in CHECKED_LENGTHS:
        samples = max(round(clips * features.clip_samples) + 1, shortest_waveform(detector))
        loud = np.resize(clip, samples)  # repeated
        waveforms.append(np.stack([loud, QUIET * loud[::-1], np.zeros(samples)]).astype(np.float32))
    return waveforms


def largest_difference(content: bytes, detector: Detector) -> float:
    """Return how far the probabilities of an ONNX file are at most from those of the pipeline.

    The pipeline is `logmel_of_clip` and the detector, the file runs in onnxruntime.

    Raises
    ------
    SedError
        If a package is missing.
    """
    try:  # an optional package
        import onnxruntime
    except ImportError as error:
        raise missing_package() from error
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    differences = []
    for waveforms in checked_waveforms(detector):
        logmel = np.stack([logmel_of_clip(one, detector.features) for one in waveforms])
        expected = detector.probabilities(logmel)
        outputs = session.run(OUTPUT_NAMES, {INPUT_NAME: waveforms})
        for output, array in zip(outputs, (expected.framewise, expected.clipwise), strict=True):
            differences.append(np.abs(output - array).max() if output.shape == array.shape else np.inf)
    return float(np.max(differences))


def write_onnx(path: Path, detector: StoredDetector, weights: str) -> float:
    """Write a detector as an ONNX file, checked against the pipeline; return the largest difference.

    Parameters
    ----------
    path : Path
    detector : StoredDetector
        Computing in float32 on the processor.
    weights : str
        Whose weights the detector has, for the metadata.

    Raises
    ------
    SedError
        If the file would differ from the pipeline, a package is missing, or the file cannot be written.
    """
    content = onnx_content(detector, metadata_of(detector, weights))
    difference = largest_difference(content, detector)
    if not difference <= LARGEST_DIFFERENCE:  # also where it is NaN
        raise SedError(
            f"{path}: not written, as its probabilities would differ by up to {difference:.1e} from the "
            f"pipeline's, more than {LARGEST_DIFFERENCE:.0e}; use the checkpoint, and report it"
        )
    with written_whole(path) as unfinished:
        unfinished.write_bytes(content)
    return difference
