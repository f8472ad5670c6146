// The console. Every text goes into the page as text (`textContent`), never as markup; data comes from the APIs that every
// other client reads. No framework: five views of tables need none.
"use strict";

const REFRESH_MS = 2000, PLOT_MS = 10000;
const main = document.getElementById("main"), connection = document.getElementById("connection");
let generation = 0; // of the view: what was asked for an earlier one is dropped

function el(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === undefined || value === null) continue;
    if (key === "text") node.textContent = value;
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== undefined && child !== null));
  return node;
}

async function ask(path) {
  const response = await fetch(path, { headers: { accept: "application/json" } });
  const text = await response.text();
  let body;
  try { body = JSON.parse(text); } catch { body = { status: "error", error: text.trim() }; }
  return { ok: response.ok, status: response.status, body };
}

const dark = () => matchMedia("(prefers-color-scheme: dark)").matches;
const encoded = encodeURIComponent;
const labelText = (labels) => "{" + Object.entries(labels).map(([k, v]) => k + "=" + JSON.stringify(v)).join(", ") + "}";
const ago = (time) => seconds((Date.now() - Date.parse(time)) / 1000);
const clock = (time) => new Date(time).toISOString().slice(11, 23);

function seconds(s) {
  if (!isFinite(s)) return "";
  if (s < 1) return Math.max(0, Math.round(s * 1000)) + " ms";
  if (s < 90) return s.toFixed(s < 10 ? 1 : 0) + " s";
  if (s < 5400) return Math.round(s / 60) + " min";
  return (s / 3600).toFixed(1) + " h";
}

function bytes(n) {
  const units = ["B", "kB", "MB", "GB"];
  let at = 0;
  while (n >= 1000 && at < 3) { n /= 1000; at += 1; }
  return n.toFixed(at ? 1 : 0) + " " + units[at];
}

const stateCell = (state) => el("span", { class: "state " + state, text: state });

function shownValue(signal) {
  if (signal.elementCount !== undefined) return signal.elementCount === 0 ? "" : signal.value !== undefined ? signal.value : signal.elementCount + " values";
  const elements = signal.elements || [];
  if (elements.length === 0) return "";
  return elements.length === 1 ? elements[0].value : elements.length + " values";
}

// Columns of what is told below the name on a narrow screen, or not needed there.
const NOT_ON_PHONES = new Set(["Last read", "Why", "Release", "Role", "Flow control", "Took", "Every", "Share of its time", "Last error", "Labels"]);

function table(caption, heads, rows) {
  const head = el("tr", {}, ...heads.map((text) => el("th", { scope: "col", class: text === "15 minutes" ? "plot" : (caption === "Signals" || caption === "Gateways") && NOT_ON_PHONES.has(text) ? "wide-only" : "", text })));
  return el("div", { class: "wide" }, el("table", {}, el("caption", { class: "skip", text: caption }), el("thead", {}, head), el("tbody", {}, ...rows)));
}

// A plot that is asked for again while it is in sight; it keeps its place meanwhile.
function plot(parameters, alt, className) {
  const address = () => "./console/plot.svg?" + parameters + (dark() ? "&theme=dark" : "") + "&at=" + Math.floor(Date.now() / PLOT_MS);
  const image = el("img", { alt, class: className, loading: "lazy", src: address(), width: className ? 900 : 160, height: className ? 280 : 40 });
  image.refresh = () => { const next = address(); if (!image.src.endsWith(next.slice(1))) image.src = next; };
  return image;
}

// Rows keep their nodes from one refresh to the next: nothing moves, and the focus stays.
class Rows {
  constructor(body, make) { this.body = body; this.make = make; this.known = new Map(); }
  show(items, key, asOf) {
    const names = new Set();
    for (const item of items) {
      const name = key(item);
      names.add(name);
      let row = this.known.get(name);
      if (!row) { row = this.make(item); this.known.set(name, row); this.body.append(row.node); }
      row.update(item, asOf);
    }
    for (const [name, row] of this.known) if (!names.has(name)) { row.node.remove(); this.known.delete(name); }
  }
}

function setText(node, text) { if (node.textContent !== text) node.textContent = text; }

// Who asks for a metric of a rule: its number depends on that.
const askerText = (signal) => signal.asker ? [signal.asker.namespace, signal.asker.object, signal.asker.selector].filter(Boolean).join(", ") : "";
// Of a query that somebody asks about the signal has no name by which it could be plotted.
const plotted = (signal) => signal.asker || signal.name === signal.query ? "query=" + encoded(signal.query) : "signal=" + encoded(signal.name);

function signalRow(signal) {
  const link = el("a", { href: "#/signal/" + encoded(signal.name), text: signal.name });
  const asker = signal.asker ? el("div", { class: "faint", text: askerText(signal) }) : undefined;
  const state = el("span"), value = el("td", { class: "number" }), age = el("td", { class: "number" });
  const reader = el("td", { class: "text wide-only" }), reason = el("td", { class: "text wide-only" });
  const image = signal.query ? plot("small=1&" + plotted(signal), "", "") : { refresh() {} };
  // On a narrow screen the reason stands below the name: it is what is looked for.
  const below = el("div", { class: "below bad" });
  const node = el("tr", {}, el("td", { class: "text name" }, link, asker, below), el("td", {}, state), value, age, el("td", { class: "plot" }, ...(image.nodeType ? [image] : [])), reader, reason);
  return { node, update(now, asOf) {
    if (state.textContent !== now.state) { state.className = "state " + now.state; state.textContent = now.state; }
    setText(value, shownValue(now));
    setText(age, now.time ? seconds((Date.parse(asOf) - Date.parse(now.time)) / 1000) : "");
    setText(reader, now.lastRead ? ago(now.lastRead.time) + " ago: " + now.lastRead.told : "nobody yet");
    const why = [now.reason, ...(now.warnings || [])].filter(Boolean).join(" · ");
    setText(reason, why);
    setText(below, why);
    image.refresh();
  } };
}

// What the demonstration lets people do; on other servers it is nothing.
async function demoButtons(place) {
  const { ok, body } = await ask("./demo");
  if (!ok || !body.triggers.length) return;
  const said = el("p", { role: "status", class: "faint" });
  const buttons = body.triggers.map((trigger) => {
    const button = el("button", { type: "button", text: trigger.text });
    button.addEventListener("click", async () => {
      const done = await fetch("./demo/" + encoded(trigger.name), { method: "POST" });
      setText(said, done.ok ? trigger.text + ": done at " + clock(Date.now()) : "not done: " + await done.text());
    });
    return button;
  });
  place.replaceChildren(el("h2", { text: "Demonstration" }), el("div", { class: "row" }, ...buttons), said);
}

// What pages say of their gateways, by the labels of their targets: release, leader or standby, flow control on.
async function aboutGateways(targets) {
  const query = '{__name__=~"llm_d_epp_info|inference_extension_info|leader_election_master_status|.+_flow_control_pool_saturation"}';
  const { ok, body } = await ask("./api/v1/query?limit=5000&query=" + encoded(query));
  const found = new Map();
  if (!ok) return found;
  const byInstance = new Map(targets.map((target) => [target.labels.job + " " + target.labels.instance, labelText(target.labels)]));
  for (const { metric, value } of body.data.result) {
    const key = byInstance.get(metric.job + " " + metric.instance);
    if (!key) continue;
    const about = found.get(key) || {};
    found.set(key, about);
    if (metric.__name__.endsWith("_info")) about.release = metric.build_ref || metric.commit || "not said";
    else if (metric.__name__ === "leader_election_master_status") about.role = value[1] === "1" ? "leader" : "standby";
    else about.flowControl = true;
  }
  return found;
}

const VIEWS = {
  signals() {
    const body = el("tbody"), note = el("div");
    const shown = table("Signals", ["Signal", "State", "Value", "Age", "15 minutes", "Last read", "Why"], []);
    shown.querySelector("tbody").replaceWith(body);
    const demo = el("section");
    main.append(el("h2", { text: "Signals" }), shown, note, demo);
    demoButtons(demo).catch(() => {}); // no server to ask is told by the view itself
    const rows = new Rows(body, signalRow);
    return async () => {
      const { ok, body: answer } = await ask("./signals?brief=true");
      if (!ok) throw new Error(answer.error);
      rows.show(answer.signals, (signal) => signal.name + (signal.asker ? "\n" + signal.asker.api + "\n" + askerText(signal) : ""), answer.now);
      const parts = [];
      if (answer.signals.length === 0) parts.push(el("p", { text: "No signals are configured. They are listed under signals: in the configuration, or made of prometheus-adapter's rules." }));
      for (const refused of answer.guardedRefusals || []) parts.push(el("p", { class: "error text", text: "/guarded refused " + refused.query + ": " + refused.reason }));
      for (const warning of answer.warnings || []) parts.push(el("p", { class: "error text", text: typeof warning === "string" ? warning : JSON.stringify(warning) }));
      if ((answer.scaledObjects || []).length) {
        parts.push(el("h2", { text: "KEDA" }), table("ScaledObjects", ["ScaledObject", "Details"], answer.scaledObjects.map((one) =>
          el("tr", {}, el("td", { class: "text", text: (one.namespace ? one.namespace + "/" : "") + (one.name || "") }), el("td", { class: "text", text: JSON.stringify(one) })))));
      }
      note.replaceChildren(...parts);
    };
  },

  // One signal.
  signal(name) {
    const body = el("div");
    main.append(el("h2", { class: "text", text: name }), body, el("p", { class: "faint", text: "Orange: held. Red: unknown. Times are UTC." }));
    const make = (signal) => {
      const title = signal.asker ? el("h2", { class: "text", text: "Asked for by " + askerText(signal) + " (" + signal.asker.api + ")" }) : undefined;
      const summary = el("p"), reason = el("p", { class: "text" }), read = el("p", { class: "text faint" }), details = el("div");
      const image = signal.query ? plot(plotted(signal), "The last 15 minutes of " + name + ": a line for each value, bands where it was held (orange) or unknown (red)", "large") : undefined;
      const node = el("section", {}, title, summary, reason, read, image, details);
      return { node, update(now) {
        summary.replaceChildren(stateCell(now.state), " ", el("strong", { text: shownValue(now) }), " ", el("span", { class: "faint", text: now.kind + ". " + now.plan + (now.planReason ? " (" + now.planReason + ")." : ".") }));
        setText(reason, now.reason);
        setText(read, now.lastRead ? "Read " + ago(now.lastRead.time) + " ago: " + now.lastRead.told : "");
        if (image) image.refresh();
        details.replaceChildren(...signalDetails(now));
      } };
    };
    // A metric of a rule is several: one for each who asks.
    const sections = new Rows(body, make);
    return async () => {
      const { ok, body: answer } = await ask("./signals/" + encoded(name));
      if (!ok) throw new Error(answer.error || "there is no signal " + name);
      sections.show(answer.signals, (signal) => signal.asker ? signal.asker.api + "\n" + askerText(signal) : "");
    };
  },

  gateways() {
    const body = el("tbody"), note = el("p", { class: "faint" });
    const shown = table("Gateways", ["Target", "Health", "Release", "Role", "Flow control", "Last scrape", "Took", "Every", "Share of its time", "Last error", "Labels"], []);
    shown.querySelector("tbody").replaceWith(body);
    main.append(el("h2", { text: "Gateways" }), shown, note);
    const rows = new Rows(body, (target) => {
      const health = el("td"), when = el("td", { class: "number" }), took = el("td", { class: "number wide-only" }), every = el("td", { class: "number wide-only" });
      const release = el("td", { class: "text wide-only" }), role = el("td", { class: "wide-only" }), flow = el("td", { class: "wide-only" });
      const share = el("td", { class: "number wide-only" }), error = el("td", { class: "text bad wide-only" }), below = el("div", { class: "below bad" });
      const strip = plot("small=1&query=" + encoded("up" + labelText(target.labels)), "", "");
      const node = el("tr", {}, el("td", { class: "text name" }, el("div", { text: target.scrapeUrl }), below, strip), health, release, role, flow, when, took, every, share, error,
        el("td", { class: "text faint wide-only", text: labelText(target.labels) }));
      return { node, update(now, gateways) {
        const about = gateways.get(labelText(now.labels)) || {};
        setText(release, about.release || "");
        setText(role, about.role || "");
        setText(flow, about.flowControl ? "on" : about.release ? "off" : "");
        const state = now.health === "up" ? "value" : now.health === "down" ? "unknown" : "held";
        if (health.textContent !== now.health) health.replaceChildren(el("span", { class: "state " + state, text: now.health }));
        setText(when, now.lastScrape.startsWith("0001") ? "never" : ago(now.lastScrape) + " ago");
        setText(took, seconds(now.lastScrapeDuration));
        setText(every, now.scrapeInterval);
        setText(share, (100 * now.lastScrapeDuration / duration(now.scrapeInterval)).toFixed(1) + " %");
        setText(error, now.lastError);
        setText(below, now.lastError);
        strip.refresh();
      } };
    });
    return async () => {
      const { ok, body: answer } = await ask("./api/v1/targets");
      if (!ok) throw new Error(answer.error);
      const gateways = await aboutGateways(answer.data.activeTargets);
      rows.show(answer.data.activeTargets, (target) => target.scrapePool + " " + target.scrapeUrl + " " + labelText(target.labels), gateways);
      const dropped = Object.values(answer.data.droppedTargetCounts || {}).reduce((sum, n) => sum + n, 0);
      setText(note, answer.data.activeTargets.length + " targets; " + dropped + " were found and dropped by relabelling");
    };
  },

  query(_, parameters) { return queryView(parameters); },

  rules() {
    const shown = el("div");
    main.append(el("h2", { text: "Rules" }), shown);
    return async () => {
      const { ok, body: answer } = await ask("./api/v1/rules");
      if (!ok) throw new Error(answer.error);
      const groups = answer.data.groups || [];
      if (groups.length === 0) return shown.replaceChildren(el("p", { text: "No rules are configured (rule_files)." }));
      shown.replaceChildren(...groups.flatMap((group) => [
        el("h2", { class: "text", text: group.name + " (" + group.file + ")" }),
        table(group.name, ["Rule", "Kind", "Health", "Expression", "Last error"], group.rules.map((rule) => el("tr", {},
          el("td", { class: "text", text: rule.name }), el("td", { text: rule.type }), el("td", {}, el("span", { class: "state " + (rule.health === "ok" ? "value" : rule.health === "err" ? "unknown" : "held"), text: rule.health })),
          el("td", { class: "text" }, el("code", { text: rule.query })), el("td", { class: "text bad", text: rule.lastError || "" })))),
      ]));
    };
  },

  status() {
    const shown = el("div");
    main.append(el("h2", { text: "Status" }), shown);
    return async () => {
      const paths = ["runtimeinfo", "buildinfo", "tsdb?limit=5", "flags", "config"];
      const [runtime, build, tsdb, flags, config] = await Promise.all(paths.map((path) => ask("./api/v1/status/" + path)));
      const own = await (await fetch("./metrics")).text();
      const list = (data) => el("dl", {}, ...Object.entries(data).flatMap(([key, value]) => [el("dt", { text: key }), el("dd", { text: String(value) })]));
      const lines = own.split("\n").filter((line) => /^(stillwell|process)_/.test(line));
      const memory = lines.filter((line) => /bytes/.test(line)).map((line) => {
        const at = line.lastIndexOf(" ");
        return [line.slice(0, at), /_total/.test(line) ? line.slice(at + 1) : bytes(Number(line.slice(at + 1)))];
      });
      shown.replaceChildren(
        list({ ...build.body.data, ...runtime.body.data }),
        el("h2", { text: "Memory" }), list(Object.fromEntries(memory)),
        el("h2", { text: "Store" }), list(tsdb.body.data.headStats || {}),
        el("h2", { text: "Configuration" }), el("pre", { tabindex: "0", text: config.body.data.yaml }),
        el("h2", { text: "Flags" }), list(flags.body.data),
        el("h2", { text: "Own metrics" }), el("pre", { tabindex: "0", text: lines.join("\n") }));
    };
  },
};

function duration(text) {
  const units = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400 };
  let sum = 0;
  for (const [, n, unit] of text.matchAll(/(\d+)(ms|s|m|h|d)/g)) sum += Number(n) * units[unit];
  return sum || 1;
}

function signalDetails(signal) {
  const here = location.origin + location.pathname.replace(/\/$/, "");
  const series = signal.series || [], targets = signal.targets || [];
  return [
    el("h2", { text: "Query" }), el("pre", { tabindex: "0", text: signal.query }),
    el("p", {}, el("a", { href: "#/query?expr=" + encoded(signal.query), text: "Open in the query view" })),
    ...(signal.warnings || []).map((text) => el("p", { class: "error text", text })),
    el("h2", { text: "What happened" }),
    table("Transitions", ["Time (UTC)", "State", "Value", "Why"], [...(signal.transitions || [])].reverse().map((one) => el("tr", {},
      el("td", { class: "number", text: clock(one.time) }), el("td", {}, stateCell(one.state)), el("td", { class: "number", text: one.value || "" }), el("td", { class: "text", text: one.reason })))),
    el("h2", { text: "Targets" }),
    table("Targets", ["Target", "Counts", "Fresh", "Last good scrape", "Error"], targets.map((one) => el("tr", {},
      el("td", { class: "text", text: labelText(one.labels) }), el("td", { text: one.counts ? "yes" : "standby" }), el("td", {}, stateCell(one.fresh ? "value" : "held")),
      el("td", { class: "number", text: one.lastGood ? ago(one.lastGood) + " ago" : "never" }), el("td", { class: "text bad", text: one.error })))),
    el("h2", { text: "Series (" + (signal.seriesCount || 0) + ")" }),
    table("Series", ["Series", "Value", "Age"], series.map((one) => el("tr", {},
      el("td", { class: "text", text: labelText(one.metric) }), el("td", { class: "number", text: one.value }), el("td", { class: "number", text: seconds(one.ageSeconds) })))),
    ...(signal.asker ? [] : [el("h2", { text: "What would the HPA do" }), replicas(signal)]),
    el("h2", { text: "From outside" }),
    el("pre", { tabindex: "0", text: "curl -s " + here + "/signals/" + encoded(signal.name) + "\n" +
      "curl -s '" + here + "/guarded/api/v1/query?query=" + encoded(signal.query) + "'\n" + kubectl(signal) }),
  ];
}

// What an HPA asks for.
function kubectl(signal) {
  const { api, namespace, object, selector } = signal.asker || { api: "external", namespace: "NAMESPACE", object: "", selector: "" };
  const place = "/apis/" + api + ".metrics.k8s.io/" + (api === "custom" ? "v1beta2" : "v1beta1") + "/" + (namespace ? "namespaces/" + namespace + "/" : "") + (object ? object + "/" : "");
  const parameter = api === "custom" ? "?metricLabelSelector=" : "?labelSelector=";
  return "kubectl get --raw '" + place + signal.name + (selector ? parameter + encoded(selector) : "") + "'";
}

// The arithmetic of kubernetes/pkg/controller/podautoscaler (replica_calculator.go): external metrics, tolerance 10 %.
function replicas(signal) {
  const saved = replicas.saved || (replicas.saved = { target: "250", now: "1" });
  const target = el("input", { id: "hpa-target", inputmode: "decimal", size: "8", value: saved.target });
  const now = el("input", { id: "hpa-now", inputmode: "numeric", size: "5", value: saved.now });
  const result = el("p", { role: "status" });
  const show = () => {
    saved.target = target.value; saved.now = now.value;
    const sum = (signal.elements || []).reduce((total, one) => total + Number(one.value), 0);
    const aim = Number(target.value), replicasNow = Number(now.value);
    if (signal.state === "unknown") return setText(result, "It is unknown: the HPA reads an error, and keeps the replicas that there are.");
    if (!(aim > 0) || !(replicasNow >= 0)) return setText(result, "A target above 0, please.");
    const average = sum / aim / Math.max(replicasNow, 1);
    const byAverage = Math.abs(1 - average) <= 0.1 ? replicasNow : Math.ceil(sum / aim);
    const byValue = replicasNow === 0 ? Math.ceil(sum / aim) : Math.abs(1 - sum / aim) <= 0.1 ? replicasNow : Math.ceil((sum / aim) * replicasNow);
    setText(result, "AverageValue: " + byAverage + " replicas. Value: " + byValue + " replicas (if all of them are ready). Then minReplicas, maxReplicas and behavior apply.");
  };
  for (const input of [target, now]) input.addEventListener("input", show);
  show();
  return el("div", {}, el("div", { class: "row" }, el("div", {}, el("label", { for: "hpa-target", text: "target of the HPA" }), target),
    el("div", {}, el("label", { for: "hpa-now", text: "replicas now" }), now)), result);
}

const FUNCTIONS = { sum: "sum of the elements", avg: "their average", max: "the highest", min: "the lowest", count: "how many", rate: "per-second increase of a counter over a range",
  increase: "increase of a counter over a range", irate: "the same from the last two samples", max_over_time: "highest value in a range", min_over_time: "lowest value in a range",
  avg_over_time: "average over a range", sum_over_time: "sum over a range", last_over_time: "newest value in a range", count_over_time: "samples in a range", delta: "difference over a range of a gauge",
  deriv: "slope of a gauge", predict_linear: "value in so many seconds", histogram_quantile: "quantile of buckets", quantile: "quantile of the elements", topk: "the highest k", bottomk: "the lowest k",
  absent: "1 where there is nothing", clamp_min: "at least", clamp_max: "at most", ceil: "rounded up", floor: "rounded down", round: "rounded", abs: "without sign", label_replace: "sets a label by a regular expression",
  label_join: "joins labels", vector: "a scalar as an element", scalar: "one element as a scalar", time: "now, in seconds", timestamp: "time of each sample", sort: "sorted by value", changes: "how often a value changed", resets: "resets of a counter" };

function queryView(parameters) {
  const text = el("textarea", { id: "expr", rows: "3", spellcheck: "false", autocomplete: "off", "aria-autocomplete": "list", "aria-controls": "choices" });
  text.value = parameters.get("expr") || "";
  const minutes = el("select", { id: "minutes" }, ...[5, 15, 60, 360].map((n) => el("option", { value: n, text: n + " minutes" })));
  minutes.value = parameters.get("minutes") || "15";
  const choices = el("ul", { id: "choices", class: "choices", role: "listbox", "aria-label": "Completions" });
  const result = el("div", { "aria-live": "polite" });
  const run = () => {
    const next = "#/query?" + new URLSearchParams({ expr: text.value, minutes: minutes.value });
    if (location.hash !== next) history.replaceState(null, "", next);
    show().catch((error) => result.replaceChildren(el("p", { class: "error", text: String(error) })));
  };
  const form = el("form", { onsubmit: (event) => { event.preventDefault(); run(); } },
    el("label", { for: "expr", text: "PromQL (Ctrl+Enter runs it, Ctrl+Space completes)" }), text, choices,
    el("div", { class: "row" }, el("div", {}, el("label", { for: "minutes", text: "range" }), minutes), el("button", { type: "submit", text: "Run" })));
  main.append(el("h2", { text: "Query" }), form, result);

  let names = null, offered = [], chosen = 0;
  const word = () => /[A-Za-z_:][A-Za-z0-9_:]*$/.exec(text.value.slice(0, text.selectionStart));
  const close = () => { offered = []; choices.replaceChildren(); };
  const take = (at) => {
    const found = word(), start = found ? found.index : text.selectionStart, end = text.selectionStart;
    text.setRangeText(offered[at].name, start, end, "end");
    close();
    text.focus();
  };
  const offer = async () => {
    if (!names) {
      const [metrics, labels] = await Promise.all([ask("./api/v1/label/__name__/values?limit=5000"), ask("./api/v1/labels?limit=500")]);
      names = [...(metrics.body.data || []).map((name) => ({ name, help: "metric" })), ...(labels.body.data || []).map((name) => ({ name, help: "label" })),
        ...Object.entries(FUNCTIONS).map(([name, help]) => ({ name, help }))];
    }
    const found = word();
    if (!found) return close();
    const begin = found[0].toLowerCase();
    offered = names.filter((one) => one.name.toLowerCase().includes(begin) && one.name !== found[0])
      .sort((a, b) => Number(b.name.toLowerCase().startsWith(begin)) - Number(a.name.toLowerCase().startsWith(begin)) || (a.name < b.name ? -1 : 1)).slice(0, 20);
    chosen = 0;
    mark();
  };
  const mark = () => choices.replaceChildren(...offered.map((one, at) => el("li", { role: "option", "aria-selected": String(at === chosen), onmousedown: (event) => { event.preventDefault(); take(at); } },
    el("code", { text: one.name }), " ", el("span", { class: "faint", text: one.help }))));
  text.addEventListener("input", () => offer().catch(close));
  text.addEventListener("blur", close);
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.ctrlKey) { event.preventDefault(); close(); return run(); }
    if (event.key === " " && event.ctrlKey) { event.preventDefault(); return offer().catch(close); }
    if (!offered.length) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") { event.preventDefault(); chosen = (chosen + (event.key === "ArrowDown" ? 1 : offered.length - 1)) % offered.length; mark(); }
    if (event.key === "Tab" || event.key === "Enter") { event.preventDefault(); take(chosen); }
    if (event.key === "Escape") close();
  });

  async function show() {
    if (!text.value.trim()) return result.replaceChildren();
    const began = performance.now(), expr = encoded(text.value);
    const [plain, guarded] = await Promise.all([ask("./api/v1/query?query=" + expr), ask("./guarded/api/v1/query?query=" + expr)]);
    const took = performance.now() - began;
    if (!plain.ok) return result.replaceChildren(failure(text.value, plain.body.error));
    const elements = plain.body.data.resultType === "vector" ? plain.body.data.result : [{ metric: {}, value: Array.isArray(plain.body.data.result) ? plain.body.data.result : ["", ""] }];
    const rows = (list) => list.slice(0, 500).map((one) => el("tr", {}, el("td", { class: "text", text: labelText(one.metric || {}) }),
      el("td", { class: "number", text: one.value ? String(one.value[1]) : one.values ? one.values.length + " samples" : "histogram" })));
    const judged = guarded.ok ? table("Guarded", ["Element", "Value"], rows(guarded.body.data.result)) : el("p", { class: "error text", text: guarded.body.error });
    const notes = [...(plain.body.warnings || []), ...(plain.body.infos || [])].map((note) => el("p", { class: "error text", text: note }));
    result.replaceChildren(
      el("p", { class: "faint", text: elements.length + " elements in " + took.toFixed(0) + " ms" }), ...notes,
      plot("query=" + expr + "&minutes=" + encoded(minutes.value), "Plot of the query over " + minutes.value + " minutes", "large"),
      el("div", { class: "both" },
        el("section", {}, el("h2", { text: "As Prometheus answers" }), table("Plain", ["Element", "Value"], rows(elements))),
        el("section", {}, el("h2", { text: "As a scaler is told (/guarded)" }), judged)));
  }
  if (text.value) run(); else text.focus();
  return null;
}

// The error with its place under the query, where it names one ("1:5: parse error: ...").
function failure(query, error) {
  const place = /(\d+):(\d+): /.exec(error || "");
  const parts = [el("p", { class: "text", text: error })];
  if (place) {
    const line = query.split("\n")[Number(place[1]) - 1] || "";
    parts.push(el("pre", { text: line + "\n" + " ".repeat(Math.max(0, Number(place[2]) - 1)) + "^" }));
  }
  return el("div", { class: "error", role: "alert" }, ...parts);
}

async function open() {
  const [path, search] = (location.hash.slice(2) || "signals").split("?");
  const [name, ...rest] = path.split("/");
  const view = VIEWS[name] || VIEWS.signals;
  const mine = ++generation;
  main.replaceChildren();
  for (const link of document.querySelectorAll("nav a")) {
    const current = link.getAttribute("href") === "#/" + (name === "signal" ? "signals" : name);
    if (current) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  document.title = (rest.length ? decodeURIComponent(rest.join("/")) : name) + " · Stillwell";
  const refresh = view(decodeURIComponent(rest.join("/")), new URLSearchParams(search || ""));
  while (refresh && mine === generation) {
    if (!document.hidden) {
      try {
        await refresh();
        if (mine !== generation) return;
        connection.className = "";
        setText(connection, "");
      } catch (error) {
        connection.className = "lost";
        setText(connection, error instanceof TypeError ? "no answer from the server" : String(error.message || error));
      }
    }
    await new Promise((done) => setTimeout(done, REFRESH_MS));
  }
}

addEventListener("hashchange", () => { open(); main.focus({ preventScroll: true }); });
open();
