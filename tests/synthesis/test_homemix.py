"""HomeMix, from recordings made here: cutting, splitting, mixing, the tables, the command and its errors."""

import hashlib
import runpy
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.commands import PROJECT, assert_user_error, run_command, run_well
from utils.dataset.subsets import SUBSETS, VALIDATION, read_clips
from utils.dataset.tables import Clip, Event
from utils.homemix import make_homemix
from utils.synthesis import homemix_clips, soundbank
from utils.synthesis.homemix_clips import SAMPLE_RATE, Mixture, join_events, make_clip, mix_clip
from utils.synthesis.homemix_statistics import event_statistics, overlapped_seconds
from utils.synthesis.soundbank import (
    BACKGROUND,
    FOLDERS,
    LABELS,
    SoundBank,
    cut_events,
    cut_sound_bank,
    find_events,
    split_recordings,
)
from utils.system.files import make_folder

RATE = soundbank.SAMPLE_RATE
FRAME = 0.02  # s; to which times of events are exact
CLIPS = {"train_weak": 12, "train_synthetic": 10, "train_unlabel_in_domain": 2, "validation": 5}
SPEAKERS = ("ann", "bob", "cem", "dan", "eve")


def tone(seconds: float, frequency: float = 1000, level_db: float = 0.0, rate: int = RATE) -> np.ndarray:
    times = np.arange(int(seconds * rate)) / rate
    return 0.8 * 10 ** (level_db / 20) * np.sin(2 * np.pi * frequency * times)


def recording(*parts: tuple[float, float | None]) -> np.ndarray:
    """Tones and silences one after the other: seconds, and level in dB or None."""
    return np.concatenate([np.zeros(int(s * RATE)) if db is None else tone(s, 1000, db) for s, db in parts])


def seconds_of(events: Iterable[tuple[int, int]]) -> list[tuple[float, float]]:
    return [(begin / RATE, end / RATE) for begin, end in events]


@pytest.mark.parametrize(
    "parts, expected",
    [
        ([(1, None), (1, 0), (1, None)], [(1, 2)]),
        ([(0.5, 0), (0.2, None), (0.5, 0)], [(0, 1.2)]),  # a short pause does not separate
        ([(0.5, 0), (0.3, None), (0.5, 0)], [(0, 0.5), (0.8, 1.3)]),
        ([(0.5, 0), (0.5, -28), (0.5, None)], [(0, 1)]),  # within 30 dB
        ([(0.5, 0), (0.5, -32), (0.5, None)], [(0, 0.5)]),
        ([(0.2, 0), (0.5, None), (0.5, -10)], [(0.7, 1.2)]),  # too short, though it is the loudest
        ([(7, 0), (1, None)], [(0, 5)]),
        ([(2, None)], []),
        ([(0.01, 0)], []),
    ],
)
def test_events_are_cut_where_the_recording_is_quiet(parts, expected):
    found = seconds_of(find_events(recording(*parts)))
    assert len(found) == len(expected)
    assert np.allclose(found, expected, atol=1.01 * FRAME)


def events_frame_by_frame(levels: np.ndarray) -> list[tuple[int, int]]:
    """The same of frame levels, written as a loop over the frames."""
    events, begin, quiet = [], None, 0
    for frame, level in enumerate([*levels, *[0] * 20]):
        if level > max(levels) / 10**1.5:
            begin = frame if begin is None else begin
            quiet = 0
        elif begin is not None:
            quiet += 1
            if quiet == 12:  # 0.24 s
                end = frame - quiet + 1
                if (end - begin) * FRAME >= 0.25:
                    events.append((begin, min(end, begin + 250)))
                begin = None
    return events


@pytest.mark.parametrize("seed", range(20))
def test_random_recordings_are_cut_as_by_a_loop(seed):
    generator = np.random.default_rng(seed)
    sections = generator.integers(1, 30, 60)
    levels = np.repeat(generator.choice([1, 0.5, 0.03, 0.001, 0], len(sections)), sections)
    found = find_events(np.repeat(levels, soundbank.FRAME_SAMPLES))
    expected = events_frame_by_frame(levels)
    assert found == [
        (begin * soundbank.FRAME_SAMPLES, end * soundbank.FRAME_SAMPLES) for begin, end in expected
    ]


def test_the_four_events_with_most_energy_are_kept_in_order_and_scaled():
    levels_db = (-12, 0, -6, -14, -3, -9)
    samples = recording(*[part for db in levels_db for part in ((0.4, db), (0.5, None))])
    samples *= np.linspace(1, 0.999, len(samples))
    events = cut_events(samples)
    assert [len(event) / RATE for event in events] == pytest.approx([0.4] * 4, abs=2 * FRAME)
    assert [np.abs(event).max() for event in events] == pytest.approx([0.5] * 4)
    long_and_soft = recording((0.4, 0), (0.5, None), (4, -6))
    assert len(cut_events(long_and_soft, most=1)[0]) / RATE == pytest.approx(4, abs=2 * FRAME)


def write_named(folder: Path, names: Iterable[str]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in names]
    for path in paths:
        path.write_text(path.name)  # contents that differ
    return paths


def test_recordings_are_split_by_the_order_of_their_hashed_names(tmp_path):
    names = [f"dog_{number}.wav" for number in range(35)]
    splits = split_recordings("Dog", write_named(tmp_path, names))
    ranked = sorted(names, key=lambda name: hashlib.sha1(name.encode()).hexdigest())
    assert [path.name for path in splits["train"]] == sorted(ranked[:21])
    assert [path.name for path in splits["validation"]] == sorted(ranked[21:28])
    assert [path.name for path in splits["test"]] == sorted(ranked[28:])
    backwards = [tmp_path / name for name in reversed(names)]
    assert split_recordings("Dog", backwards) == splits


def test_copies_of_a_recording_are_left_out(tmp_path):
    paths = write_named(tmp_path, [f"cat_{number}.wav" for number in range(10)])
    for path in paths[1:]:
        path.write_text("the same in all but one")
    splits = split_recordings("Cat", paths)
    contents = [path.read_text() for paths in splits.values() for path in paths]
    assert len(set(contents)) == len(contents)


@pytest.mark.parametrize(
    "label, names, origin",
    [
        ("Speech", [f"{d}_{name}_{k}.wav" for name in SPEAKERS for d in (0, 1) for k in (0, 1)], 1),
        ("Baby_cry", [f"{name}.m4a_{k}.wav" for name in SPEAKERS for k in range(12)], 0),
        ("Baby_cry", [f"1-10{name}-{piece}.ogg" for name in range(9) for piece in "ABC"], 1),
    ],
)
def test_speakers_and_pieces_of_a_recording_stay_in_one_split(tmp_path, label, names, origin):
    separators = str.maketrans(".-", "__")
    splits = split_recordings(label, write_named(tmp_path, names))
    origins = {
        split: {path.name.translate(separators).split("_")[origin] for path in paths}
        for split, paths in splits.items()
    }
    assert all(origins.values())
    assert len(set.union(*origins.values())) == sum(map(len, origins.values()))
    assert sum(map(len, splits.values())) == len(names)
    assert len(splits["train"]) >= 0.6 * len(names)


def recording_names(label: str) -> list[str]:
    if label == "Speech":
        return [f"{digit}_{speaker}_{digit}.wav" for speaker in SPEAKERS for digit in range(3)]
    if label == "Baby_cry":
        return [f"{baby}.m4a_{piece}.wav" for baby in SPEAKERS for piece in range(2)]
    return [f"{label}_{number}.wav" for number in range(5)]


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Sources in the layout of the repositories: every recording has a tone of its own."""
    root = tmp_path_factory.mktemp("sources")
    frequency = 400.0
    for label, folders in (FOLDERS | {BACKGROUND: soundbank.BACKGROUND_FOLDERS}).items():
        for folder in folders:
            (root / folder).mkdir(parents=True)
        for index, name in enumerate(recording_names(label)):
            rate = (8000, 11025, 44100)[index % 3]
            seconds = 0.4 if label == "Speech" else 1.0
            samples = tone(seconds, frequency, -40 if label == BACKGROUND else 0, rate)
            channels = np.stack([samples] * (1 + index % 2), axis=1)
            soundfile.write(root / folders[index % len(folders)] / name, channels, rate)
            frequency += 25
    (root / FOLDERS["Dog"][0] / "notes.txt").write_text("no recording")
    return root


def frequency_of(event: np.ndarray) -> int:
    """The frequency of a tone of the sources, which are multiples of 25 Hz."""
    spectrum = np.abs(np.fft.rfft(event * np.hanning(len(event)), 8 * RATE))
    return int(25 * round(np.argmax(spectrum) / 8 / 25))


def test_no_recording_has_events_in_two_splits(sources):
    banks = [cut_sound_bank(sources, split, seed=1) for split in ("train", "validation", "test")]
    for label in LABELS:
        heard = [{frequency_of(event) for event in bank.events[label]} for bank in banks]
        assert all(heard)
        assert len(set.union(*heard)) == sum(map(len, heard)), label
    assert [len(bank.backgrounds) for bank in banks] == [3, 1, 1]


def test_test_set_is_of_the_recordings_that_are_left(sources, tmp_path):
    place = ["--sources", sources, "--output_dir", tmp_path]
    run_well("utils/homemix.py", "make_test", *place, "--validation", 3)
    clips = read_clips(tmp_path, VALIDATION, LABELS)
    assert len(clips) == 3
    bank = cut_sound_bank(sources, "test", seed=0)
    subset = SUBSETS[VALIDATION]
    made = make_clip(make_folder(tmp_path / "again"), subset, 1, bank, seed=0)
    assert clips[1].labels == made.labels
    audio = tmp_path / subset.audio_folder / made.name
    assert audio.read_bytes() == (tmp_path / "again" / made.name).read_bytes()


@pytest.fixture(scope="module")
def homemix(sources, tmp_path_factory):
    """A HomeMix that the command made, and what it printed."""
    folder = tmp_path_factory.mktemp("homemix")
    counts = [word for data_type, count in CLIPS.items() for word in (f"--{data_type}", count)]
    place = ["--sources", sources, "--output_dir", folder]
    return folder, run_well("utils/homemix.py", "make", *place, *counts)


def contents_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_arguments_give_the_same_files(sources, homemix, tmp_path):
    folder, _ = homemix
    make_homemix(sources, tmp_path / "again", clips=CLIPS, seed=0)
    assert contents_of(tmp_path / "again") == contents_of(folder)
    fewer = {"train_weak": 2}
    make_homemix(sources, tmp_path / "fewer", clips=fewer, seed=0)
    clip = "audio/train/weak/train_weak_0001.wav"
    assert (tmp_path / "fewer" / clip).read_bytes() == (folder / clip).read_bytes()
    make_homemix(sources, tmp_path / "other", clips=fewer, seed=1)
    assert (tmp_path / "other" / clip).read_bytes() != (folder / clip).read_bytes()


def test_the_tables_are_those_the_project_reads(homemix, monkeypatch):
    folder, _ = homemix
    for data_type, count in CLIPS.items():
        clips = read_clips(folder, data_type, LABELS)
        audio = folder / SUBSETS[data_type].audio_folder
        assert [clip.name for clip in clips] == sorted(path.name for path in audio.iterdir())
        assert len(clips) == count
        for index, clip in enumerate(clips):
            info = soundfile.info(audio / clip.name)
            assert info.samplerate == 44100
            assert 6 <= info.duration <= 10
            assert info.channels == (2 if index == 9 else 1)
            assert all(event.offset <= info.duration + 1e-3 for event in clip.events or ())


def test_the_labels_are_those_of_the_settings():
    assert list(LABELS) == runpy.run_path(str(PROJECT / "appendixes/homemix_config.py"))["labels"]


def test_statistics_are_printed_side_by_side(homemix):
    folder, printed = homemix
    assert f"| train_weak | {folder} |" in printed
    assert "| clips | 12 |" in printed
    compared = run_well("utils/homemix.py", "statistics", "--dataset_dir", folder, folder)
    assert "| clips | 12 | 12 |" in compared


def test_event_statistics():
    clips = [
        Clip("a.wav", frozenset({"Dog", "Cat"}), (Event(0, 2, "Dog"), Event(1, 4, "Cat"))),
        Clip("b.wav", frozenset({"Dog"}), (Event(0, 5, "Dog"),)),
        Clip("c.wav", frozenset(), ()),
    ]
    statistics = event_statistics(clips)
    assert statistics["events"] == "3"
    assert statistics["clips without events"] == "1"
    assert statistics["event length, quartiles"] == "2.50 / 3.00 / 4.00 s"
    assert statistics["event time overlapped"] == "10 %"
    assert statistics["Dog: events, median"] == "2, 3.50 s"
    assert statistics["Lion: events, median"] == "0"


@pytest.mark.parametrize("seed", range(5))
def test_overlap_is_that_counted_millisecond_by_millisecond(seed):
    generator = np.random.default_rng(seed)
    onsets, lengths = generator.integers(0, 8000, 6), generator.integers(1, 2000, 6)
    sounding = np.zeros(10_000, int)
    for onset, length in zip(onsets, lengths, strict=True):
        sounding[onset : onset + length] += 1
    events = [Event(on / 1000, (on + len_) / 1000, "Dog") for on, len_ in zip(onsets, lengths, strict=True)]
    assert overlapped_seconds(events) == pytest.approx(np.sum(sounding > 1) / 1000)


def test_events_of_a_class_that_nearly_touch_are_joined():
    events = [Event(5, 6, "Dog"), Event(1, 2, "Dog"), Event(2.1, 3, "Dog"), Event(1.5, 1.8, "Dog")]
    events += [Event(2.9, 4, "Cat"), Event(4.2, 5, "Cat")]
    assert join_events(events) == (
        Event(2.9, 4, "Cat"),
        Event(4.2, 5, "Cat"),
        Event(1, 3, "Dog"),
        Event(5, 6, "Dog"),
    )


def test_clips_sound_where_their_events_say():
    """Over a background of noise alone, the loudness follows the table."""
    generator = np.random.default_rng(0)
    sounds = {label: [0.5 * generator.standard_normal(RATE).astype(np.float32)] for label in LABELS}
    bank = SoundBank(sounds, [np.zeros(RATE, np.float32)])
    levels = defaultdict(list)
    for seed in range(8):
        mixture = mix_clip(bank, np.random.default_rng(seed))
        inside = np.zeros(len(mixture.samples), bool)
        for event in mixture.events:
            inside[round(event.onset * SAMPLE_RATE) : round(event.offset * SAMPLE_RATE)] = True
        outside = np.std(mixture.samples[~inside])
        for event in mixture.events:
            part = mixture.samples[round(event.onset * SAMPLE_RATE) : round(event.offset * SAMPLE_RATE)]
            levels[event.label].append(20 * np.log10(np.std(part) / outside))
        assert np.abs(mixture.samples).max() <= 0.95 + 1e-9
        assert 1 <= len({event.label for event in mixture.events}) <= 2
    all_levels = np.concatenate(list(levels.values()))
    # 4 to 24 dB above the background, which is added to the event; overlapping events add up.
    assert all_levels.min() > 4
    assert 10 < np.median(all_levels) < 20
    assert all_levels.max() < 30


def test_a_weak_clip_without_events_is_mixed_again(tmp_path, monkeypatch):
    silence, event = np.zeros(SAMPLE_RATE), Event(0, 1, "Dog")
    mixtures = [Mixture(silence, ()), Mixture(silence, ()), Mixture(silence, (event,)), Mixture(silence, ())]
    monkeypatch.setattr(homemix_clips, "mix_clip", lambda bank, generator: mixtures.pop(0))
    bank = SoundBank({}, [])
    clips = [
        homemix_clips.make_clip(tmp_path, SUBSETS[name], 0, bank, 0) for name in ("train_weak", "validation")
    ]
    assert [clip.labels for clip in clips] == [{"Dog"}, set()]


def assert_make_fails(sources: Path, tmp_path: Path, *expected: str) -> None:
    command = ["utils/homemix.py", "make", "--sources", sources, "--output_dir", tmp_path / "homemix"]
    assert_user_error(run_command(*command), sources, *expected)
    assert not (tmp_path / "homemix").exists()


def test_absent_sources_are_named_with_what_to_download(tmp_path):
    repositories = ("YashNita/Animal-Sound-Dataset", "Jakobovski/free-spoken-digit-dataset")
    clones = [f"git clone --depth 1 https://github.com/{name} " for name in repositories]
    assert_make_fails(tmp_path / "nowhere", tmp_path, *clones, "giulbia/baby_cry_detection")


def copy_sources(sources: Path, folder: Path) -> Path:
    """A tree of links to the recordings, in which some can be replaced."""
    for path in sources.rglob("*.wav"):
        link = folder / path.relative_to(sources)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    return folder


def test_incomplete_sources_are_one_clear_error(sources, tmp_path):
    copied = copy_sources(sources, tmp_path / "copied")
    chickens = copied / FOLDERS["Chicken"][0]
    for path in chickens.iterdir():
        path.unlink()
    assert_make_fails(copied, tmp_path, "no recordings of Chicken for train", "clone its repository again")
    chickens.rmdir()
    assert_make_fails(copied, tmp_path, f"{chickens}: there is no such folder")
    for path in (copied / FOLDERS["Dog"][0]).iterdir():
        path.unlink()
        path.write_bytes(b"no audio")
    assert_make_fails(copied, tmp_path, "cannot be read as audio")
