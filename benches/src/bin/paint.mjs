// When the list of signals is painted, and when every row stands: {"paintMs", "rowsMs"}, from the start of the navigation.
//
//   node paint.mjs URL NODE_MODULES CHROMIUM ROWS
import { createRequire } from "node:module";
import path from "node:path";

const [base, modules, executablePath, rows] = process.argv.slice(2);
const { chromium } = createRequire(path.join(path.resolve(modules), "x.js"))("playwright-core");
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
const page = await browser.newPage({ viewport: { width: 1200, height: 800 } });
await page.goto("about:blank");
await page.goto(base + "/#/signals");
const rowsMs = await page.evaluate((rows) => new Promise((done) => {
  const look = () => document.querySelectorAll("tbody tr").length >= rows ? requestAnimationFrame(() => done(performance.now())) : requestAnimationFrame(look);
  look();
}), Number(rows));
const paintMs = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0].startTime);
console.log(JSON.stringify({ paintMs, rowsMs }));
await browser.close();
