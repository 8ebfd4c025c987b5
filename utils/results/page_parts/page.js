// The data of the page; see utils/results/page_data.py. Strings in it are inserted as text only, never as HTML.
const report = JSON.parse(document.getElementById("report-data").textContent);

// --- Verdict ------------------------------------------------------------------------------------------

function showVerdict() {
  const scores = report.class_scores[0];
  const scored = report.class_labels
    .map((label, index) => ({ label, f1: scores.event_f1[index] }))
    .filter((one) => one.f1 !== null);
  const lowest = Math.min(...scored.map((one) => one.f1));
  const weakest = scored.filter((one) => one.f1 === lowest).map((one) => one.label);
  const named = weakest.length > 3 ? `${weakest.length} classes` : weakest.join(", ");
  const parts = [
    ["Event F1", `${percent(report.event_f1)} %`],
    ["Weakest class", weakest.length ? `${named}, ${percent(lowest)} %` : "–"],
  ];
  if (report.clips) parts.push(["Most frequent confusion", describeConfusion(report.clips.models[0])]);
  byId("verdict-list").append(
    ...parts.map(([name, text]) => element("div", {}, element("dt", {}, name), element("dd", {}, text))),
  );
  const where = report.clips ? `, on the validation clips of ${report.clips.dataset}` : "";
  byId("verdict-note").textContent =
    `Best run: ${report.shown_title}${where}. F1 is the mean over the classes. Created on ${report.date}.`;
  byId("settings-table").append(
    ...report.settings.map(([name, value]) =>
      element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, value)),
    ),
  );
}

/** Name the pair of classes that were taken for each other most often. */
function describeConfusion(model) {
  const { labels } = report.clips;
  let most = { count: 0 };
  labels.forEach((missed, row) => {
    labels.forEach((predicted, column) => {
      const count = model.confusion[row][column];
      if (row !== column && count > most.count) most = { count, missed, predicted };
    });
  });
  if (!most.count) return "no class taken for another";
  return most.count > 1 ? `${most.missed} taken for ${most.predicted}, ${most.count} times` : "no pair twice";
}

/** Return the results table as CSV, with quotes where a cell needs them. */
function resultsCsv() {
  const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const rows = [["run", ...report.columns], ...report.rows.map((row) => [row.numbers, ...row.cells])];
  return rows.map((cells) => `${cells.map((cell) => quoted(String(cell))).join(",")}\n`).join("");
}

// --- Results table ----------------------------------------------------------------------------------

const TEXT_COLUMNS = 3; // training, iteration, clips; the scores follow

function showResults() {
  const own = report.rows.filter((row) => row.numbers);
  byId("seeds-note").hidden = !own.some((row) => row.runs.length);
  const top = report.columns.map((_, column) =>
    Math.max(...own.map((row) => parseFloat(row.cells[column]) || 0)),
  );
  const header = ["run", ...report.columns].map((name, column) =>
    element("th", { scope: "col", class: column < 2 ? "text" : "" }, name),
  );
  const body = element("tbody");
  for (const row of report.rows) {
    const line = resultLine(row, top);
    body.append(line);
    if (!row.runs.length) continue;
    const singles = row.runs.map((run) => resultLine(run, []));
    const text = (shown) => `${shown ? "▾" : "▸"} ${row.numbers}`;
    const button = element(
      "button",
      { type: "button", "aria-expanded": "false", title: "Show or hide the single runs" },
      text(false),
    );
    button.addEventListener("click", () => {
      const shown = button.getAttribute("aria-expanded") === "false";
      button.setAttribute("aria-expanded", String(shown));
      button.textContent = text(shown);
      for (const single of singles) single.hidden = !shown;
    });
    line.firstElementChild.replaceChildren(button);
    for (const single of singles) {
      single.hidden = true;
      single.classList.add("single");
    }
    body.append(...singles);
  }
  byId("results-table").append(element("thead", {}, element("tr", {}, ...header)), body);
  byId("download").href = `data:text/csv;charset=utf-8,${encodeURIComponent(resultsCsv())}`;
}

/** Make a line of the table; scores equal to those in `top`, by column, are the best ones. */
function resultLine(row, top) {
  const [title, ...scores] = row.cells;
  const [detailName, ...details] = row.details;
  const withDetail = (cell, detail) => {
    if (detail) cell.append(element("small", {}, detail));
    return cell;
  };
  const name = element("th", { scope: "row" }, title);
  if (row.is_best) name.append(element("span", { class: "mark" }, row.runs.length ? " ★ best mean" : " ★ best"));
  const cells = scores.map((text, index) => {
    const column = index + 1;
    const isTop =
      column >= TEXT_COLUMNS && top[column] > 0 && row.numbers && parseFloat(text) === top[column];
    const score = isTop ? element("span", { class: "top" }, text) : text;
    return withDetail(element("td", { "data-column": report.columns[column] }, score), details[index]);
  });
  return element(
    "tr",
    row.is_best ? { class: "best" } : {},
    element("td", { class: "text", "data-column": "run" }, row.numbers),
    withDetail(name, detailName),
    ...cells,
  );
}

// --- Training curves --------------------------------------------------------------------------------

// Okabe and Ito's palette without its yellow. Runs also differ in their markers, and have their number at the line's end.
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "currentColor"];
const SHAPES = [
  "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z",
  "M-3.6,-3.6h7.2v7.2h-7.2z",
  "M0,-4.8L4.6,3.4H-4.6z",
  "M0,-5L5,0L0,5L-5,0z",
  "M0,4.8L4.6,-3.4H-4.6z",
  "M-1.4,-4.5h2.8v3.1h3.1v2.8h-3.1v3.1h-2.8v-3.1h-3.1v-2.8h3.1z",
];
const DASHES = { validation: "", teacher: "7 4", training: "2 3" };
const PANEL_HEIGHT = 230,
  MARGIN = { left: 44, right: 26, top: 10, bottom: 26 };
const NUMBER_HEIGHT = 12; // px between two runs' numbers
const hiddenRuns = new Set();

/** Runs that differ only in their seed share a colour. */
function runColour(run) {
  return COLOURS[report.run_groups[run - 1] % COLOURS.length];
}

function marker(run, x, y) {
  return svgElement("path", {
    d: SHAPES[(run - 1) % SHAPES.length],
    transform: `translate(${x},${y})`,
    fill: runColour(run),
  });
}

function showLegend() {
  for (const [index, title] of report.run_titles.entries()) {
    const run = index + 1;
    const box = element("input", { type: "checkbox" });
    box.checked = true;
    box.addEventListener("change", () => {
      if (box.checked) hiddenRuns.delete(run);
      else hiddenRuns.add(run);
      showPanels();
    });
    const line = svgElement("path", { d: "M0,8H30", stroke: runColour(run), "stroke-width": 2 });
    const swatch = svgElement(
      "svg",
      { width: 30, height: 16, "aria-hidden": "true" },
      line,
      marker(run, 15, 8),
    );
    byId("legend").append(element("li", {}, element("label", {}, box, swatch, `${run}. ${title}`)));
  }
  const kinds = new Set(report.panels.flatMap((panel) => panel.curves.map((curve) => curve.kind)));
  const teacher = kinds.has("teacher") ? ", dashed: validation with the teacher's weights" : "";
  byId("curve-styles").textContent =
    `Over iterations. Solid: validation clips${teacher}, dotted: training clips. The number at a line's end is the run's.`;
}

/** Return tick values of the vertical axis: quarters for scores; 1, 2 and 5 times powers of ten for the loss. */
function valueTicks(panel, low, high) {
  if (panel.is_score) return [0, 0.25, 0.5, 0.75, 1];
  const powers = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    for (const factor of [1, 2, 5]) powers.push(factor * 10 ** power);
  }
  return powers.filter((value) => value >= low && value <= high);
}

function iterationTicks(last, width) {
  const rough = last / Math.max(2, Math.floor(width / 90));
  const power = 10 ** Math.floor(Math.log10(Math.max(rough, 1)));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((value) => value >= rough);
  return Array.from({ length: Math.floor(last / step) + 1 }, (_, index) => index * step);
}

function drawPanel(panel, width) {
  const usable = (curve) =>
    curve.points.filter(([, value]) => value !== null && (panel.is_score || value > 0));
  const curves = panel.curves
    .filter((curve) => !hiddenRuns.has(curve.run))
    .map((curve) => ({ ...curve, points: usable(curve) }));
  const points = curves.flatMap((curve) => curve.points);
  const picture = svgElement("svg", {
    viewBox: `0 0 ${width} ${PANEL_HEIGHT}`,
    height: PANEL_HEIGHT,
    role: "img",
    "aria-label": panel.title,
  });
  if (!points.length) {
    picture.append(svgElement("text", { x: MARGIN.left, y: PANEL_HEIGHT / 2 }, "No values yet."));
    return picture;
  }
  const last = Math.max(...points.map(([iteration]) => iteration));
  const values = points.map(([, value]) => value);
  const low = panel.is_score ? 0 : Math.min(...values),
    high = panel.is_score ? 1 : Math.max(...values);
  const scale = panel.is_score ? (value) => value : Math.log;
  const range = scale(high) - scale(low) || 1;
  const innerWidth = width - MARGIN.left - MARGIN.right,
    innerHeight = PANEL_HEIGHT - MARGIN.top - MARGIN.bottom;
  const x = (iteration) => MARGIN.left + (iteration / last) * innerWidth;
  const y = (value) => MARGIN.top + (1 - (scale(value) - scale(low)) / range) * innerHeight;

  const shownValue = (value) => (panel.is_score ? percent(value) : `${+value.toPrecision(2)}`);

  for (const value of valueTicks(panel, low, high)) {
    picture.append(
      svgElement("line", {
        class: "grid",
        x1: MARGIN.left,
        x2: width - MARGIN.right,
        y1: y(value),
        y2: y(value),
      }),
    );
    const text = panel.is_score ? `${100 * value}` : shownValue(value);
    picture.append(svgElement("text", { x: MARGIN.left - 6, y: y(value) + 4, "text-anchor": "end" }, text));
  }
  for (const iteration of iterationTicks(last, innerWidth)) {
    picture.append(
      svgElement(
        "text",
        { x: x(iteration), y: PANEL_HEIGHT - 6, "text-anchor": "middle" },
        String(iteration),
      ),
    );
  }
  for (const curve of curves) {
    const line = curve.points
      .map(([iteration, value], index) => `${index ? "L" : "M"}${x(iteration)},${y(value)}`)
      .join("");
    const dash = panel.is_score ? DASHES[curve.kind] : "";
    picture.append(
      svgElement("path", {
        d: line,
        fill: "none",
        stroke: runColour(curve.run),
        "stroke-width": 2,
        "stroke-dasharray": dash,
      }),
    );
    for (const [iteration, value] of panel.is_score || curve.points.length === 1 ? curve.points : []) {
      const mark = marker(curve.run, x(iteration), y(value));
      mark.append(
        svgElement("title", {}, `Run ${curve.run}, ${curve.kind}, iteration ${iteration}: ${shownValue(value)}`),
      );
      picture.append(mark);
    }
  }
  picture.append(...runNumbers(curves, panel.is_score, x, y));
  return picture;
}

/** Return the runs' numbers at the ends of their lines, moved apart where they would overlap. */
function runNumbers(curves, isScore, x, y) {
  const numbered = curves.filter((curve) => curve.points.length && (!isScore || curve.kind === "validation"));
  const ends = numbered.map((curve) => {
    const [iteration, value] = curve.points[curve.points.length - 1];
    return { run: curve.run, x: x(iteration) + 8, y: y(value) + 4 };
  });
  ends.sort((a, b) => a.y - b.y);
  for (let index = 1; index < ends.length; index++)
    ends[index].y = Math.max(ends[index].y, ends[index - 1].y + NUMBER_HEIGHT);
  let limit = PANEL_HEIGHT - MARGIN.bottom + 4;
  for (let index = ends.length - 1; index >= 0; index--) {
    ends[index].y = Math.min(ends[index].y, limit);
    limit = ends[index].y - NUMBER_HEIGHT;
  }
  return ends.map((end) => svgElement("text", { class: "number", x: end.x, y: end.y }, String(end.run)));
}

function showPanels() {
  const panels = byId("panels");
  panels.replaceChildren(
    ...report.panels.map((panel) => {
      const unit = panel.is_score ? " (%)" : " (logarithmic)";
      return element("div", { class: "panel" }, element("h3", {}, panel.title + unit));
    }),
  );
  const width = panels.firstElementChild.clientWidth;
  for (const [index, panel] of report.panels.entries())
    panels.children[index].append(drawPanel(panel, width));
}

// --- Scores of each class ---------------------------------------------------------------------------

function barLine(name, value, style) {
  const bar = element("div", { class: `bar ${style}` });
  bar.style.width = `${100 * (value ?? 0)}%`;
  return element(
    "div",
    { class: "bar-line", title: name },
    element("div", { class: "track" }, bar),
    element("span", {}, percent(value)),
  );
}

function showClassScores(model) {
  byId("class-bars").replaceChildren(
    ...report.class_labels.map((label, index) =>
      element(
        "div",
        { class: "class-row" },
        element("div", { class: "class-name" }, label),
        element(
          "div",
          {},
          barLine("event F1", model.event_f1[index], "event-bar"),
          barLine(`segment F1 (${report.segment_name})`, model.segment_f1[index], "segment-bar"),
        ),
      ),
    ),
  );
}

function showClasses() {
  const choice = byId("class-model");
  for (const [index, model] of report.class_scores.entries())
    choice.append(element("option", { value: index }, model.title));
  choice.addEventListener("change", () => showClassScores(report.class_scores[choice.value]));
  byId("class-keys").append(
    element("span", {}, element("span", { class: "swatch event-bar" }), "event F1 (%)"),
    element(
      "span",
      {},
      element("span", { class: "swatch segment-bar" }),
      `segment F1 (%), segments of ${report.segment_name}`,
    ),
    element("span", {}, "–: no event of the class in the reference"),
  );
  showClassScores(report.class_scores[0]);
}

// --- Errors -----------------------------------------------------------------------------------------

const CORRECT = "correct",
  WRONG_BOUNDARY = "wrong boundary",
  MISSED = "missed",
  FALSE = "false";
const VERDICTS = {
  [CORRECT]: {
    style: "correct",
    sign: "✓",
    meaning:
      "a reference event and a predicted event of its class match within the tolerances. As many pairs as possible are matched, each event at most once.",
  },
  [WRONG_BOUNDARY]: {
    style: "wrong-boundary",
    sign: "≈",
    meaning:
      "a reference or predicted event without a match that overlaps an event of its class on the other side.",
  },
  [MISSED]: {
    style: "missed",
    sign: "?",
    meaning: "a reference event that no predicted event of its class overlaps.",
  },
  [FALSE]: {
    style: "false",
    sign: "×",
    meaning: "a predicted event that overlaps no reference event of its class.",
  },
};
const REFERENCE_VERDICTS = [CORRECT, WRONG_BOUNDARY, MISSED],
  PREDICTED_VERDICTS = [CORRECT, WRONG_BOUNDARY, FALSE];

function swatch(verdict) {
  const { style, sign } = VERDICTS[verdict];
  return element(
    "span",
    { class: `swatch ${style}`, "aria-hidden": "true" },
    element("span", { class: "sign" }, sign),
  );
}

function showVerdictTable(model) {
  const groups = element(
    "tr",
    {},
    element("td", {}),
    element(
      "th",
      { scope: "colgroup", colspan: REFERENCE_VERDICTS.length + 1, class: "group first" },
      "reference",
    ),
    element(
      "th",
      { scope: "colgroup", colspan: PREDICTED_VERDICTS.length + 1, class: "group first" },
      "predicted",
    ),
  );
  const names = ["all", ...REFERENCE_VERDICTS, "all", ...PREDICTED_VERDICTS];
  const first = (column) => (column % (REFERENCE_VERDICTS.length + 1) === 0 ? { class: "first" } : {});
  const header = element(
    "tr",
    {},
    element("th", { scope: "col", class: "text" }, "class"),
    ...names.map((name, column) => element("th", { scope: "col", ...first(column) }, name)),
  );
  const total = Array(names.length).fill(0);
  const rows = report.clips.labels.map((label) => {
    const reference = REFERENCE_VERDICTS.map((verdict) => model.reference_verdicts[label][verdict]);
    const predicted = PREDICTED_VERDICTS.map((verdict) => model.predicted_verdicts[label][verdict]);
    const sum = (counts) => counts.reduce((a, b) => a + b, 0);
    const counts = [sum(reference), ...reference, sum(predicted), ...predicted];
    counts.forEach((count, column) => {
      total[column] += count;
    });
    return countRow(label, counts, first);
  });
  byId("verdict-table").replaceChildren(
    element("thead", {}, groups, header),
    element("tbody", {}, ...rows),
    element("tfoot", {}, countRow("all", total, first)),
  );
}

function countRow(label, counts, attributes) {
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, label),
    ...counts.map((count, column) => element("td", attributes(column), String(count))),
  );
}

function showConfusion(model) {
  const names = [...report.clips.labels, "nothing"];
  const most = Math.max(1, ...model.confusion.flat());
  const style = (name, index) => (index === names.length - 1 ? `${name} nothing` : name);
  const header = element(
    "tr",
    {},
    element("td", { class: "corner" }, "false →", element("br"), "missed ↓"),
    ...names.map((name, index) =>
      element("th", { scope: "col", class: style("turned", index) }, element("span", {}, name)),
    ),
  );
  const rows = model.confusion.map((counts, row) =>
    element(
      "tr",
      {},
      element("th", { scope: "row", class: style("text", row) }, names[row]),
      ...counts.map((count, column) => {
        const cell = element(
          "td",
          { title: `${names[row]} missed, ${names[column]} false: ${count}` },
          count ? String(count) : "",
        );
        if (count)
          cell.style.background = `color-mix(in srgb, var(--accent) ${Math.round(8 + (47 * count) / most)}%, transparent)`;
        return cell;
      }),
    ),
  );
  byId("confusion-table").replaceChildren(element("thead", {}, header), element("tbody", {}, ...rows));
}

/** Say what the verdicts mean; `showErrorsOf` counts them. */
function explainErrors(clips) {
  byId("clips-judged").textContent = clips.clips_judged;
  byId("tolerance").textContent =
    `Events match when their onsets differ by at most ${clips.onset_collar} s, and their offsets by at most ` +
    `${clips.onset_collar} s or ${Math.round(100 * clips.offset_collar_fraction)} % of the reference event's ` +
    "length, whichever is more. These are the tolerances of the event F1, whose true positives are the correct events.";
  for (const [verdict, { meaning }] of Object.entries(VERDICTS)) {
    byId("verdicts").append(element("dt", {}, swatch(verdict), verdict), element("dd", {}, meaning));
  }
}

function showErrorsOf(model) {
  byId("errors-model").textContent = model.title;
  showVerdictTable(model);
  showConfusion(model);
}

// --- Clips: filters and list ------------------------------------------------------------------------

const ANY = "",
  NONE = "";
const ERROR_FILTERS = [
  [ANY, "all clips"],
  ["errors", "any error"],
  [MISSED, "missed events"],
  [FALSE, "false events"],
  [WRONG_BOUNDARY, "wrong boundaries"],
  ["none", "no errors"],
];
const SORTS = {
  "F1, lowest first": (a, b) => f1(a) - f1(b),
  "F1, highest first": (a, b) => f1(b) - f1(a),
  name: () => 0,
};
const F1_DIFFERENCE = "F1 of A and B, most different first"; // a further order, where there is a run B
const NAMES = ["A", "B"]; // of the shown runs
let shown = [], // the models whose events are shown: one, or two side by side
  listed = [],
  current = null;

/** Return what a model found in a clip; by default the one that the list is about. */
function found(clip, model = shown[0]) {
  return model.clips[report.clips.clips.indexOf(clip)];
}

function f1(clip) {
  return found(clip).f1;
}

function f1Difference(clip) {
  return Math.abs(f1(clip) - found(clip, shown[1]).f1);
}

function judgedReference(clip, model) {
  const verdicts = found(clip, model).reference_verdicts;
  return clip.reference.map((event, index) => ({ event, verdict: verdicts[index] }));
}

function judgedEvents(clip, model) {
  return [...judgedReference(clip, model), ...found(clip, model).predicted];
}

/** Return a text for each shown model, after its name where there are two. */
function ofShown(text) {
  return shown.map((model, index) => (shown.length > 1 ? `${NAMES[index]}: ${text(model)}` : text(model)));
}

/** Tell whether the clip has an event of that class and an error of that kind, both of the same class. */
function passes(clip, label, error) {
  const events = judgedEvents(clip).filter((judged) => label === ANY || judged.event.label === label);
  if (label !== ANY && !events.length) return false;
  if (error === ANY) return true;
  if (error === "errors") return events.some((judged) => judged.verdict !== CORRECT);
  if (error === "none") return events.every((judged) => judged.verdict === CORRECT);
  return events.some((judged) => judged.verdict === error);
}

function countVerdicts(judgedList, verdict) {
  return judgedList.filter((judged) => judged.verdict === verdict).length;
}

/** Return such as "1 missed event" or "2 wrong boundaries". */
function describeCount(count, verdict) {
  if (verdict === WRONG_BOUNDARY) return `${count} wrong ${count > 1 ? "boundaries" : "boundary"}`;
  return `${count} ${verdict} event${count > 1 ? "s" : ""}`;
}

/** Summarize a clip's errors. Wrong boundaries are on both sides: the side that has more of them counts. */
function errorSummary(clip, model) {
  const sides = [judgedReference(clip, model), found(clip, model).predicted];
  const counts = [MISSED, FALSE, WRONG_BOUNDARY].map((verdict) => [
    verdict,
    Math.max(...sides.map((side) => countVerdicts(side, verdict))),
  ]);
  const parts = counts.filter(([, count]) => count).map(([verdict, count]) => describeCount(count, verdict));
  if (parts.length) return parts.join(", ");
  return judgedEvents(clip, model).length ? "no errors" : "no events, none detected";
}

function clipOption(clip, index) {
  const f1Text = (model) => `F1 ${Math.round(100 * found(clip, model).f1)} %`;
  const summaries = ofShown((model) =>
    (shown.length > 1 ? [f1Text(model)] : []).concat(errorSummary(clip, model)).join(", "),
  );
  return element(
    "li",
    { role: "option", id: `clip-option-${index}`, class: "clip-option", "data-clip": clip.name },
    element(
      "div",
      { class: "name" },
      element("span", { title: clip.name }, clip.name),
      ...(shown.length > 1 ? [] : [element("span", {}, f1Text(shown[0]))]),
    ),
    ...summaries.map((text) => element("small", {}, text)),
  );
}

function showList() {
  const label = byId("filter-class").value,
    error = byId("filter-error").value;
  const order = SORTS[byId("sort").value] ?? ((a, b) => f1Difference(b) - f1Difference(a));
  listed = report.clips.clips.filter((clip) => passes(clip, label, error)).sort(order);
  byId("clip-list").replaceChildren(...listed.map(clipOption));
  byId("clip-count").textContent = `${listed.length} of ${plural(report.clips.clips.length, "clip")}`;
  byId("no-clip").hidden = listed.length > 0;
  byId("clip").hidden = listed.length === 0;
  byId("clip-list").hidden = listed.length === 0;
  if (listed.length) choose(Math.max(0, listed.indexOf(current)));
  else byId("player").pause();
}

function choose(index) {
  if (index < 0 || index >= listed.length) return;
  const list = byId("clip-list");
  for (const option of list.querySelectorAll("[aria-selected]")) option.removeAttribute("aria-selected");
  const option = list.children[index];
  option.setAttribute("aria-selected", "true");
  list.setAttribute("aria-activedescendant", option.id);
  const top = option.offsetTop - list.offsetTop;
  if (top < list.scrollTop) list.scrollTop = top;
  else if (top + option.offsetHeight > list.scrollTop + list.clientHeight)
    list.scrollTop = top + option.offsetHeight - list.clientHeight;
  byId("previous").disabled = index === 0;
  byId("next").disabled = index === listed.length - 1;
  if (listed[index] !== current) showClip(listed[index]);
}

function step(by) {
  choose(listed.indexOf(current) + by);
}

// --- Clips: one clip --------------------------------------------------------------------------------

function fraction(seconds) {
  return Math.min(1, seconds / report.clips.clip_seconds);
}

function showClip(clip) {
  current = clip;
  byId("clip-name").textContent = clip.name;
  byId("spectrogram-image").src = clip.spectrogram;
  byId("spectrogram-image").alt = `Log-mel spectrogram of ${clip.name}`;
  stopAt = null;
  byId("player").src = clip.audio;
  showEvents(clip);
  moveCursor(0);
}

/** Show what the reference has in a clip, and what the shown models found in it. */
function showEvents(clip) {
  const summaries = ofShown((model) => {
    const { f1, predicted } = found(clip, model);
    return `F1 ${percent(f1)} %, ${plural(predicted.length, "predicted event")}; ${errorSummary(clip, model)}`;
  });
  byId("clip-summary").replaceChildren(
    plural(clip.reference.length, "reference event"),
    ...summaries.map((text) => element("div", {}, text)),
  );
  byId("event-line").textContent = "";
  showLanes(clip);
}

let stopAt = null; // s, where a chosen event ends

function seek(seconds) {
  stopAt = null;
  byId("player").currentTime = seconds;
  moveCursor(seconds);
}

function playEvent(event) {
  seek(event.onset);
  stopAt = event.offset;
  start(byId("player"));
}

/** Make the button of an event that got these verdicts: one, or two where two models are shown. */
function eventButton(side, event, verdicts) {
  const agree = new Set(verdicts).size === 1;
  const words = agree ? verdicts[0] : verdicts.map((verdict, index) => `${verdict} in ${NAMES[index]}`).join(", ");
  const style = agree ? VERDICTS[verdicts[0]].style : "differing";
  const signs = (agree ? verdicts.slice(0, 1) : verdicts).map((verdict) => VERDICTS[verdict].sign);
  const text = `${side} ${event.label}, ${event.onset.toFixed(2)} to ${event.offset.toFixed(2)} s: ${words}`;
  const button = element(
    "button",
    { type: "button", class: `event ${style}`, title: text, "aria-label": text },
    element("span", { class: "sign" }, signs.join(" ")),
  );
  button.style.left = `${100 * fraction(event.onset)}%`;
  button.style.width = `${100 * (fraction(event.offset) - fraction(event.onset))}%`;
  button.addEventListener("click", () => {
    for (const other of document.querySelectorAll(".event.chosen")) other.classList.remove("chosen");
    button.classList.add("chosen");
    byId("event-line").textContent = text;
    playEvent(event);
  });
  return button;
}

/** Make a line of buttons from pairs of an event and its verdicts. */
function strip(side, style, judged) {
  const inTime = judged.sort(([a], [b]) => a.onset - b.onset);
  return element(
    "div",
    { class: `strip ${style}` },
    ...inTime.map(([event, verdicts]) => eventButton(side, event, verdicts)),
  );
}

function referenceStrip(clip, label) {
  const judged = clip.reference.map((event, index) => [
    event,
    shown.map((model) => found(clip, model).reference_verdicts[index]),
  ]);
  return strip("Reference", "reference", judged.filter(([event]) => event.label === label));
}

function predictedStrip(clip, label, model, name) {
  const judged = found(clip, model).predicted.filter(({ event }) => event.label === label);
  return strip(name, "predicted", judged.map(({ event, verdict }) => [event, [verdict]]));
}

/** Draw the frame probabilities of a class, a step for each of the model's outputs. */
function probabilityCurve(text, thresholds) {
  const values = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const height = 255;
  let path = `M0,${height}`;
  values.forEach((value, index) => {
    path += `V${height - value}H${index + 1}`;
  });
  const picture = svgElement(
    "svg",
    {
      class: "curve",
      viewBox: `0 0 ${values.length} ${height}`,
      preserveAspectRatio: "none",
      "aria-hidden": "true",
    },
    svgElement("path", { class: "area", d: `${path}V${height}Z` }),
  );
  for (const threshold of thresholds.frames) {
    const y = height * (1 - threshold);
    picture.append(svgElement("line", { class: "threshold", x1: 0, x2: values.length, y1: y, y2: y }));
  }
  return picture;
}

function clipProbability(probability, thresholds) {
  const threshold = thresholds.clip;
  const below =
    threshold !== null && probability <= threshold
      ? `, not above the threshold ${+(100 * threshold).toFixed(1)} %`
      : "";
  return `clip probability ${percent(probability)} %${below}`;
}

/** Make what is shown of a class: its reference events; of each shown model its events and probabilities. */
function lane(clip, index, label) {
  const names = ["Reference"],
    rows = [referenceStrip(clip, label)];
  for (const [place, model] of shown.entries()) {
    const name = shown.length > 1 ? `Run ${NAMES[place]}` : "Predicted";
    names.push(name);
    rows.push(predictedStrip(clip, label, model, shown.length > 1 ? `${name}:` : name));
    if (!hasProbabilities(model)) continue;
    names.push("Probability");
    rows.push(probabilityCurve(found(clip, model).frame_probabilities[index], model.thresholds[index]));
  }
  const clipwise = ofShown((model) =>
    hasProbabilities(model)
      ? clipProbability(found(clip, model).clip_probabilities[index], model.thresholds[index])
      : "no probabilities",
  );
  return element(
    "div",
    { class: "lane", "data-label": label },
    element(
      "div",
      { class: "lane-name" },
      label,
      ...(shown.some(hasProbabilities) ? clipwise.map((text) => element("small", {}, text)) : []),
    ),
    element(
      "div",
      { class: "row" },
      element("div", { class: "row-label", "aria-hidden": "true" }, ...names.map((name) => element("span", { class: name }, name))),
      element("div", { class: "plot" }, ...rows),
    ),
  );
}

function showLanes(clip) {
  const judged = shown.flatMap((model) => judgedEvents(clip, model));
  const inEvents = new Set(judged.map(({ event }) => event.label));
  const all = byId("all-classes").checked;
  const lanes = [...report.clips.labels.entries()]
    .filter(([, label]) => all || inEvents.has(label))
    .map(([index, label]) => lane(clip, index, label));
  byId("lanes").replaceChildren(...lanes);
}

function moveCursor(seconds) {
  byId("cursor").style.left = `${100 * fraction(seconds)}%`;
  byId("cursor").hidden = seconds === 0;
}

function followPlayer() {
  const player = byId("player");
  moveCursor(player.currentTime);
  if (stopAt !== null && player.currentTime >= stopAt) {
    stopAt = null;
    player.pause();
  }
  if (!player.paused) requestAnimationFrame(followPlayer);
}

function showAxes() {
  for (const [frequency, height] of report.clips.frequency_ticks) {
    const text = frequency < 1000 ? `${frequency} Hz` : `${frequency / 1000} kHz`;
    const tick = element("span", { class: "frequency" }, text);
    tick.style.bottom = `${100 * height}%`;
    byId("frequencies").append(tick);
  }
  showTimes(0, report.clips.clip_seconds, 5, (seconds) => `${+seconds.toFixed(1)} s`);
}

function hasProbabilities(model) {
  return model.clips.some((clip) => clip.frame_probabilities.length);
}

function describeProbabilities(model) {
  if (!hasProbabilities(model))
    return "There is no checkpoint of that iteration, so frame probabilities are not shown.";
  const texts = model.thresholds.map(({ frames }) =>
    frames.map((value) => `${+(100 * value).toFixed(1)} %`).join(" and "),
  );
  const thresholds = texts.every((text) => text === texts[0]) ? texts[0] : "different for each class";
  return `Probability: of each frame, 0 to 100 %.${thresholds ? ` Dashed: thresholds, ${thresholds}.` : ""}`;
}

function showEventKeys() {
  const keys = Object.keys(VERDICTS).map((verdict) => element("li", {}, swatch(verdict), verdict));
  const differing = element(
    "li",
    {},
    element("span", { class: "swatch differing", "aria-hidden": "true" }, element("span", { class: "sign" }, "✓ ?")),
    "in the reference: the runs differ, A's sign first",
  );
  const texts = new Set(shown.map(describeProbabilities));
  const notes = (texts.size > 1 ? ofShown(describeProbabilities) : [...texts]).map((text) =>
    element("li", { class: "note" }, text),
  );
  byId("event-keys").replaceChildren(...keys, ...(shown.length > 1 ? [differing] : []), ...notes);
}

// --- Clips: the shown runs --------------------------------------------------------------------------

/** Offer the models as run A and run B; only where there are several, there is a run B. */
function offerRuns() {
  const options = report.clips.models.map((model, index) => {
    const text = `${model.number}. Event F1 ${percent(model.event_f1)} %: ${model.title}`;
    return element("option", { value: index }, text);
  });
  byId("run-a").append(...options);
  byId("run-b").append(element("option", { value: NONE }, "none"), ...options.map((one) => one.cloneNode(true)));
  byId("run-b").parentNode.hidden = options.length < 2;
  for (const choice of [byId("run-a"), byId("run-b")])
    choice.addEventListener("change", (event) => {
      event.stopPropagation();
      showRuns();
    });
}

/** Show the events and errors of the chosen runs. */
function showRuns() {
  const chosen = [byId("run-a"), byId("run-b")].map((choice) => choice.value);
  shown = chosen.filter((value) => value !== NONE).map((value) => report.clips.models[value]);
  const orders = Object.keys(SORTS).concat(shown.length > 1 ? [F1_DIFFERENCE] : []);
  const order = byId("sort").value;
  byId("sort").replaceChildren(...orders.map((name) => element("option", {}, name)));
  byId("sort").value = orders.includes(order) ? order : orders[0];
  const before = current;
  showList();
  if (current === before) showEvents(current);
  showEventKeys();
  showErrorsOf(shown[0]);
}

// --- Clips: mouse and keyboard ----------------------------------------------------------------------

function togglePlay() {
  const player = byId("player");
  stopAt = null;
  if (player.paused) start(player);
  else player.pause();
}

/** Tell whether a key is for the clip browser: elsewhere, with no clip in sight, keys keep their meaning. */
function isForClips(target) {
  const box = byId("stage").getBoundingClientRect();
  const inSight = box.top < window.innerHeight && box.bottom > 0;
  return !byId("clip").hidden && (inSight || byId("clips").contains(target));
}

function onKey(event) {
  const target = event.target;
  if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || !isForClips(target)) return;
  if (target.closest("select, input, audio, .scroll")) return;
  const steps = { ArrowRight: 1, j: 1, ArrowLeft: -1, k: -1 };
  if (target.id === "clip-list") Object.assign(steps, { ArrowDown: 1, ArrowUp: -1 });
  if (event.key in steps) step(steps[event.key]);
  else if (event.key === " " && !target.closest("button:not(.event), a")) togglePlay();
  else return;
  event.preventDefault();
}

function addListeners() {
  byId("filters").addEventListener("change", showList);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("clip-list").addEventListener("click", (event) => {
    const option = event.target.closest(".clip-option");
    if (option) choose([...option.parentNode.children].indexOf(option));
  });
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  byId("all-classes").addEventListener("change", () => showLanes(current));
  byId("spectrogram").addEventListener("click", (event) => {
    const box = byId("spectrogram").getBoundingClientRect();
    seek(((event.clientX - box.left) / box.width) * report.clips.clip_seconds);
  });
  const player = byId("player");
  for (const name of ["play", "pause", "seeked", "timeupdate"]) player.addEventListener(name, followPlayer);
  document.addEventListener("keydown", onKey);
  // Releasing the space bar would click the button; on an event, pressing it has started the player already.
  document.addEventListener("keyup", (event) => {
    if (event.key === " " && event.target.closest(".event")) event.preventDefault();
  });
}

function showClips(clips) {
  const choice =
    clips.clips.length < clips.clips_judged
      ? `${clips.clips.length} of the ${clips.clips_judged} validation clips, evenly spaced from the lowest to the highest F1 of ${report.shown_title}.`
      : "All validation clips.";
  const runs =
    clips.models.length > 1
      ? ` A run can be chosen, and a second one beside it; the filters, the order and the errors below are run A's.`
      : "";
  const others = report.class_scores.length - clips.models.length;
  const leftOut = others ? ` The clips are without ${plural(others, "other run")} of the results.` : "";
  byId("clip-choice").textContent = choice + runs + leftOut;
  byId("filter-class").append(
    element("option", { value: ANY }, "all classes"),
    ...clips.labels.map((label) => element("option", {}, label)),
  );
  byId("filter-error").append(...ERROR_FILTERS.map(([value, text]) => element("option", { value }, text)));
  showAxes();
  addListeners();
  offerRuns();
  showRuns();
}

// --- The page ---------------------------------------------------------------------------------------

showVerdict();
showResults();
showLegend();
showPanels();
window.addEventListener("resize", showPanels);
showClasses();
if (report.clips) {
  explainErrors(report.clips);
  showClips(report.clips);
} else {
  for (const part of document.querySelectorAll(".needs-clips")) {
    part.replaceChildren(
      element(
        "p",
        { class: "note" },
        "Not shown: this page was made without the data set. Run utils/report.py with --dataset_dir.",
      ),
    );
  }
}
