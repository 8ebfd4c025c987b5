"""Score files: read as they were written, by sed_scores_eval's reader too, and scored alike."""

import re
import subprocess

import numpy as np
import pytest

from tests.commands import assert_user_error, run_command, run_well
from tests.settings_for_tests import LABELS
from utils.dataset.tables import read_score_table, read_strong_table, write_score_table
from utils.scoring.psds import ClipScores
from utils.scoring.score_files import ranked, read_scores, write_scores
from utils.system.errors import SedError

NAMES = ["a.b.wav", "c.flac"]


def some_scores() -> list[ClipScores]:
    generator = np.random.default_rng(0)
    edges = np.append(np.arange(79) * 0.125, 9.8765432109)
    logits = generator.normal(0, 8, (2, 79, len(LABELS))).astype(np.float32)
    return [
        ClipScores(edges[: 40 * n + 1], of_clip[: 40 * n]) for n, of_clip in zip((1, 2), logits, strict=True)
    ]


def test_scores_are_read_as_they_were_written(tmp_path):
    scores = some_scores()
    write_scores(tmp_path, ["old.wav"], scores[:1], LABELS)
    write_scores(tmp_path, NAMES, scores, LABELS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.b.tsv", "c.tsv"]
    for written, read in zip(scores, read_scores(tmp_path, NAMES, LABELS), strict=True):
        np.testing.assert_array_equal(read.edges_seconds, written.edges_seconds)
        np.testing.assert_array_equal(read.scores.astype(np.float32), written.scores)
    (only,) = read_scores(tmp_path, NAMES[1:], ["Dog"])
    np.testing.assert_array_equal(
        only.scores[:, 0].astype(np.float32), scores[1].scores[:, LABELS.index("Dog")]
    )


def test_the_reader_of_sed_scores_eval_reads_them_alike(tmp_path):
    io = pytest.importorskip("sed_scores_eval.base_modules.io", reason="needs requirements-psds.txt")
    scores = some_scores()
    write_scores(tmp_path, NAMES, scores, LABELS)
    tables = io.read_sed_scores(tmp_path)
    assert list(tables) == ["a.b", "c"]
    for table, written in zip(tables.values(), scores, strict=True):
        assert list(table.columns) == ["onset", "offset", *LABELS]
        np.testing.assert_array_equal(table["offset"], written.edges_seconds[1:])
        np.testing.assert_array_equal(table[list(LABELS)].astype(np.float32), written.scores)
    io.write_sed_scores(tables, tmp_path / "theirs")
    for one, other in zip(read_scores(tmp_path / "theirs", NAMES, LABELS), scores, strict=True):
        np.testing.assert_array_equal(one.scores.astype(np.float32), other.scores)


def test_ranks_stand_in_the_order_of_the_scores():
    edges = np.array([0.0, 1.0, 2.0])
    close = 1 - 1e-12  # which single precision takes for 1
    clips = [
        ClipScores(edges, np.array([[1.0, 5.0], [close, 5.0]])),
        ClipScores(edges, np.array([[-9.0, 2.0], [1.0, 2.0]])),
    ]
    ranks = [clip.scores.tolist() for clip in ranked(clips)]
    assert ranks == [[[2, 1], [1, 1]], [[0, 0], [2, 0]]]


EVENT_HEADER = "filename\tonset\toffset\tevent_label\n"
HEADER = "onset\toffset\t" + "\t".join(LABELS) + "\n"
ROW = "\t0.5" * len(LABELS) + "\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'onset'"),
        (HEADER.replace("Dog", "Wolf"), "no column 'Dog'"),
        (HEADER, "has no scores, only a header"),
        (HEADER + f"0\t0{ROW}", r"line 2: the offset 0.0 s is not after the onset 0.0 s"),
        (
            HEADER + f"0\t1{ROW}2\t3{ROW}",
            r"line 3: the onset 2.0 s is not the offset 1.0 s of the row before",
        ),
        (HEADER + f"0\t1{ROW}".replace("0.5", "nan"), "line 2: Speech 'nan' is not a finite number"),
        (HEADER + f"x\t1{ROW}", "line 2: onset 'x' is not a time in seconds"),
    ],
)
def test_score_files_that_are_not_valid_are_refused(tmp_path, text, message):
    path = tmp_path / "a.b.tsv"
    path.write_text(text)
    with pytest.raises(SedError, match=message):
        read_score_table(path, LABELS)


def test_clips_without_a_file_of_their_own_are_refused(tmp_path):
    with pytest.raises(SedError, match=r"a\.b\.tsv: there is no such file \(2 clips without scores\)"):
        read_scores(tmp_path, NAMES, LABELS)
    with pytest.raises(SedError, match=r"a\.flac and a\.wav have the same file of scores, a\.tsv"):
        write_scores(tmp_path, ["a.wav", "a.flac"], some_scores(), LABELS)
    with pytest.raises(SedError, match="the label 'onset' is the name of a column"):
        write_score_table(tmp_path / "a.tsv", np.arange(2.0), np.zeros((1, 1)), ["onset"])


def score(trained, *options: object) -> list[str]:
    reference = trained.dataset_dir / "metadata/validation/validation.csv"
    return run_well("pytorch/inference.py", "score", "--reference_csv", reference, *options).splitlines()


def test_score_of_the_written_probabilities_gives_the_psds_of_inference(trained):
    pytest.importorskip("sed_scores_eval", reason="needs requirements-psds.txt")
    arguments = [*trained.run_arguments(), "--iteration", 2, "--probabilities"]
    output = run_well("pytorch/inference.py", "inference_validation", *arguments)
    folder = trained.paths.probabilities(2)
    assert f"Probabilities: {folder}\n" in output
    lines = score(trained, "--scores_dir", folder, "--submission_csv", trained.paths.submission(2))

    def psds_of(lines: list[str]) -> list[list[str]]:
        return [line.split() for line in lines if line.startswith("PSDS")]

    of_inference = psds_of(output.splitlines())
    assert len(of_inference) == 2
    assert psds_of(lines) == of_inference
    assert any(line.startswith("event F1 micro") for line in lines)
    only_psds = score(trained, "--scores_dir", folder)
    assert psds_of(only_psds) == of_inference
    assert not any(line.startswith("event F1") for line in only_psds)


def test_psds_of_the_written_probabilities_is_that_of_sed_scores_eval(trained):
    package = pytest.importorskip("sed_scores_eval", reason="needs requirements-psds.txt")
    arguments = [*trained.run_arguments(), "--iteration", 2, "--probabilities"]
    output = run_well("pytorch/inference.py", "inference_validation", *arguments)
    reference = read_strong_table(trained.dataset_dir / "metadata/validation/validation.csv", LABELS)
    tables = package.io.read_sed_scores(trained.paths.probabilities(2))
    used = [label for label in LABELS if any(label in clip.labels for clip in reference)]
    tables = {name: table[["onset", "offset", *used]].astype(np.float32) for name, table in tables.items()}
    truth = {
        clip.name.removesuffix(".wav"): [(e.onset, e.offset, e.label) for e in clip.events]
        for clip in reference
    }
    value, *_ = package.intersection_based.psds(
        tables,
        truth,
        dict.fromkeys(truth, 10.0),
        dtc_threshold=0.7,
        gtc_threshold=0.7,
        alpha_st=1.0,
        max_efpr=100.0,
    )
    assert re.search(rf"^PSDS1 +{100 * value:.2f} ", output, re.MULTILINE)


def test_scores_end_with_the_durations(tmp_path):
    pytest.importorskip("sed_scores_eval", reason="needs requirements-psds.txt")
    (tmp_path / "reference.csv").write_text(f"{EVENT_HEADER}a.wav\t0\t1\tDog\n")
    scores = np.zeros((20, len(LABELS)))
    scores[:10, LABELS.index("Dog")] = scores[15:, LABELS.index("Dog")] = 0.9
    write_score_table(tmp_path / "a.tsv", np.arange(21) / 10, scores, LABELS)

    def score_with(seconds: float) -> subprocess.CompletedProcess:
        (tmp_path / "durations.csv").write_text(f"filename\tduration\na.wav\t{seconds}\n")
        tables = [
            "--reference_csv",
            tmp_path / "reference.csv",
            "--durations_csv",
            tmp_path / "durations.csv",
        ]
        return run_command("pytorch/inference.py", "score", *tables, "--scores_dir", tmp_path)

    # From 1.5 s on, there is a false positive as sure as the true one: 1800 in an hour.
    assert ["PSDS1", "100.00"] in [line.split()[:2] for line in score_with(1.4).stdout.splitlines()]
    assert ["PSDS1", "0.00"] in [line.split()[:2] for line in score_with(2.0).stdout.splitlines()]
    assert_user_error(score_with(0.0), "a.wav: its scores begin where it ends, after 0.0 s")


def test_score_says_what_it_lacks(trained):
    reference = ["--reference_csv", trained.dataset_dir / "metadata/validation/validation.csv"]
    result = run_command("pytorch/inference.py", "score", *reference)
    assert_user_error(result, "nothing to score; give --submission_csv, --scores_dir, or both")
    result = run_command("pytorch/inference.py", "score", *reference, "--scores_dir", trained.dataset_dir)
    assert_user_error(result, "there is no such file (5 clips without scores)")
