"use strict";

// --- Small helpers ----------------------------------------------------------------------------------

const SVG = "http://www.w3.org/2000/svg";

function byId(id) {
  return document.getElementById(id);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Make an HTML element; children are elements or texts. */
function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function svgElement(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function percent(value) {
  return value === null ? "–" : (100 * value).toFixed(1);
}

function plural(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

// --- Times --------------------------------------------------------------------------------------------

const ROUND_SECONDS = [
  0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400,
];
const AXIS_EDGE = 0.02; // of the axis: a label as near to its end as this stays inside

/** Put labels at round times, at most so many steps, on the axis from `start` to `end`, in s. */
function showTimes(start, end, steps, textOf) {
  const step = ROUND_SECONDS.find((seconds) => (end - start) / seconds <= steps) ?? ROUND_SECONDS.at(-1);
  const first = Math.ceil(start / step - 1e-6),
    last = Math.floor(end / step + 1e-6);
  const ticks = Array.from({ length: last - first + 1 }, (_, index) => {
    const seconds = (first + index) * step;
    const place = (seconds - start) / (end - start);
    const tick = element("span", {}, textOf(seconds, step));
    tick.style.left = `${100 * place}%`;
    tick.style.transform = `translateX(${place < AXIS_EDGE ? 0 : place > 1 - AXIS_EDGE ? -100 : -50}%)`;
    return tick;
  });
  byId("time-axis").replaceChildren(...ticks);
}

/** Let a player play; that it is stopped before it has begun is no error. */
function start(player) {
  player.play().catch((error) => {
    if (error.name !== "AbortError") throw error;
  });
}

