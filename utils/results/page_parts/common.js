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

/** Let a player play; that it is stopped before it has begun is no error. */
function start(player) {
  player.play().catch((error) => {
    if (error.name !== "AbortError") throw error;
  });
}

