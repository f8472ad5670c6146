// Clicks through the console in a real browser and prints one JSON line for each check: {"name", "ok", "detail"}.
//
//   node console_views.mjs URL NODE_MODULES CHROMIUM [FOLDER]
//
// URL is the address of `stillwell demo`; NODE_MODULES holds playwright-core and axe-core; with FOLDER every view is kept
// there as a picture, light and dark. Nothing here waits for a time: each wait is for something to be seen, with a limit.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import path from "node:path";

const [base, modules, executablePath, pictures] = process.argv.slice(2);
const require = createRequire(path.join(path.resolve(modules), "x.js"));
const { chromium } = require("playwright-core");
const axe = readFileSync(path.join(modules, "axe-core/axe.min.js"), "utf8");
const LIMIT_MS = 60_000;
const VIEWS = { signals: "Signals", gateways: "Gateways", query: "Query", rules: "Rules", status: "Status" };

function check(name, ok, detail = "") {
  console.log(JSON.stringify({ name, ok: Boolean(ok), detail: String(detail).slice(0, 2000) }));
}

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });

// A page that counts its errors, what it asks of other hosts, and how far its contents move.
async function opened(options) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 800 }, ...options });
  // axe is given to the page by the driver, past the page's policy, so that the policy itself stays as it is served.
  const page = await context.newPage();
  page.setDefaultTimeout(LIMIT_MS);
  page.faults = [];
  page.elsewhere = [];
  page.on("console", (message) => { if (message.type() === "error") page.faults.push(message.text()); });
  page.on("pageerror", (error) => page.faults.push(String(error)));
  page.on("request", (request) => { if (!request.url().startsWith(base) && !request.url().startsWith("data:")) page.elsewhere.push(request.url()); });
  await page.addInitScript(() => {
    window.shifted = 0;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value;
    }).observe({ type: "layout-shift", buffered: true });
  });
  return page;
}

const drawn = (page, selector) => page.waitForFunction((selector) => {
  const images = [...document.querySelectorAll(selector)];
  return images.length > 0 && images.every((image) => image.complete && image.naturalWidth > 0);
}, selector);

async function faults(page, name) {
  const { violations } = await page.evaluate(axe + "; axe.run(document, { resultTypes: ['violations'] })");
  const serious = violations.filter((one) => one.impact === "serious" || one.impact === "critical");
  check("accessible: " + name, serious.length === 0, serious.map((one) => one.id + ": " + one.nodes.map((node) => node.html).join(" ")).join("\n"));
}

async function picture(page, name) {
  if (pictures) await page.screenshot({ path: path.join(pictures, name + ".png") });
}

async function everyView(colorScheme) {
  const page = await opened({ colorScheme });
  await page.goto(base + "/");
  for (const [view, title] of Object.entries(VIEWS)) {
    await page.getByRole("navigation").getByRole("link", { name: title }).click();
    await page.getByRole("heading", { level: 2, name: title, exact: true }).waitFor();
    if (view === "signals" || view === "gateways") {
      await page.locator("tbody tr").first().waitFor();
      await drawn(page, "td.plot img, td.name img");
    }
    if (view === "gateways") await page.getByRole("row", { name: /demo leader on/ }).waitFor();
    if (view === "query") {
      await page.getByLabel("PromQL").fill("sum by (inference_pool) (llm_d_epp_flow_control_queue_size)");
      await page.getByRole("button", { name: "Run" }).click();
      await drawn(page, "img.large");
    }
    if (view === "rules") await page.getByText(/No rules are configured|Expression/).first().waitFor();
    if (view === "status") await page.getByRole("heading", { name: "Own metrics" }).waitFor();
    await faults(page, view + ", " + colorScheme);
    await picture(page, view + "-" + colorScheme);
  }
  await page.goto(base + "/#/signal/igw_queue_depth");
  await page.getByRole("heading", { name: "What would the HPA do" }).waitFor();
  await drawn(page, "img.large");
  await faults(page, "signal, " + colorScheme);
  await picture(page, "signal-" + colorScheme);
  check("no error in the console, " + colorScheme, page.faults.length === 0, page.faults.join("\n"));
  check("nothing is asked of other hosts, " + colorScheme, page.elsewhere.length === 0, page.elsewhere.join("\n"));
  await page.context().close();
}

async function plotsMoveAndTheTableStaysInPlace() {
  const page = await opened({});
  await page.goto(base + "/#/signals");
  await page.locator("tbody tr").first().waitFor();
  await drawn(page, "td.plot img");
  const plots = () => page.evaluate(async () => {
    const image = document.querySelector("td.plot img");
    return (await fetch(image.src)).text();
  });
  const before = await plots(), source = await page.locator("td.plot img").first().getAttribute("src");
  await page.evaluate(() => { window.shifted = 0; });
  await page.waitForFunction((source) => document.querySelector("td.plot img").getAttribute("src") !== source, source);
  await drawn(page, "td.plot img");
  check("plots move", await plots() !== before);
  const shifted = await page.evaluate(() => window.shifted);
  check("the table stays in place", shifted < 0.01, "layout shift " + shifted);
  await page.context().close();
}

async function anOutageTurnsTheSignal() {
  const page = await opened({});
  await page.goto(base + "/#/signals");
  const row = page.locator("tr", { has: page.getByRole("link", { name: "igw_queue_depth", exact: true }) });
  await row.locator(".state.value").waitFor();
  const bands = async () => {
    const text = await page.evaluate(async () => (await fetch("./console/plot.svg?signal=igw_queue_depth")).text());
    return (text.match(/<(polygon|rect)/g) || []).length;
  };
  const before = await bands();
  await page.getByRole("button", { name: /fall silent/ }).click();
  await row.locator(".state.unknown").waitFor();
  check("an outage turns the signal", true);
  check("it says why", (await row.locator("td").last().textContent()).length > 0);
  await page.setViewportSize({ width: 375, height: 700 });
  const why = await row.locator(".below").boundingBox();
  check("it says why on a phone", why && why.x >= 0 && why.x + why.width <= 375 && why.height > 0, JSON.stringify(why));
  await page.setViewportSize({ width: 1200, height: 800 });
  await row.getByRole("link").first().click();
  await page.getByRole("heading", { level: 2, name: "igw_queue_depth" }).waitFor();
  await page.locator("tbody .state.unknown").first().waitFor();
  const after = await bands();
  check("the plot has a band for it", after > before, before + " shapes, then " + after);
  await picture(page, "outage-light");
  await page.goto(base + "/#/gateways");
  await page.locator(".state", { hasText: /up|down/ }).first().waitFor();
  await page.goto(base + "/#/signals");
  await row.locator(".state.value, .state.held").waitFor();
  check("it comes back", true);
  await page.context().close();
}

async function anErrorStandsUnderItsCharacter() {
  const page = await opened({});
  await page.goto(base + "/#/query");
  const text = page.getByLabel("PromQL");
  await text.fill("sum(up) up");
  await text.press("Control+Enter");
  const shown = await page.locator("[role=alert] pre").textContent();
  check("an error stands under its character", shown === "sum(up) up\n        ^", shown);
  await text.fill("");
  await text.pressSequentially("flow_control");
  await page.locator("#choices [role=option]").first().waitFor();
  await text.press("ArrowDown");
  await text.press("ArrowUp");
  await text.press("Enter");
  const completed = await text.inputValue();
  check("a name is completed by the keyboard", completed.length > 12, completed);
  await page.context().close();
}

async function thePageFitsAPhone() {
  const page = await opened({ viewport: { width: 375, height: 700 } });
  for (const view of Object.keys(VIEWS)) {
    await page.goto(base + "/#/" + view);
    await page.getByRole("heading", { level: 2 }).first().waitFor();
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    check("fits a phone: " + view, wide <= 0, wide + " px too wide");
  }
  await page.context().close();
}

async function theKeyboardReachesEverything() {
  const page = await opened({});
  await page.goto(base + "/#/signals");
  await page.locator("tbody tr").first().waitFor();
  const reached = [];
  for (let at = 0; at < 8; at += 1) {
    await page.keyboard.press("Tab");
    reached.push(await page.evaluate(() => document.activeElement.textContent.trim()));
  }
  const wanted = ["To the contents", "Signals", "Gateways", "Query", "Rules", "Status"];
  check("the keyboard reaches everything", wanted.every((name) => reached.includes(name)) && reached.some((name) => name.startsWith("igw")), reached.join(", "));
  await page.context().close();
}

try {
  await everyView("light");
  await everyView("dark");
  await plotsMoveAndTheTableStaysInPlace();
  await anErrorStandsUnderItsCharacter();
  await thePageFitsAPhone();
  await theKeyboardReachesEverything();
  await anOutageTurnsTheSignal();
  check("all was tried", true);
} catch (error) {
  check("all was tried", false, error.stack || error);
} finally {
  await browser.close();
}
