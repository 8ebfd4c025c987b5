// The data of the page; see utils/results/recording_page.py. Strings in it are inserted as text only, never as HTML.
const recording = JSON.parse(document.getElementById("report-data").textContent);
const events = recording.events.map(([onset, offset, label, score], index) => ({ onset, offset, label, score, index }));

const SHORTEST_VIEW = 1; // s
const ZOOM = 2;
const LISTED = 300; // events in the list, at most
const BINS = 36; // of the overview, at most
const BIN_SECONDS = ROUND_SECONDS.filter((seconds) => seconds >= 1);
const EVENT_PART = 0.4; // of a lane's height; the rest is for the probabilities
const CLICK_PIXELS = 4; // that the mouse may move in a click
const SECONDS_PER_HOUR = 3600;
const RATE_SECONDS = 600; // of a recording, at least, for events per hour to mean anything

let view = { start: 0, end: recording.seconds };
let chosen = null; // an event
let leastScore = 0;

function clock(seconds, decimals = 0) {
  const shown = Number(seconds.toFixed(decimals));
  const hours = Math.floor(shown / 3600),
    minutes = Math.floor((shown % 3600) / 60);
  const rest = (shown % 60).toFixed(decimals).padStart(decimals ? decimals + 3 : 2, "0");
  return recording.seconds >= SECONDS_PER_HOUR
    ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}`
    : `${minutes}:${rest}`;
}

function shownEvents() {
  return events.filter((event) => event.score >= leastScore);
}

function eventText(event) {
  const times = `${clock(event.onset, 2)} to ${clock(event.offset, 2)}`;
  return `${times} ${recording.labels[event.label]}, score ${event.score.toFixed(2)}`;
}

// --- Overview -----------------------------------------------------------------------------------------

function totalsOf(label) {
  const own = shownEvents().filter((event) => event.label === label);
  const seconds = own.reduce((sum, event) => sum + event.offset - event.onset, 0);
  return { label, own, seconds, rate: (own.length * SECONDS_PER_HOUR) / recording.seconds };
}

function showOverview() {
  const binSeconds =
    BIN_SECONDS.find((seconds) => recording.seconds / seconds <= BINS) ?? BIN_SECONDS[BIN_SECONDS.length - 1];
  const count = Math.max(1, Math.ceil(recording.seconds / binSeconds));
  const totals = recording.labels
    .map((_, label) => totalsOf(label))
    .filter((one) => one.own.length)
    .sort((a, b) => b.seconds - a.seconds);
  const bins = totals.map((one) => {
    const numbers = Array(count).fill(0);
    for (const event of one.own) {
      const last = Math.min(count, Math.max(Math.ceil(event.offset / binSeconds), Math.floor(event.onset / binSeconds) + 1));
      for (let bin = Math.floor(event.onset / binSeconds); bin < last; bin += 1) numbers[bin] += 1;
    }
    return numbers;
  });
  const most = Math.max(1, ...bins.flat());
  const hasRate = recording.seconds >= RATE_SECONDS;
  const rows = totals.map((one, row) =>
    element(
      "tr",
      { "data-label": recording.labels[one.label] },
      element("th", { scope: "row" }, recording.labels[one.label]),
      element("td", {}, String(one.own.length)),
      element("td", { class: "seconds" }, one.seconds.toFixed(1)),
      ...(hasRate ? [element("td", {}, one.rate < 10 ? one.rate.toFixed(1) : String(Math.round(one.rate)))] : []),
      element(
        "td",
        { class: "strip-cell" },
        element(
          "div",
          { class: "hours" },
          ...bins[row].map((number, bin) => binButton(one.label, number, bin, binSeconds, most)),
        ),
      ),
    ),
  );
  const heads = ["class", "events", "seconds", ...(hasRate ? ["per hour"] : []), "from start to end"];
  byId("overview-table").replaceChildren(
    element(
      "thead",
      {},
      element("tr", {}, ...heads.map((text, i) => element("th", { scope: "col", class: i === 2 ? "seconds" : "" }, text))),
    ),
    element("tbody", {}, ...rows),
  );
  byId("summary").textContent =
    `${plural(shownEvents().length, "event")} (${totals.length} of ${recording.labels.length} classes) in ` +
    `${clock(recording.seconds)}, detected by ${recording.detected_by}.`;
  byId("overview-note").textContent = totals.length
    ? `Each field stands for ${describeSeconds(binSeconds)}, the darker the more events are in it; a click shows it below.`
    : "No events.";
}

function describeSeconds(seconds) {
  if (seconds >= SECONDS_PER_HOUR) return plural(seconds / SECONDS_PER_HOUR, "hour");
  return seconds >= 60 ? plural(seconds / 60, "minute") : plural(seconds, "second");
}

function binButton(label, number, bin, binSeconds, most) {
  const start = bin * binSeconds,
    end = Math.min(recording.seconds, start + binSeconds);
  const text = `${recording.labels[label]}: ${plural(number, "event")} from ${clock(start)} to ${clock(end)}`;
  const button = element("button", { type: "button", title: text, "aria-label": text, tabindex: number ? 0 : -1 });
  if (number)
    button.style.background = `color-mix(in srgb, var(--accent) ${Math.round(15 + (85 * number) / most)}%, transparent)`;
  button.addEventListener("click", () => {
    setView(start, end);
    byId("recording").scrollIntoView();
  });
  return button;
}

// --- Sound --------------------------------------------------------------------------------------------

// Two players: while one plays a piece of the sound, the other one loads the next.
const players = [new Audio(), new Audio()];
let playing = players[0],
  piece = -1, // that it plays
  position = 0, // s, from the recording's start
  stopAt = null;
const soundSeconds = Math.min(recording.seconds, recording.sounds.length * recording.chunk_seconds);

function load(player, index) {
  if (player.dataset.piece === String(index)) return;
  player.dataset.piece = index;
  player.src = `data:audio/mpeg;base64,${recording.sounds[index]}`;
}

function playFrom(seconds, end = null) {
  seek(seconds);
  stopAt = end;
  if (position < soundSeconds) start(playing);
  showTime();
}

function seek(seconds) {
  const wasPlaying = !playing.paused;
  playing.pause();
  position = Math.max(0, Math.min(seconds, recording.seconds));
  stopAt = null;
  if (position < soundSeconds) {
    piece = Math.floor(position / recording.chunk_seconds);
    playing = players[piece % 2];
    load(playing, piece);
    playing.currentTime = position - piece * recording.chunk_seconds;
    if (wasPlaying) start(playing);
  }
  showTime();
}

function toggle() {
  if (!playing.paused) playing.pause();
  else playFrom(position >= soundSeconds ? 0 : position);
}

function follow() {
  if (piece >= 0 && !playing.paused) {
    position = piece * recording.chunk_seconds + playing.currentTime;
    if (piece + 1 < recording.sounds.length) load(players[(piece + 1) % 2], piece + 1);
    if (stopAt !== null && position >= stopAt) playing.pause();
    if (position > view.end || position < view.start)
      setView(position, position + view.end - view.start);
  }
  showTime();
  if (!playing.paused) requestAnimationFrame(follow);
}

function onEnded() {
  if (piece + 1 < recording.sounds.length) {
    const end = stopAt;
    piece += 1;
    playing = players[piece % 2];
    load(playing, piece);
    playing.currentTime = 0;
    stopAt = end;
    start(playing);
  }
}

function showTime() {
  byId("time").textContent = `${clock(position, 1)} / ${clock(recording.seconds)}`;
  byId("play").textContent = playing.paused ? "▶ Play" : "❚❚ Pause";
  const place = (position - view.start) / (view.end - view.start);
  byId("cursor").style.left = `${100 * place}%`;
  byId("cursor").hidden = place < 0 || place > 1 || position === 0;
}

// --- View ---------------------------------------------------------------------------------------------

function setView(start, end) {
  const length = Math.min(recording.seconds, Math.max(end - start, Math.min(SHORTEST_VIEW, recording.seconds)));
  const first = Math.max(0, Math.min(start, recording.seconds - length));
  view = { start: first, end: first + length };
  draw();
}

function zoom(factor, around = (view.start + view.end) / 2) {
  setView(around - (around - view.start) * factor, around + (view.end - around) * factor);
}

function move(part) {
  const shift = part * (view.end - view.start);
  setView(view.start + shift, view.end + shift);
}

function choose(event) {
  chosen = event;
  if (event.onset < view.start || event.offset > view.end) {
    const length = Math.max(view.end - view.start, 1.5 * (event.offset - event.onset));
    const middle = (event.onset + event.offset) / 2;
    setView(middle - length / 2, middle + length / 2);
  } else draw();
  byId("event-line").textContent = eventText(event);
  playFrom(event.onset, event.offset);
}

function stepEvent(by) {
  const all = shownEvents();
  if (!all.length) return;
  const place = chosen ? all.indexOf(chosen) : -1;
  let next = place + by;
  if (place < 0) next = Math.max(0, all.findIndex((event) => event.onset >= view.start));
  if (next >= 0 && next < all.length) choose(all[next]);
}

// --- Drawing ------------------------------------------------------------------------------------------

const tiles = recording.tiles.map((source) => {
  const image = new Image();
  image.addEventListener("load", scheduleDraw);
  image.src = source;
  return image;
});
const steps = recording.probabilities.map((text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
let isScheduled = false;

function scheduleDraw() {
  if (isScheduled) return;
  isScheduled = true;
  requestAnimationFrame(() => {
    isScheduled = false;
    draw();
  });
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Fit the canvas to its place on the screen; return its context, width and height, in CSS pixels. */
function prepared(canvas) {
  const { width, height } = canvas.getBoundingClientRect();
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  return { context, width, height };
}

function drawSpectrogram(canvas, start, end) {
  const { context, width, height } = prepared(canvas);
  const tileSeconds = recording.tile_columns * recording.seconds_per_column;
  const scale = width / (end - start);
  context.imageSmoothingEnabled = scale * recording.seconds_per_column < 1;
  tiles.forEach((image, index) => {
    const left = index * tileSeconds,
      right = left + image.naturalWidth * recording.seconds_per_column;
    if (!image.complete || !image.naturalWidth || right <= start || left >= end) return;
    const from = Math.max(left, start),
      to = Math.min(right, end);
    context.drawImage(
      image,
      (from - left) / recording.seconds_per_column,
      0,
      (to - from) / recording.seconds_per_column,
      image.naturalHeight,
      (from - start) * scale,
      0,
      (to - from) * scale,
      height,
    );
  });
  return { context, width, height };
}

function drawMap() {
  const { context, width, height } = drawSpectrogram(byId("map"), 0, recording.seconds);
  context.fillStyle = colour("--segment");
  for (const event of shownEvents()) {
    const left = (event.onset / recording.seconds) * width;
    context.fillRect(left, height - 5, Math.max(1, ((event.offset - event.onset) / recording.seconds) * width), 5);
  }
  const left = (view.start / recording.seconds) * width,
    right = (view.end / recording.seconds) * width;
  context.fillStyle = "rgba(255, 255, 255, 0.45)";
  context.fillRect(0, 0, left, height);
  context.fillRect(right, 0, width - right, height);
  context.strokeStyle = colour("--accent");
  context.lineWidth = 2;
  context.strokeRect(Math.max(1, left), 1, Math.max(3, right - left - 2), height - 2);
}

function shownLabels() {
  const withEvents = new Set(shownEvents().map((event) => event.label));
  const all = byId("all-classes").checked;
  return recording.labels.map((_, label) => label).filter((label) => all || withEvents.has(label));
}

function makeLanes() {
  const lanes = shownLabels().map((label) => {
    const canvas = element("canvas", { role: "img", "aria-label": `Events and probability of ${recording.labels[label]}` });
    const lane = element(
      "div",
      { class: "lane", "data-label": recording.labels[label] },
      element("div", { class: "lane-name" }, recording.labels[label]),
      element(
        "div",
        { class: "row" },
        element("div", { class: "row-label", "aria-hidden": "true" }, element("span", {}, "events"), element("span", {}, "probability")),
        element("div", { class: "plot" }, canvas),
      ),
    );
    addDragging(canvas, (seconds) => onLaneClick(label, seconds));
    return lane;
  });
  byId("lanes").replaceChildren(...lanes);
}

function drawLane(canvas, label) {
  const { context, width, height } = prepared(canvas);
  const scale = width / (view.end - view.start),
    eventHeight = Math.round(height * EVENT_PART);
  context.fillStyle = colour("--row");
  context.fillRect(0, 0, width, height);
  drawProbability(context, label, width, eventHeight + 3, height);
  const fill = colour("--event"),
    text = colour("--text");
  for (const event of shownEvents()) {
    if (event.label !== label || event.offset < view.start || event.onset > view.end) continue;
    const left = (event.onset - view.start) * scale;
    const length = Math.max(2, (event.offset - event.onset) * scale);
    context.globalAlpha = 0.35 + 0.65 * event.score;
    context.fillStyle = fill;
    context.fillRect(left, 0, length, eventHeight);
    context.globalAlpha = 1;
    if (event === chosen) {
      context.strokeStyle = text;
      context.lineWidth = 2;
      context.strokeRect(left + 1, 1, Math.max(2, length - 2), eventHeight - 2);
    }
  }
}

/** Draw the highest probability in each pixel's time, and the thresholds. */
function drawProbability(context, label, width, top, bottom) {
  const values = steps[label],
    height = bottom - top;
  const perPixel = (view.end - view.start) / width / recording.seconds_per_step;
  context.fillStyle = colour("--probability");
  for (let x = 0; x < width; x++) {
    const first = Math.floor(view.start / recording.seconds_per_step + x * perPixel);
    const after = Math.max(first + 1, Math.floor(view.start / recording.seconds_per_step + (x + 1) * perPixel));
    let highest = 0;
    for (let step = first; step < Math.min(after, values.length); step++) highest = Math.max(highest, values[step]);
    context.fillRect(x, bottom - (height * highest) / 255, 1, (height * highest) / 255);
  }
  context.strokeStyle = colour("--text");
  context.globalAlpha = 0.6;
  context.setLineDash([4, 4]);
  for (const threshold of recording.thresholds[label].frames) {
    context.beginPath();
    context.moveTo(0, bottom - height * threshold);
    context.lineTo(width, bottom - height * threshold);
    context.stroke();
  }
  context.setLineDash([]);
  context.globalAlpha = 1;
}

function drawAxis() {
  const steps = byId("time-axis").clientWidth < 500 ? 2 : 5;
  showTimes(view.start, view.end, steps, (seconds, step) => clock(seconds, step < 1 ? 1 : 0));
}

function draw() {
  drawSpectrogram(byId("spectrogram-canvas"), view.start, view.end);
  drawMap();
  const labels = shownLabels();
  [...byId("lanes").querySelectorAll("canvas")].forEach((canvas, row) => drawLane(canvas, labels[row]));
  drawAxis();
  showTime();
  showList();
}

function showList() {
  const inView = shownEvents().filter((event) => event.offset > view.start && event.onset < view.end);
  const listed = inView.slice(0, LISTED);
  byId("list-note").textContent =
    inView.length > LISTED
      ? `The first ${LISTED} of ${inView.length} events from ${clock(view.start)} to ${clock(view.end)}; zoom in to see the others.`
      : `${plural(inView.length, "event")} from ${clock(view.start)} to ${clock(view.end)}; a click plays one.`;
  const key = `${listed.map((event) => event.index)};${chosen?.index}`;
  if (byId("event-list").dataset.key === key) return;
  byId("event-list").dataset.key = key;
  byId("event-list").replaceChildren(
    ...listed.map((event) => {
      const button = element("button", { type: "button", "aria-current": String(event === chosen) }, eventText(event));
      button.addEventListener("click", () => choose(event));
      return element("li", {}, button);
    }),
  );
}

// --- Mouse and keyboard -------------------------------------------------------------------------------

function secondsAt(canvas, x) {
  const box = canvas.getBoundingClientRect();
  return view.start + ((x - box.left) / box.width) * (view.end - view.start);
}

/** Let a drag move the view, and a click do something with its time. */
function addDragging(canvas, onClick) {
  let from = null,
    before = null;
  canvas.addEventListener("pointerdown", (event) => {
    from = event.clientX;
    before = view;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (from === null || Math.abs(event.clientX - from) <= CLICK_PIXELS) return;
    const shift = ((from - event.clientX) / canvas.clientWidth) * (before.end - before.start);
    setView(before.start + shift, before.end + shift);
  });
  canvas.addEventListener("pointerup", (event) => {
    if (from !== null && Math.abs(event.clientX - from) <= CLICK_PIXELS) onClick(secondsAt(canvas, event.clientX));
    from = null;
  });
  canvas.addEventListener("pointercancel", () => {
    from = null;
  });
  canvas.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      zoom(event.deltaY > 0 ? 1.25 : 0.8, secondsAt(canvas, event.clientX));
    },
    { passive: false },
  );
}

function onLaneClick(label, seconds) {
  const slack = (2 * (view.end - view.start)) / byId("spectrogram-canvas").clientWidth;
  const hit = shownEvents().find(
    (event) => event.label === label && event.onset - slack <= seconds && seconds <= event.offset + slack,
  );
  if (hit) choose(hit);
  else playFrom(seconds);
}

function addMap() {
  const canvas = byId("map");
  let held = false;
  const center = (event) => {
    const box = canvas.getBoundingClientRect();
    const middle = ((event.clientX - box.left) / box.width) * recording.seconds;
    const half = (view.end - view.start) / 2;
    setView(middle - half, middle + half);
  };
  canvas.addEventListener("pointerdown", (event) => {
    held = true;
    canvas.setPointerCapture(event.pointerId);
    center(event);
  });
  canvas.addEventListener("pointermove", (event) => held && center(event));
  for (const name of ["pointerup", "pointercancel"])
    canvas.addEventListener(name, () => {
      held = false;
    });
}

const KEYS = {
  " ": toggle,
  ArrowLeft: () => move(-0.25),
  ArrowRight: () => move(0.25),
  "+": () => zoom(1 / ZOOM),
  "=": () => zoom(1 / ZOOM),
  "-": () => zoom(ZOOM),
  0: () => setView(0, recording.seconds),
  j: () => stepEvent(1),
  k: () => stepEvent(-1),
};

function onKey(event) {
  if (event.altKey || event.ctrlKey || event.metaKey || !(event.key in KEYS)) return;
  if (event.target.closest("input") || (event.key === " " && event.target.closest("button, a"))) return;
  KEYS[event.key]();
  event.preventDefault();
}

function addListeners() {
  const clicks = {
    play: toggle,
    earlier: KEYS.ArrowLeft,
    later: KEYS.ArrowRight,
    "zoom-in": KEYS["+"],
    "zoom-out": KEYS["-"],
    whole: KEYS[0],
    previous: KEYS.k,
    next: KEYS.j,
  };
  for (const [id, action] of Object.entries(clicks)) byId(id).addEventListener("click", action);
  for (const player of players) {
    for (const name of ["play", "pause", "seeked"]) player.addEventListener(name, follow);
    player.addEventListener("ended", onEnded);
  }
  addDragging(byId("spectrogram-canvas"), (seconds) => playFrom(seconds));
  addMap();
  byId("least-score").addEventListener("input", () => {
    leastScore = Number(byId("least-score").value);
    byId("least-score-text").textContent = leastScore.toFixed(2);
    showAll();
  });
  byId("all-classes").addEventListener("change", showAll);
  window.addEventListener("resize", scheduleDraw);
  document.addEventListener("keydown", onKey);
}

function showAll() {
  showOverview();
  makeLanes();
  draw();
}

function showFrequencies() {
  for (const [frequency, height] of recording.frequency_ticks) {
    const text = frequency < 1000 ? `${frequency} Hz` : `${frequency / 1000} kHz`;
    const tick = element("span", { class: "frequency" }, text);
    tick.style.bottom = `${100 * height}%`;
    byId("frequencies").append(tick);
  }
}

byId("sound-note").textContent =
  soundSeconds < recording.seconds
    ? `The page holds the sound of the first ${clock(soundSeconds)} only; recording_page_sound_megabytes in the configuration sets how much.`
    : "";
showFrequencies();
addListeners();
showAll();
