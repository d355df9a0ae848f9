// Elements, formats and colours. Text of a person is only ever put in as text: nothing here takes markup.

const NOTHING = "–";

function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style")
      for (const [key, setting] of Object.entries(value)) element.style.setProperty(key, setting);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  for (const child of children.flat(Infinity)) {
    if (child != null && child !== false) element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

function fill(element, ...children) {
  element.replaceChildren(
    ...children
      .flat(Infinity)
      .filter((c) => c != null && c !== false)
      .map((c) => (c instanceof Node ? c : String(c))),
  );
  return element;
}

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const sum = (values) => values.reduce((a, b) => a + b, 0);
// Of as many as there are: spread into arguments, a hundred thousand are too many for Math.max.
const largest = (values) => values.reduce((a, b) => Math.max(a, b), -Infinity);
const smallest = (values) => values.reduce((a, b) => Math.min(a, b), Infinity);
const mean = (values) => (values.length ? sum(values) / values.length : null);

function quantile(sorted, share) {
  if (!sorted.length) return null;
  const place = (sorted.length - 1) * share,
    low = Math.floor(place);
  return sorted[low] + (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]) * (place - low);
}

const median = (values) =>
  quantile(
    [...values].sort((a, b) => a - b),
    0.5,
  );

function groupBy(items, key) {
  const found = new Map();
  for (const item of items) {
    const name = key(item);
    if (!found.has(name)) found.set(name, []);
    found.get(name).push(item);
  }
  return found;
}

// Formats: short, in one unit, as everywhere else in the program (optimizer/views/formats.py).

const count = (n, noun, plural = `${noun}s`) => `${n.toLocaleString("en")} ${n === 1 ? noun : plural}`;

function decimals(value, significant) {
  const leading = value ? Math.floor(Math.log10(Math.abs(value))) : 0;
  return clamp(significant - 1 - leading - (leading < 0 && significant > 2 ? 1 : 0), 0, 8);
}

const isPlain = (value) => value === 0 || (Math.abs(value) >= 1e-5 && Math.abs(value) < 1e9);

// As many digits as its standard error warrants: 0.97365 ± 0.00051.
function scoreText(value, error = null, withError = true) {
  if (value == null) return NOTHING;
  if (!isPlain(value)) return value.toPrecision(4);
  if (error == null || error <= 0 || !isPlain(error)) return value.toFixed(decimals(value, 6));
  const digits = decimals(error, 2);
  return withError ? `${value.toFixed(digits)} ± ${error.toFixed(digits)}` : value.toFixed(digits);
}

function span(seconds) {
  if (seconds == null) return NOTHING;
  if (seconds < 0.995) return seconds < 0.00095 ? "0 s" : `${+seconds.toPrecision(2)} s`;
  if (seconds < 99.5) return seconds < 9.95 ? `${seconds.toFixed(1)} s` : `${seconds.toFixed(0)} s`;
  if (seconds / 60 < 100) return `${(seconds / 60).toFixed(1)} min`;
  return seconds / 3600 < 100 ? `${(seconds / 3600).toFixed(1)} h` : `${(seconds / 86400).toFixed(1)} d`;
}

function memory(megabytes) {
  if (megabytes == null) return NOTHING;
  return megabytes < 999.5 ? `${megabytes.toFixed(0)} MB` : `${(megabytes / 1024).toFixed(1)} GB`;
}

const percent = (share, digits = 0) => (share == null ? NOTHING : `${(100 * share).toFixed(digits)} %`);

function clock(seconds, { date = true } = {}) {
  if (seconds == null) return NOTHING;
  const d = new Date(seconds * 1000),
    two = (n) => String(n).padStart(2, "0");
  const time = `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
  return date ? `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${time}` : time;
}

function valueText(value) {
  if (value == null) return NOTHING;
  if (typeof value === "number") {
    if (Number.isInteger(value)) return String(value);
    return Math.abs(value) >= 1e-3 && Math.abs(value) < 1e6 ? String(+value.toPrecision(5)) : value.toExponential(2);
  }
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

// Colours: told apart by most eyes (Okabe and Ito, and neighbours of theirs), the same family the same everywhere.

const PALETTE = {
  light:
    "#0072b2 #d55e00 #009e73 #cc79a7 #b58900 #56b4e9 #8a6fd1 #7a8b3a #e0719a #4a7f8c #a8653a #6d7f99 #c0392b #2f9e9e",
  dark: "#4ba3e3 #f0803c #2fc193 #e39bc4 #d9ab2b #7fccf5 #ac97ee #a3b65c #f08fb0 #74aebd #d08f63 #98a9c4 #ee6f62 #52c4c4",
};

const palette = () => PALETTE[isDark() ? "dark" : "light"].split(" ");
const colourAt = (place) => palette()[Math.max(0, place) % palette().length];
const colourOf = (family) => colourAt(state.families.indexOf(family));

function familyMark(family) {
  return el("span", { class: "family" }, el("i", { class: "dot", style: { background: colourOf(family) } }), family);
}

function download(name, text, type = "text/csv") {
  const link = el("a", {
    href: URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` })),
    download: name,
  });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// Text that a spreadsheet would take for a formula is shown as it is (optimizer/views/tables.py).
function csvCell(value) {
  if (value == null) return "";
  let text = typeof value === "object" ? JSON.stringify(value) : String(value);
  if (typeof value === "string" && /^[=+\-@\t\r\n\0]/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const csv = (head, rows) => [head, ...rows].map((row) => row.map(csvCell).join(",")).join("\n") + "\n";

function empty(title, text) {
  return el("div", { class: "empty" }, el("strong", {}, title), text ? el("p", {}, text) : null);
}

// Small tables without sorting: head is a list of names, a name that begins with ">" is of a column of numbers.
function smallTable(head, rows, attributes = {}) {
  const right = head.map((name) => String(name).startsWith(">"));
  const cell = (tag, content, i) => el(tag, { class: right[i] ? "number" : null }, content);
  return el(
    "div",
    { class: "scroll" },
    el(
      "table",
      { class: "plain", ...attributes },
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          head.map((name, i) => cell("th", String(name).replace(/^>/, ""), i)),
        ),
      ),
      el(
        "tbody",
        {},
        rows.map((row) =>
          el(
            "tr",
            {},
            row.map((content, i) => cell("td", content, i)),
          ),
        ),
      ),
    ),
  );
}

function card(title, note, ...content) {
  return el(
    "section",
    { class: "card" },
    el("header", {}, el("h2", {}, title), note ? el("p", { class: "note" }, note) : null),
    ...content,
  );
}

// Code of a library lies in the page compressed; it is unpacked and run when it is needed first.
const loading = {};

function library(id, ready) {
  loading[id] ??= (async () => {
    if (ready()) return;
    const packed = Uint8Array.from(atob(document.getElementById(id).textContent.trim()), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    if (!ready()) throw new Error(`${id} did not start`);
  })();
  return loading[id];
}
