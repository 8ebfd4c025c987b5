"""The results table as text that fits a terminal; what its runs have in common is said once, below it."""

import re
import textwrap
from collections.abc import Sequence

from utils.results.published import PUBLISHED_COLUMNS
from utils.results.runs import RunResults
from utils.results.scored_models import ModelGroup
from utils.results.table import ResultRow, described_numbers, results_table
from utils.scoring.sed_eval_scores import shown_segment_key
from utils.scoring.text import score_name, span
from utils.settings.groups import ScoringSettings
from utils.system.terminal import GAP, LINE_LENGTH, aligned
from utils.system.words import counted

ALL = "All runs"
INDENT = "   "  # of the lines of a name after its first
UNBROKEN = "\N{NO-BREAK SPACE}"  # where textwrap does not end a line
Line = list[str]  # cells of a line, with the name or without


def table_lines(runs: list[RunResults], scoring: ScoringSettings, *, single_runs: bool) -> list[str]:
    """Return the rows of `results_table` with the most important columns, and lines that explain them."""
    header, rows = results_table(runs, scoring, single_runs=single_runs)
    columns = shown_columns(header, scoring)
    of_rows = [score_lines(row, header, columns) for row in rows]
    all_scores = [columns, *(line for lines in of_rows for line in lines)]
    width = LINE_LENGTH - sum(len(GAP) + max(map(len, cells)) for cells in zip(*all_scores, strict=True))
    shared = shared_traits(rows)
    lines = [["training".ljust(width), *columns]]
    for row, scores in zip(rows, of_rows, strict=True):
        lines += beside(wrap(row_name(row, shared), width), scores)
        if row.models and (published := published_scores(row, header, columns)):
            lines.append([f"{INDENT}published", *published])
    heading, *body = aligned(lines)
    rule = "-" * LINE_LENGTH
    return [*explain_rows(rows), rule, heading, rule, *body, rule, *explain_names(shared, header)]


def shown_columns(header: list[str], scoring: ScoringSettings) -> list[str]:
    """Return the columns with scores that fit a terminal."""
    segment = score_name(f"segment/{shown_segment_key(scoring.segment_lengths)}/macro/f1")
    return [name for name in ("mAP", "event F1", segment, "PSDS1", "PSDS2") if name in header]


def score_lines(row: ResultRow, header: list[str], columns: list[str]) -> list[Line]:
    """Return a row's scores, and what belongs below them, where there is something."""
    if not row.models:
        return [published_scores(row, header, columns)]
    ends = [span(*row.ends[name]) if name in row.ends else "" for name in columns]
    return [[row.cells[header.index(name)] for name in columns], *[ends] * any(ends)]


def published_scores(row: ResultRow, header: list[str], columns: list[str]) -> Line:
    """Return the published scores that stand beside a row; none if it has none."""
    if PUBLISHED_COLUMNS[0] not in header:
        return []
    scores = [row.cells[header.index(name)] for name in PUBLISHED_COLUMNS]
    return [*scores, *[""] * (len(columns) - len(scores))] if set(scores) != {"-"} else []


def row_traits(row: ResultRow) -> list[str]:
    """Return the settings of a row's runs, and what they were scored on."""
    first = row.models[0]
    return [
        *first.results.traits(ModelGroup(row.models).seeds),
        counted(first.record["iteration"], "iteration"),
        counted(first.scores["clips"], "validation clip"),
    ]


def kind_of(row: ResultRow) -> str:
    """Return the words for all rows whose trainings have the same kind of settings as a row's."""
    return "All by the recipe" if row.models[0].results.run.is_recipe else "All but the recipe"


def shared_traits(rows: Sequence[ResultRow]) -> dict[str, list[str]]:
    """Return the traits that all rows share, and those that all of a kind share, by words for these rows."""
    own = [row for row in rows if row.models]
    groups: dict[str, list[ResultRow]] = {}
    for row in own:
        groups.setdefault(ALL, []).append(row)
        groups.setdefault(kind_of(row), []).append(row)
    shared: dict[str, list[str]] = {}
    for name, members in groups.items():
        if name == ALL or 1 < len(members) < len(own):
            shared[name] = [
                trait
                for trait in row_traits(members[0])
                if trait not in shared.get(ALL, []) and all(trait in row_traits(row) for row in members)
            ]
    return shared


def row_name(row: ResultRow, shared: dict[str, list[str]]) -> str:
    """Return a row's numbers, as `--run` takes them, and its training, with what not all rows share."""
    if not row.models:
        return f"{row.cells[0]}, published"
    first, known = row.models[0], [*shared[ALL], *shared.get(kind_of(row), [])]
    traits = [trait for trait in row_traits(row) if trait not in known]
    name = first.results.training + f" ({', '.join(traits)})" * bool(traits)
    number = ":".join(filter(None, [described_numbers(row.numbers), first.variant.name]))
    return f"{number}. {name}"


def wrap(text: str, width: int, indent: str = INDENT) -> list[str]:
    """Return a text in lines of some width; none ends between a number and what it counts."""
    together = re.sub(r"(?<=\d) (?=[a-z])", UNBROKEN, text)
    lines = textwrap.wrap(together, width, subsequent_indent=indent, break_on_hyphens=False)
    return [line.replace(UNBROKEN, " ") for line in lines]


def beside(names: list[str], scores: list[Line]) -> list[Line]:
    """Return the lines of a row: its name to the left of its scores; empty where one of them is shorter."""
    height = max(len(names), len(scores))
    names = names + [""] * (height - len(names))
    scores = scores + [[""] * len(scores[0])] * (height - len(scores))
    return [[name, *cells] for name, cells in zip(names, scores, strict=True)]


def explain_rows(rows: Sequence[ResultRow]) -> list[str]:
    """Return what the figures of the table are."""
    lines = ["Scores on the validation clips in percent; F1 is the mean over the classes."]
    single = [row for row in rows if len(row.numbers) == 1 and row.ends]
    if single:
        lines.append(f"Below the scores of a single run: {single[0].ends_name}.")
    if any(len(row.numbers) > 1 for row in rows):
        lines.append("Of several seeds: mean ± standard deviation, below it the worst and the best;")
        lines.append("each run alone with --single_runs.")
    return lines


def explain_names(shared: dict[str, list[str]], header: list[str]) -> list[str]:
    """Return what the names of the rows leave out, and where published scores are from."""
    texts = [f"{name}: {', '.join(traits)}." for name, traits in shared.items() if traits]
    if PUBLISHED_COLUMNS[0] in header:
        texts.append("Published: by others, on this set; the length of their segments may be another one.")
    return [line for text in texts for line in wrap(text, LINE_LENGTH, "")]
