"""Folders of recordings and annotations -> data sets that the stages read."""

import logging
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.commands import assert_user_error, run_command, run_well
from tests.settings_for_tests import SETTINGS
from utils.dataset.subsets import SUBSETS, read_clips
from utils.dataset.tables import Clip
from utils.importing.annotations import ReadingOptions
from utils.importing.clips import write_clip
from utils.importing.importer import ImportOptions, import_annotations
from utils.importing.sources import find_sources
from utils.settings.overrides import literal_values
from utils.system.errors import SedError

RATE = 8000  # Hz
OPTIONS = ImportOptions(
    ReadingOptions(),
    labels=None,
    clip_seconds=10.0,
    overlap=0.0,
    shortest_event=0.1,
    eventless_fraction=1.0,
    validation_fraction=0.2,
    split_by="recording",
    unannotated="skip",
    seed=1,
    iterations=400,
    batch_size=16,
)


@pytest.fixture(autouse=True)
def lines(caplog) -> pytest.LogCaptureFixture:
    logging.getLogger("sed").propagate = True
    caplog.set_level(logging.INFO, "sed")
    return caplog


def record(path: Path, seconds: float, rate: int = RATE, **how: object) -> np.ndarray:
    """Write noise as a recording, no two alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = sum(map(ord, path.name))
    samples = np.random.default_rng(seed).integers(-3000, 3000, int(seconds * rate), dtype=np.int16)
    soundfile.write(path, samples, rate, **how)
    return samples


def label(path: Path, *events: tuple[float, float, str]) -> None:
    path.write_text("".join(f"{onset:.6f}\t{offset:.6f}\t{name}\n" for onset, offset, name in events))


def imported(source: Path, target: Path, **changes: object) -> None:
    import_annotations([source], target, replace(OPTIONS, **changes), SETTINGS.features)


def clips_of(target: Path, labels: list[str]) -> dict[str, dict[str, Clip]]:
    """The clips of each subset that there is, by name."""
    return {
        name: {clip.name: clip for clip in read_clips(target, name, labels)}
        for name, subset in SUBSETS.items()
        if (target / f"{subset.table}.csv").is_file()
    }


def all_clips(target: Path, labels: list[str]) -> dict[str, Clip]:
    return {name: clip for clips in clips_of(target, labels).values() for name, clip in clips.items()}


@pytest.fixture(autouse=True)
def settings_of_the_set(monkeypatch) -> None:
    """Let the tables be read as if SED_CONFIG named the settings of the set."""
    monkeypatch.setattr("utils.dataset.subsets.require_settings_of", lambda _: None)


@pytest.fixture
def field(tmp_path) -> Path:
    """Five recordings with Audacity labels; two are longer than a clip."""
    folder = tmp_path / "field"
    for name, seconds in (("a", 25.04), ("b", 5), ("c", 5), ("d", 34), ("e", 5)):
        record(folder / f"{name}.wav", seconds)
    label(folder / "a.txt", (1, 2, "Robin"), (9, 11, "Wren"), (19.95, 21, "Robin"), (24, 25, "Wren"))
    label(folder / "b.txt", (1, 2, "Robin"))
    label(folder / "c.txt", (0.5, 4.5, "Wren"))
    label(folder / "d.txt", (8, 23, "Robin"))
    label(folder / "e.txt")
    return folder


def events_of(clips: dict[str, Clip], stem: str) -> dict[str, list[tuple]]:
    return {
        name: [(event.onset, event.offset, event.label) for event in clip.events]
        for name, clip in clips.items()
        if name.startswith(stem)
    }


def test_long_recordings_are_cut_with_their_events(field, tmp_path):
    imported(field, tmp_path / "set")
    clips = all_clips(tmp_path / "set", ["Robin", "Wren"])
    assert events_of(clips, "a") == {
        "a_00000.000s.flac": [(1, 2, "Robin"), (9, 10, "Wren")],
        # The 0.05 s of the robin before the cut are too short to be an event.
        "a_00010.000s.flac": [(0, 1, "Wren")],
        # The last 0.04 s make no clip: the end of the wren, at 25 s, is there.
        "a_00020.000s.flac": [(0, 1, "Robin"), (4, 5, "Wren")],
    }
    assert events_of(clips, "d") == {
        "d_00000.000s.flac": [(8, 10, "Robin")],
        "d_00010.000s.flac": [(0, 10, "Robin")],
        "d_00020.000s.flac": [(0, 3, "Robin")],
        "d_00030.000s.flac": [],
    }
    assert events_of(clips, "e") == {"e.wav": []}


def test_clips_have_the_samples_of_their_recordings(field, tmp_path):
    imported(field, tmp_path / "set")
    (clip,) = (tmp_path / "set/audio").rglob("d_00010.000s.flac")
    recording, _ = soundfile.read(field / "d.wav", dtype="int16")
    samples, rate = soundfile.read(clip, dtype="int16")
    assert rate == RATE
    np.testing.assert_array_equal(samples, recording[10 * RATE : 20 * RATE])
    (whole,) = (tmp_path / "set/audio").rglob("b.wav")
    assert whole.read_bytes() == (field / "b.wav").read_bytes()


@pytest.mark.parametrize(
    ("suffix", "subtype", "tolerance"),
    [
        (".wav", "PCM_24", 0),
        (".wav", "FLOAT", 0),
        (".wav", "PCM_U8", 0),
        (".ogg", "VORBIS", 1e-6),
        (".mp3", None, 1e-6),
    ],
)
def test_no_format_loses_more_than_24_bits_do(tmp_path, suffix, subtype, tolerance):
    record(tmp_path / f"field/long{suffix}", 45, subtype=subtype)
    record(tmp_path / "field/short.wav", 2)
    label(tmp_path / "field/long.txt", (1, 2, "Robin"))
    label(tmp_path / "field/short.txt", (1, 2, "Robin"))
    imported(tmp_path / "field", tmp_path / "set")
    recording, _ = soundfile.read(tmp_path / f"field/long{suffix}")
    clips = sorted((tmp_path / "set/audio").rglob("long_*"))
    samples = np.concatenate([soundfile.read(clip)[0] for clip in clips])
    assert len(clips) == len(recording) // (10 * RATE) + 1
    np.testing.assert_allclose(samples, recording, rtol=0, atol=tolerance)


def test_overlapping_clips_repeat_what_they_share(field, tmp_path):
    imported(field, tmp_path / "set", overlap=5.0)
    found = events_of(all_clips(tmp_path / "set", ["Robin", "Wren"]), "a")
    # The last one ends with the recording, but for 0.04 s.
    assert list(found) == [f"a_{start:05d}.000s.flac" for start in (0, 5, 10, 15)]
    assert found["a_00005.000s.flac"] == [(4, 6, "Wren")]
    assert found["a_00015.000s.flac"] == [(4.95, 6, "Robin"), (9, 10, "Wren")]


def test_clips_with_a_gap_between_them_and_those_left_to_write_have_their_samples(field, tmp_path):
    imported(field, tmp_path / "set", eventless_fraction=0.0, overlap=4.0)
    first = {path: path.read_bytes() for path in (tmp_path / "set/audio").rglob("*") if path.is_file()}
    removed = [path for path in first if path.name[:7] in ("a_00006", "d_00012", "d_00018")]
    assert len(removed) == 3
    for path in removed:
        path.unlink()
    for path in (tmp_path / "set/metadata").rglob("*.csv"):
        path.unlink()
    imported(field, tmp_path / "set", eventless_fraction=0.0, overlap=4.0)
    assert first == {path: path.read_bytes() for path in first}


def test_data_set_does_not_lie_in_its_source(field):
    with pytest.raises(SedError, match="lies in .*, where it would be searched too"):
        imported(field, field / "set")
    assert not (field / "set").exists()


def test_sources_are_left_as_they_are(field, tmp_path):
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in field.iterdir()}
    imported(field, tmp_path / "set")
    assert before == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in field.iterdir()}


def test_recordings_stand_in_one_part_with_each_class_in_both(field, tmp_path):
    imported(field, tmp_path / "set")
    parts = clips_of(tmp_path / "set", ["Robin", "Wren"])
    assert parts.keys() == {"train_synthetic", "validation"}
    recordings = {part: {name[0] for name in clips} for part, clips in parts.items()}
    assert not recordings["train_synthetic"] & recordings["validation"]
    for clips in parts.values():
        assert {event.label for clip in clips.values() for event in clip.events} == {"Robin", "Wren"}


def test_another_call_goes_on_where_one_was_stopped(field, tmp_path, monkeypatch, lines):
    imported(field, tmp_path / "whole")

    written = []

    def stop_at_the_fifth(planned, *how):
        written.append(planned)
        if len(written) == 5:
            raise KeyboardInterrupt
        write_clip(planned, *how)

    with monkeypatch.context() as patch:
        patch.setattr("utils.importing.clips.write_clip", stop_at_the_fifth)
        with pytest.raises(KeyboardInterrupt):
            imported(field, tmp_path / "set")
    assert not list((tmp_path / "set").rglob("*.csv"))
    imported(field, tmp_path / "set")
    assert "4 clips are there from an earlier call" in lines.text
    contents = [
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path / "set", tmp_path / "whole")
    ]
    assert contents[0] == contents[1]
    imported(field, tmp_path / "set")
    assert "has been made from these recordings already" in lines.text


def test_settings_that_a_user_has_changed_stay(field, tmp_path):
    imported(field, tmp_path / "set")
    path = tmp_path / "set/settings.py"
    path.write_text(path.read_text().replace("_iterations = 400", "_iterations = 9"))
    imported(field, tmp_path / "set")
    assert literal_values(path)["recipe_iterations"] == 9


def test_folder_of_another_data_set_or_import_is_refused(field, tmp_path):
    imported(field, tmp_path / "set")
    with pytest.raises(SedError, match="was imported from other recordings, annotations or options"):
        imported(field, tmp_path / "set", clip_seconds=5.0)
    label(field / "e.txt", (1, 2, "Robin"))
    with pytest.raises(SedError, match="was imported from other recordings, annotations or options"):
        imported(field, tmp_path / "set")
    (tmp_path / "set/metadata/import.json").unlink()
    with pytest.raises(SedError, match="holds the tables of another data set"):
        imported(field, tmp_path / "set")


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ([44100, 48000], (32000, 1024, 500, 14000)),
        ([22050], (24000, 768, 375, 11025)),
        ([16000, 16000, 48000], (16000, 512, 250, 8000)),
        ([8000], (8000, 256, 125, 4000)),
    ],
)
def test_settings_fit_the_recordings(tmp_path, lines, rates, expected):
    for index, rate in enumerate([*rates, *rates]):
        record(tmp_path / f"field/{index}.wav", 1, rate)
        label(tmp_path / f"field/{index}.txt", (0.1, 0.5, "Robin"), (0.2, 0.5, 'Wren "b"'))
    imported(tmp_path / "field", tmp_path / "set")
    assert any(line.startswith("The recordings have") for line in lines.messages) == (len(rates) > 1)
    values = literal_values(tmp_path / "set/settings.py")
    names = ("sample_rate", "window_size", "hop_size", "mel_max_frequency")
    assert tuple(values[name] for name in names) == expected
    assert values["labels"] == ["Robin", 'Wren "b"']
    assert values["sample_rate"] / values["hop_size"] == 64


def test_folders_are_classes_where_nothing_else_says_so(tmp_path, lines):
    for name in (
        "Robin/1.wav",
        "Robin/2.wav",
        "Robin/3.wav",
        "Wren/1.wav",
        "Wren/session/2.wav",
        "Wren/4.wav",
    ):
        record(tmp_path / "field" / name, 12 if name == "Robin/1.wav" else 3)
    imported(tmp_path / "field", tmp_path / "set")
    parts = clips_of(tmp_path / "set", ["Robin", "Wren"])
    assert parts.keys() == {"train_weak", "validation"}
    names = {name: clip.labels for part in parts.values() for name, clip in part.items()}
    assert all(name.startswith(next(iter(labels))) for name, labels in names.items())
    assert {"Robin__1_00000.000s.flac", "Robin__1_00010.000s.flac", "Wren__session__2.wav"} <= names.keys()
    for clip in parts["validation"].values():
        assert [(event.onset, event.label) for event in clip.events] == [(0, *clip.labels)]
    assert "look at mAP" in lines.text


@pytest.mark.parametrize("second", ["1.wav", "2.wav"], ids=["names collide", "names differ"])
def test_labels_of_folders_do_not_depend_on_the_names_of_files(tmp_path, second):
    for name in ("site1/Robin/1.wav", f"site2/Wren/{second}", "site2/other.wav"):
        record(tmp_path / name, 1)

    def labels(*folders: str) -> dict[str, set[str]]:
        sources = find_sources([tmp_path / folder for folder in folders], OPTIONS.reading)
        return {one.file.path.name + one.file.path.parent.name: set(one.labels) for one in sources.recordings}

    ours, others = {"1.wavRobin": {"Robin"}, f"{second}Wren": {"Wren"}}, {"other.wavsite2": {"site2"}}
    assert labels("site1", "site2") == ours | others
    assert labels("site1/Robin", "site2/Wren") == ours
    assert labels("site2/Wren") == {f"{second}Wren": set()}


def test_names_that_nearly_fit_are_found_and_others_are_left_out(tmp_path, lines):
    folder = tmp_path / "field"
    for name in ("Cafe\u0301.WAV", "b.flac", "sub/c.wav", "other/c.wav", "silent.wav"):
        record(folder / name, 3)
    (folder / "notes.txt").write_text("windy\n")
    (folder / "table.csv").write_text(
        "file;start;end;label\nCaf\u00e9.wav;1;2;Robin\nb;0:01;0:02;Wren\nsub\\c.wav;1;2;Robin\n"
        "C:\\field\\other\\c.wav;1;2;Wren\ngone.wav;1;2;Wren\n",
        encoding="utf-8",
    )
    imported(folder, tmp_path / "set")
    names = set(all_clips(tmp_path / "set", ["Robin", "Wren"]))
    assert names == {"Cafe\u0301.WAV", "b.flac", "sub__c.wav", "other__c.wav"}
    assert "Left out: annotations of 1 recording not found (gone.wav)" in lines.text
    assert "Without annotation: 1 recording (silent.wav), left out" in lines.text
    assert "Not read: " in lines.text


@pytest.mark.parametrize(
    ("choice", "subset"), [("unlabelled", "train_unlabel_in_domain"), ("eventless", None)]
)
def test_recordings_without_annotation_can_be_taken(field, tmp_path, choice, subset):
    (field / "b.txt").unlink()
    imported(field, tmp_path / "set", unannotated=choice)
    parts = clips_of(tmp_path / "set", ["Robin", "Wren"])
    (part,) = [name for name, clips in parts.items() if "b.wav" in clips]
    if subset:
        assert (part, list(parts[part])) == (subset, ["b.wav"])
    else:
        assert parts[part]["b.wav"].events == ()


def test_fraction_of_the_clips_without_events_is_taken(tmp_path):
    for name in "ab":
        record(tmp_path / f"field/{name}.wav", 60)
        label(tmp_path / f"field/{name}.txt", (1, 2, "Robin"))
    imported(tmp_path / "field", tmp_path / "set", eventless_fraction=0.3)
    clips = all_clips(tmp_path / "set", ["Robin"])
    assert sum(not clip.events for clip in clips.values()) == 3  # of 10
    assert sum(bool(clip.events) for clip in clips.values()) == 2


def test_labels_can_be_chosen_and_renamed_and_those_that_look_alike_are_named(field, tmp_path, lines):
    label(field / "b.txt", (1, 2, "robin"))
    imported(field, tmp_path / "first")
    assert "Labels that look alike: robin (1) and Robin (3)" in lines.text
    imported(field, tmp_path / "set", labels=("Robin",), reading=ReadingOptions(rename={"robin": "Robin"}))
    clips = all_clips(tmp_path / "set", ["Robin"])
    assert clips["b.wav"].labels == {"Robin"}
    assert clips["c.wav"].events == ()
    assert literal_values(tmp_path / "set/settings.py")["labels"] == ["Robin"]


def test_events_of_labels_that_are_not_wanted_are_counted_and_one_like_a_wanted_label_is_named(
    field, tmp_path, lines
):
    label(field / "b.txt", (1, 2, "robin"), (2, 3, "Rain"), (3, 4, "Rains"))
    imported(field, tmp_path / "set", labels=("Robin",))
    (left_out,) = re.findall(r"Left out \(--labels\): (.*)", lines.text)
    assert {"Rain (1)", "Rains (1)", "robin (1)"} <= set(left_out.split(", "))
    assert "Labels that look alike: robin (1) and Robin (3)" in lines.text
    assert "look alike: Rain" not in lines.text


def test_label_that_does_not_occur_is_refused(field, tmp_path):
    with pytest.raises(SedError, match=r"--labels: nothing is labelled 'robbin' \(did you mean Robin\?\)"):
        imported(field, tmp_path / "set", labels=("robbin",))


def test_clips_of_one_recording_are_divided_on_request_only(tmp_path):
    record(tmp_path / "field/a.wav", 60)
    label(tmp_path / "field/a.txt", *[(start, start + 1, "Robin") for start in range(2, 60, 10)])
    with pytest.raises(SedError, match="only one recording to divide.*--split_by clip"):
        imported(tmp_path / "field", tmp_path / "set")
    assert not (tmp_path / "set").exists()
    with pytest.raises(SedError, match="--split_by clip needs --overlap 0"):
        imported(tmp_path / "field", tmp_path / "set", split_by="clip", overlap=5.0)
    imported(tmp_path / "field", tmp_path / "set", split_by="clip")
    assert len(clips_of(tmp_path / "set", ["Robin"])["validation"]) == 1


def test_recordings_of_a_folder_stay_together_on_request(tmp_path):
    for name in ("x/a", "x/b", "y/a", "y/b", "z/a"):
        record(tmp_path / f"field/{name}.wav", 2)
        label(tmp_path / f"field/{name}.txt", (0.5, 1, "Robin"))
    imported(tmp_path / "field", tmp_path / "set", split_by="folder")
    parts = clips_of(tmp_path / "set", ["Robin"])
    folders = [{name.split("__")[0] for name in clips} for clips in parts.values()]
    assert not set.intersection(*folders)


def test_all_problems_are_listed_and_nothing_is_written(field, tmp_path):
    label(field / "b.txt", (1, 1, "Robin"), (50, 51, "Robin"))
    (field / "c.txt").write_text("1.0\t2.0\n")
    result = run_command("utils/metadata.py", "import_annotations", field, "--output_dir", tmp_path / "set")
    assert_user_error(result, "3 problems, listed above; the first: ")
    for problem in (
        "b.txt, line 1: the offset",
        "b.txt, line 2: the event from 50 to 51 s is not",
        "c.txt, line 1",
    ):
        assert problem in result.stdout
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ((), "there are no recordings in the files and folders given"),
        (("a.wav",), "none of the 1 recordings has an annotation"),
    ],
)
def test_nothing_to_import_is_a_user_error(tmp_path, files, message):
    (tmp_path / "field").mkdir()
    for name in files:
        record(tmp_path / "field" / name, 1)
    with pytest.raises(SedError, match=message):
        imported(tmp_path / "field", tmp_path / "set")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("typo.csv", None, r"typo\.csv: there is no such file or folder"),
        ("table.csv", "size,weight\n1,2\n", r"table\.csv"),
        ("typo.wav", None, r"typo\.wav: there is no such file or folder"),
    ],
)
def test_file_that_is_named_but_not_there_or_not_understood_is_refused(tmp_path, name, text, message):
    """Or the folders would be taken for labels."""
    record(tmp_path / "field/Robin/a.wav", 3)
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(SedError, match=message):
        import_annotations(
            [tmp_path / "field", tmp_path / name], tmp_path / "set", OPTIONS, SETTINGS.features
        )
    assert not (tmp_path / "set").exists()


def test_tables_hold_no_event_twice_and_none_without_length_where_times_are_rounded(tmp_path):
    """Times have six digits: 200 s after the start of a recording, milliseconds."""
    record(tmp_path / "field/a.wav", 220, rate=8000)
    label(
        tmp_path / "field/a.txt",
        (1.234567, 2.0, "Robin"),
        (1.234570, 2.0, "Robin"),
        (200.0001, 200.0002, "Robin"),
        (201, 202, "Robin"),
    )
    record(tmp_path / "field/b.wav", 1)
    label(tmp_path / "field/b.txt", (0, 1, "Robin"))
    imported(tmp_path / "field", tmp_path / "set", clip_seconds=300.0)
    clip = all_clips(tmp_path / "set", ["Robin"])["a.wav"]
    assert [(event.onset, event.offset) for event in clip.events] == [(1.23457, 2.0), (201.0, 202.0)]


def test_annotations_may_lie_in_another_folder(field, tmp_path):
    (tmp_path / "labels").mkdir()
    for path in field.glob("*.txt"):
        path.rename(tmp_path / "labels" / path.name)
    import_annotations([field, tmp_path / "labels"], tmp_path / "set", OPTIONS, SETTINGS.features)
    assert len(all_clips(tmp_path / "set", ["Robin", "Wren"])) == 10


def test_names_that_tables_or_systems_do_not_take_are_replaced(tmp_path):
    for name in ('a"1.wav', "a?1.wav", " a\t1.wav", f"{'x' * 90}/{'y' * 210}.wav"):
        record(tmp_path / "field" / name, 1)
        label(tmp_path / "field" / f"{name}.txt", (0.1, 0.5, "Robin"))
    imported(tmp_path / "field", tmp_path / "set")
    names = set(all_clips(tmp_path / "set", ["Robin"]))
    assert names == {"a_1.wav", "a_1_2.wav", "a_1_3.wav", f"{'y' * 200}.wav"}
    assert {path.name for path in (tmp_path / "set/audio").rglob("*.wav")} == names


def test_predicted_events_of_folders_can_be_imported(tmp_path):
    """What `predict` writes about subfolders is no training table, but can become one."""
    record(tmp_path / "field/day/a.wav", 3)
    record(tmp_path / "field/night/a.wav", 3)
    table = "filename\tonset\toffset\tevent_label\nday/a.wav\t1\t2\tRobin\nnight/a.wav\t1.5\t2\tRobin\n"
    (tmp_path / "events.csv").write_text(table)
    place = ["--output_dir", tmp_path / "set"]
    run_well("utils/metadata.py", "import_annotations", tmp_path / "field", tmp_path / "events.csv", *place)
    clips = all_clips(tmp_path / "set", ["Robin"])
    assert {name: clip.events[0].onset for name, clip in clips.items()} == {
        "day__a.wav": 1,
        "night__a.wav": 1.5,
    }
