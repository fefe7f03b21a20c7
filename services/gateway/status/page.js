// Reads the gateway's own JSON every two seconds while the page is visible, and shows it. Names come from users: they
// reach the page as text only, never as markup.

import { added, common, grown, grownEach, key, quantile, weighed } from "./numbers.js";

const EVERY_MS = 2000;
const LOOKS = 6; // rates are those of this many looks: ten seconds
const STATE_EVERY = 5; // what policies have learned is read at every fifth look
const POINTS = 60;
const MOST = 1000; // entities of a kind that are shown

const looks = [];
const curves = new Map();
const states = new Map();
let timer = 0;
let turn = 0;

document.addEventListener("visibilitychange", () => {
  clearTimeout(timer);
  if (document.hidden) {
    looks.length = 0; // nobody has looked meanwhile: rates begin anew
  } else {
    void look();
  }
});
void look();

async function look() {
  clearTimeout(timer);
  try {
    const [stats, applications, models, versions, replicas, instances] = await Promise.all([
      read("/status/stats"),
      list("/v1/applications", "applications"),
      list("/v1/models", "models"),
      list("/v1/versions", "model_versions"),
      list("/v1/replicas", "replicas"),
      list("/v1/instances", "instances"),
    ]);
    if (turn++ % STATE_EVERY === 0) await learn(applications);
    looks.push({ at: performance.now(), frontends: stats.frontends });
    if (looks.length > LOOKS) looks.shift();
    show({ applications, models, versions, replicas, instances }, live());
    say(`Live · ${new Date().toLocaleTimeString()}`, false);
  } catch (error) {
    say(`No answer: ${error.message}. Trying again …`, true);
  }
  if (!document.hidden) timer = setTimeout(look, EVERY_MS);
}

async function read(path) {
  const response = await fetch(path, { signal: AbortSignal.timeout(10000), cache: "no-store" });
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.cause ?? body.message ?? `${path} was answered with ${response.status}`);
  return body;
}

async function list(path, field) {
  return (await read(`${path}?page_size=${MOST}`))[field] ?? [];
}

/** Reads what policies have learned; one that cannot be read is shown without. */
async function learn(applications) {
  states.clear();
  await Promise.all(applications.map(async ({ name, links, selection_policy: policy }) => {
    if (!policy?.name || ["static", "ensemble"].includes(policy.name) || links.length === 0) return;
    try {
      states.set(name, await read(`/v1/applications/${encodeURIComponent(name)}/selectionState`));
    } catch {
      states.delete(name);
    }
  }));
}

/** The oldest look that is kept beside the newest one. */
function live() {
  const first = looks[0];
  const last = looks[looks.length - 1];
  return {
    seconds: (last.at - first.at) / 1000,
    now: added(last.frontends),
    after: added(common(last.frontends, first.frontends)),
    before: added(common(first.frontends, last.frontends)),
  };
}

function show({ applications, models, versions, replicas, instances }, seen) {
  const rate = (number) => (seen.seconds > 0 ? number / seen.seconds : null);
  const rows = applications.map((each) => application(each, seen, rate));
  const queries = rows.reduce((sum, row) => sum + (row.rate ?? 0), 0);
  totals({
    "Queries/s": seen.seconds > 0 ? amount(queries) : "…",
    Applications: applications.length,
    Models: models.length,
    Replicas: replicas.length,
    Frontends: new Set(instances.filter((each) => each.kind === "KIND_FRONTEND").map((each) => each.address)).size,
    Cache: bytes(seen.now.cacheBytes),
  });
  table("applications", "No application is registered: clipperctl app register",
    ["Application", "#Queries/s", "#Last 2 minutes", "#p50", "#p99", "#Objective", "#Missed", "Why", "Models"], rows.map((row) => row.cells));
  table("models", "No model is deployed: clipperctl model deploy",
    ["Model", "Replicas", "#Inputs/s", "#Inputs/batch", "#Batch p99", "#Waiting", "#From cache", "Errors"],
    models.flatMap((each) => ofModel(each, versions, replicas, seen, rate)));
  table("processes", "Nobody has registered.", ["Process", "Address", "Build", "Since"], instances.map((each) => [
    { text: each.kind.replace("KIND_", "").toLowerCase(), note: each.instance_id },
    { text: each.address }, { text: each.build }, { text: moment(each.create_time) },
  ]));
}

function application(each, seen, rate) {
  const after = seen.after.applications.get(each.name);
  const before = seen.before.applications.get(each.name);
  const answers = after ? grown(after.answers, before?.answers) : 0;
  const defaults = after ? grownEach(after.defaults, before?.defaults) : [];
  const errors = after ? grownEach(after.errors, before?.errors) : [];
  const missed = sum(defaults) + (after ? grown(after.failures, before?.failures) : 0); // answers that were no prediction
  const share = answers > 0 ? missed / answers : 0;
  const p50 = after ? quantile(after.latency, before?.latency, 0.5) : null;
  const p99 = after ? quantile(after.latency, before?.latency, 0.99) : null;
  const objective = seconds(each.latency_objective) * 1e6;
  const perSecond = rate(answers);
  const curve = curves.get(each.name) ?? [];
  curves.set(each.name, curve);
  if (perSecond !== null) curve.push(perSecond);
  if (curve.length > POINTS) curve.shift();
  const policy = each.selection_policy?.name || "static";
  const state = states.get(each.name);
  const shadows = each.links.filter((link) => link.shadow).map((link) => link.model);
  const notes = [policy === "static" ? "" : `policy ${policy}`, state ? `${state.observation_count} outcomes learned` : "",
    shadows.length ? `shadows: ${shadows.join(", ")}` : ""].filter(Boolean).join(" · ");
  return {
    rate: perSecond,
    cells: [
      { text: each.name, note: each.input_type.replace("INPUT_TYPE_", "").toLowerCase() },
      { text: perSecond === null ? "…" : amount(perSecond) },
      { node: sparkline(curve), none: curve.length < 2 },
      { text: time(p50), none: p50 === null },
      { text: time(p99), kind: p99 !== null && p99 > objective ? "bad" : "", none: p99 === null },
      { text: time(objective) },
      { text: percent(share), kind: share > 0.01 ? "bad" : share > 0 ? "warn" : "", none: answers === 0 },
      { node: counts([...defaults, ...errors]), none: defaults.length + errors.length === 0 },
      each.links.length
        ? { node: weights(weighed(each.links, state?.state), each.links.length > 1), note: notes }
        : { text: "no model is linked", kind: "bad", note: "clipperctl link" },
    ],
  };
}

function ofModel(model, versions, replicas, seen, rate) {
  const own = versions.filter((each) => each.model === model.name);
  return own.filter((each) => shown(each, model, replicas)).map((each) => {
    const name = key(model.name, each.version);
    const now = seen.now.models.get(name);
    const after = seen.after.models.get(name);
    const before = seen.before.models.get(name);
    const running = replicas.filter((one) => one.model === model.name && one.version === each.version);
    const down = now?.down ?? 0;
    const isLive = each.version === model.current_version || each.version === model.canary_version;
    const p99 = after ? quantile(after.batches, before?.batches, 0.99) : null;
    const batches = after ? grown(after.batchCount, before?.batchCount) : 0;
    const lookups = after ? grown(after.lookups, before?.lookups) : 0;
    const errors = after ? grownEach(after.errors, before?.errors) : [];
    const perSecond = after ? rate(grown(after.predictions, before?.predictions)) : null;
    const role = each.version === model.current_version ? "current"
      : each.version === model.canary_version ? `on trial, ${percent(model.canary_share)}` : "staged or old";
    const kind = isLive && running.length === 0 ? "bad" : down > 0 ? "warn" : "good";
    return [
      { text: name, note: role },
      { text: down > 0 ? `${running.length}, ${down} down` : `${running.length}`, kind, note: running.slice(0, 8).map((one) => one.address).join(", ") },
      { text: perSecond === null ? "…" : amount(perSecond) },
      { text: batches > 0 ? ((grown(after.rows, before?.rows)) / batches).toFixed(1) : "–", none: batches === 0 },
      { text: time(p99), none: p99 === null },
      { text: amount(now?.queue ?? 0), none: !now },
      { text: lookups > 0 ? percent(grown(after.hits, before?.hits) / lookups) : "–", none: lookups === 0 },
      { node: counts(errors), none: errors.length === 0 },
    ];
  });
}

/** Versions that matter now: those that are live, staged, or have replicas. */
function shown(each, model, replicas) {
  return each.version === model.current_version || each.version === model.canary_version
    || replicas.some((one) => one.model === model.name && one.version === each.version);
}

// The page

function say(text, isBad) {
  const state = document.getElementById("state");
  state.textContent = text;
  state.className = isBad ? "bad" : "";
}

function totals(values) {
  document.getElementById("totals").replaceChildren(...Object.entries(values).map(([name, value]) => {
    const box = document.createElement("div");
    box.append(element("dt", name), element("dd", String(value)));
    return box;
  }));
}

/** Fills a place with a table; headings of numbers begin with #. A cell has text or a node, a note, a kind; none: "–". */
function table(id, empty, headings, rows) {
  const place = document.getElementById(id);
  if (rows.length === 0) {
    place.replaceChildren(element("p", empty, "empty"));
    return;
  }
  const made = document.createElement("table");
  const head = made.createTHead().insertRow();
  for (const heading of headings) {
    const cell = element("th", heading.replace("#", ""), heading.startsWith("#") ? "number" : "");
    cell.scope = "col";
    head.append(cell);
  }
  const body = made.createTBody();
  for (const cells of rows) {
    const row = body.insertRow();
    cells.forEach((cell, at) => {
      const kinds = [headings[at].startsWith("#") ? "number" : "", cell.kind ?? "", cell.none ? "none" : ""];
      const made = element(at === 0 ? "th" : "td", "", kinds.filter(Boolean).join(" "));
      if (at === 0) made.scope = "row";
      made.dataset.label = headings[at].replace("#", "");
      const content = document.createElement("div");
      content.append(cell.none ? "–" : cell.node ?? cell.text ?? "");
      if (cell.note) content.append(element("small", cell.note));
      made.append(content);
      row.append(made);
    });
  }
  place.replaceChildren(made);
}

function element(tag, text, kind = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function counts(pairs) {
  const made = document.createElement("ul");
  for (const [name, number] of pairs) made.append(element("li", `${name} ${amount(number)}`));
  return made;
}

function weights(rows, withBars) {
  const made = element("div", "", withBars ? "weights" : "");
  for (const { model, part, words } of rows) {
    made.append(element(withBars ? "span" : "div", model, "model"));
    if (withBars) {
      const bar = drawing("0 0 100 10");
      bar.append(drawn("rect", { width: 100, height: 10, rx: 2 }));
      bar.append(drawn("rect", { width: 100 * Math.min(1, Math.max(0, part)), height: 10, rx: 2, class: "full" }));
      made.append(bar, element("span", words));
    }
  }
  return made;
}

function sparkline(values) {
  const made = drawing("0 0 100 26");
  const most = Math.max(...values, 1e-9);
  const points = values.map((value, at) => `${((100 * at) / Math.max(1, values.length - 1)).toFixed(1)},${(25 - (24 * value) / most).toFixed(1)}`);
  made.append(drawn("polyline", { points: points.join(" ") }));
  return made;
}

function drawing(box) {
  return drawn("svg", { viewBox: box, preserveAspectRatio: "none", "aria-hidden": "true" });
}

function drawn(tag, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

// Words

function sum(pairs) {
  return pairs.reduce((total, [, number]) => total + number, 0);
}

function amount(number) {
  return number.toLocaleString("en", { maximumFractionDigits: number < 10 ? 1 : 0 });
}

function percent(share) {
  return `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;
}

function bytes(number) {
  return number < 1e6 ? `${amount(number / 1e3)} kB` : `${amount(number / 1e6)} MB`;
}

function time(us) {
  if (us === null) return "–";
  if (us < 1000) return `${us.toFixed(0)} µs`;
  return us < 1e6 ? `${amount(us / 1000)} ms` : `${amount(us / 1e6)} s`;
}

/** Seconds of a duration in JSON: "0.100s". */
function seconds(duration) {
  return Number.parseFloat(duration ?? "0") || 0;
}

function moment(iso) {
  const date = new Date(iso ?? NaN);
  return Number.isNaN(date.getTime()) ? "–" : date.toLocaleString();
}
