// The words of `optimizer leaderboard --where` (optimizer/views/filters.py), and a score's range, for the filter box.

const CONDITION = /^\s*([A-Za-z0-9_.]+)\s*(!=|<=|>=|=|<|>|~)\s*(.*?)\s*$/s;
const ORDERS = { "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b };

// A field or a parameter of a row; undefined where it has none of this name.
function valueOf(row, name) {
  if (state.fields.includes(name)) return name === "folds" ? row.fold_scores.length : row[name];
  return row.params[name];
}

function asNumber(text) {
  const trimmed = text.trim().replaceAll("_", "");
  if (/^[+-]?(inf|infinity)$/i.test(trimmed)) return trimmed.startsWith("-") ? -Infinity : Infinity;
  return trimmed !== "" && /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(trimmed) ? Number(trimmed) : null;
}

const isNumber = (value) => typeof value === "number" || typeof value === "boolean";

// As Python writes a value, so that a condition means the same here and there.
function pythonText(value) {
  if (value === true) return "True";
  if (value === false) return "False";
  const size = Math.abs(value);
  if (typeof value !== "number" || size === 0 || (size >= 1e-4 && size < 1e16)) return String(value);
  return value.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
}

function oneCondition(word, names) {
  const found = CONDITION.exec(word);
  if (!found) throw new Error(`“${word.trim()}” is no condition; try: score > 0.97, family = xgboost`);
  const [, name, sign, text] = found;
  if (!names.has(name)) {
    const near = nearest(name, names);
    throw new Error(`no trial has “${name}”` + (near ? `; did you mean “${near}”?` : ""));
  }
  const number = asNumber(text);
  if (sign in ORDERS && number === null) throw new Error(`“${word.trim()}”: ${sign} compares numbers`);
  return (row) => {
    const value = valueOf(row, name);
    if (value == null) return false;
    if (sign === "~") return pythonText(value).toLowerCase().includes(text.toLowerCase());
    if (sign in ORDERS) return isNumber(value) && ORDERS[sign](Number(value), number);
    const same = number !== null && isNumber(value) ? Number(value) === number : pythonText(value) === text;
    return same === (sign === "=");
  };
}

// Conditions are joined by commas or by the word "and"; all must hold. What is followed by none belongs to a value.
const JOINT = /(?:,|\s+and\s+)(?=\s*[A-Za-z0-9_.]+\s*(?:!=|<=|>=|[=<>~])|\s*$)/i;

function conditions(text) {
  const words = text.split(JOINT).filter((word) => word.trim());
  if (!words.length) return null;
  const names = new Set([...state.fields, ...state.paramNames]);
  const tests = words.map((word) => oneCondition(word, names));
  return (row) => tests.every((test) => test(row));
}

function nearest(word, names) {
  let best = null,
    least = Math.max(2, Math.floor(word.length * 0.4)) + 1;
  for (const name of names) {
    const away = distance(word.toLowerCase(), name.toLowerCase());
    if (away < least) [best, least] = [name, away];
  }
  return best;
}

function distance(a, b) {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(next[j - 1] + 1, row[j] + 1, row[j - 1] + (a[i - 1] !== b[j - 1]));
    }
    row = next;
  }
  return row[b.length];
}
