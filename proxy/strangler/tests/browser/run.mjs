// Walks through the dashboard in Chromium as operators do. Ends with 1 at the first thing that is not as it should be.
// OPEN is the admin port of a replica that asks nobody who they are, GUARDED of one that wants VIEWER_TOKEN or
// OPERATOR_TOKEN; SCREENSHOTS is a folder, CHROMIUM the browser.
import assert from "node:assert/strict";
import { mkdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { chromium } from "playwright-core";

const { OPEN, GUARDED, VIEWER_TOKEN, OPERATOR_TOKEN, SCREENSHOTS, CHROMIUM } = process.env;
const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** For one step, of which the longest takes some 12 s on two cores; in milliseconds. Whoever runs the walk limits the whole. */
const PATIENCE = 30_000;
const LOOKS = {
  light: { colorScheme: "light", viewport: { width: 1280, height: 900 } },
  dark: { colorScheme: "dark", viewport: { width: 1280, height: 900 } },
  narrow: { colorScheme: "light", viewport: { width: 360, height: 740 } },
};

// A page or a browser that hangs has no time-out of its own everywhere: it is named before the test is cut off.
let doing = "start the browser";
const watch = setTimeout(() => {
  console.log(`FAILED: ${doing}: still not done after ${PATIENCE / 1000} s`);
  process.exit(1);
}, PATIENCE).unref();

await mkdir(SCREENSHOTS, { recursive: true });
// With a new, empty profile of its own each time, which Playwright removes.
const browser = await chromium.launch({
  executablePath: CHROMIUM,
  headless: true,
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
  ],
});
const context = await browser.newContext();
const complaints = [];

/** A tab whose errors count: what the content security policy forbids is one. */
const tab = async (where = context) => {
  const page = await where.newPage();
  page.setDefaultTimeout(15_000);
  page.on("console", (line) => line.type() === "error" && !/status of 4\d\d/.test(line.text()) && complaints.push(line.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => {
    const from = new URL(request.url()).origin;
    if (![OPEN, GUARDED].includes(from)) complaints.push(`asked elsewhere: ${request.url()}`);
  });
  return page;
};

const step = async (name, act) => {
  const begun = Date.now();
  doing = name;
  watch.refresh();
  try {
    await act();
  } catch (error) {
    console.log(`FAILED: ${name}\n${error.stack}`);
    for (const page of context.pages()) await page.screenshot({ path: join(SCREENSHOTS, "failed.png"), fullPage: true }).catch(() => {});
    throw error;
  }
  assert.deepEqual(complaints, [], name);
  console.log(`ok: ${name} (${Date.now() - begun} ms)`);
};

/** Looks at the page in each look: no serious violation of accessibility, nothing wider than the window; a picture. */
const look = async (page, name) => {
  for (const [scheme, { colorScheme, viewport }] of Object.entries(LOOKS)) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.setViewportSize(viewport);
    if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(AXE);
    const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
    const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
    const told = serious.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => `${node.html} (${node.any.map((check) => check.message).join("; ")})`).join(" ")}`);
    assert.deepEqual(told, [], `${name}, ${scheme}`);
    const [wide, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(wide <= window, `${name}, ${scheme}: ${wide} pixels wide in a window of ${window}`);
    await page.screenshot({ path: join(SCREENSHOTS, `${name}-${scheme}.png`), fullPage: true });
    // And as it stands in the window, with what stays in sight.
    if (name === "group") await page.screenshot({ path: join(SCREENSHOTS, `${name}-window-${scheme}.png`) });
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize(LOOKS.light.viewport);
};

const text = (page, selector) => page.locator(selector).innerText();
const told = (page) => text(page, ".told");

try {
  const page = await tab();

  await step("all groups at a glance", async () => {
    await page.goto(`${OPEN}/`);
    assert.match(await text(page, "article.card"), /inventory[\s\S]*stage shift[\s\S]*modern 0 %/);
    assert.match(await text(page, "article.card"), /Mismatches\s+\d+ of \d+ answers differ in the last 15 min/);
    await look(page, "overview");
  });

  await step("the keyboard comes to the content first", async () => {
    await page.goto(`${OPEN}/`);
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to content");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "3 sagas are stuck");
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "inventory");
    await page.keyboard.press("Enter");
    await page.waitForURL("**/groups/inventory");
  });

  await step("a shift by the slider", async () => {
    await look(page, "group");
    await page.focus("#reads-slide");
    await page.keyboard.press("Home");
    for (let times = 0; times < 50; times += 1) await page.keyboard.press("ArrowRight");
    assert.equal(await page.inputValue("#reads"), "25");
    await page.fill("#set-reason", "the browser shifts");
    await page.click("text=Publish the change");
    // Gates do not hold: a page names them before anything changes.
    assert.match(await text(page, "main"), /Nothing has changed yet[\s\S]*do(es)? not hold/);
    await look(page, "confirm");
    await page.click("text=Publish it all the same");
    assert.match(await told(page), /every live replica works under it/);
    assert.match(await text(page, "#policy"), /modern 25 %/);
  });

  await step("a hundredth of a percent by the number", async () => {
    await page.fill("#reads", "12.34");
    await page.fill("#set-reason", "the browser is exact");
    await page.press("#set-reason", "Enter");
    assert.match(await text(page, "#policy"), /modern 12.34 %[\s\S]*/);
  });

  await step("nothing is published without a reason", async () => {
    await page.fill("#reads", "50");
    await page.click("text=Publish the change");
    assert.equal(await page.evaluate(() => document.querySelector("#set-reason").validity.valueMissing), true);
    await page.goto(`${OPEN}/groups/inventory`);
    assert.match(await text(page, "#policy"), /modern 12.34 %/);
  });

  await step("what is refused says why and keeps what was typed", async () => {
    await page.selectOption("#stage-choice", "dual-write");
    await page.fill("#reads", "40");
    await page.fill("#set-reason", "the browser errs <b>");
    await page.click("text=Publish the change");
    assert.match(await text(page, "[role=alert]"), /Stage dual-write/);
    assert.equal(await page.inputValue("#set-reason"), "the browser errs <b>");
    assert.equal(await page.inputValue("#reads"), "40");
    assert.equal(await page.inputValue("#stage-choice"), "dual-write");
    await look(page, "refused");
  });

  await step("figures of an open page are renewed", async () => {
    await page.goto(`${OPEN}/groups/inventory`);
    const other = await tab();
    await other.goto(`${OPEN}/groups/inventory`);
    await other.fill("#reads", "60");
    await other.fill("#set-reason", "another tab");
    await other.click("text=Publish the change");
    await other.click("text=Publish it all the same");
    // A tab that is closed too early takes its order with it.
    await other.locator(".told.good").waitFor();
    await other.close();
    // A page in the background asks for nothing.
    await page.bringToFront();
    await page.locator("#policy", { hasText: "modern 60 %" }).waitFor();
    await page.locator(".fresh", { hasText: "Figures of" }).waitFor();
  });

  await step("somebody else's change is not undone unseen", async () => {
    await page.fill("#reads", "70");
    await page.fill("#set-reason", "the browser is late");
    await page.click("text=Publish the change");
    assert.match(await text(page, "[role=alert]"), /meanwhile/);
    assert.match(await text(page, "#policy"), /modern 60 %/);
  });

  await step("the roll-back is in sight wherever one is on the page", async () => {
    await page.goto(`${OPEN}/groups/inventory`);
    for (const [width, height] of [[1280, 500], [360, 640]]) {
      await page.setViewportSize({ width, height });
      for (const share of [0, 0.5, 1]) {
        await page.evaluate((part) => scrollTo(0, part * document.documentElement.scrollHeight), share);
        const box = await page.locator(".rollback button").boundingBox();
        assert.ok(box.y >= 0 && box.y + box.height <= height, `at ${share} of ${width}x${height}: ${JSON.stringify(box)}`);
      }
    }
    await page.setViewportSize(LOOKS.light.viewport);
  });

  await step("a roll-back: a reason and one click", async () => {
    await page.fill("#rollback-reason", "the browser rolls back");
    await page.click("text=Roll back all reads to legacy");
    assert.match(await told(page), /Rolled back/);
    assert.match(await text(page, "#policy"), /modern 0 %/);
    await page.locator("#changes", { hasText: "the browser rolls back" }).waitFor();
    await look(page, "rolled-back");
  });

  await step("the authority goes to modern and comes back, and the page says what it took", async () => {
    await page.fill("#reads", "100");
    await page.fill("#set-reason", "the browser goes all the way");
    await page.click("text=Publish the change");
    await page.click("text=Publish it all the same");
    assert.match(await text(page, "#policy"), /modern 100 %/);
    await look(page, "before-handover");
    for (const [to, stage] of [["modern", "reverse"], ["legacy", "shift"]]) {
      // The order is given where what it would cost was read.
      await page.click(`text=Hand over to ${to}`);
      await page.locator("h1", { hasText: `went to ${to}` }).waitFor();
      assert.match(await text(page, "main"), /Nothing would be lost\.[\s\S]*Rows read/);
      await look(page, `handover-safety-${to}`);
      await page.fill("#handover-reason", `the browser hands over to ${to}`);
      await page.click(`text=Make ${to} primary`);
      assert.match(await told(page), /the authority has changed hands/);
      assert.match(await text(page, "#policy"), new RegExp(`${to} is the authority`));
      assert.match(await text(page, "#stage"), new RegExp(stage));
      const change = page.locator("#changes tbody tr", { hasText: `the browser hands over to ${to}` });
      // Modern is opened after it was published; legacy before.
      const waited = { modern: "writes waited [\\d.]+ ms until this was published; freeze [\\d.]+ ms, drain [\\d.]+ ms",
        legacy: "writes waited [\\d.]+ ms; freeze [\\d.]+ ms, drain [\\d.]+ ms, open [\\d.]+ ms" };
      assert.match(await change.innerText(), new RegExp(waited[to]));
      await look(page, `handed-to-${to}`);
    }
    await page.fill("#rollback-reason", "the browser has seen a handover");
    await page.click("text=Roll back all reads to legacy");
    assert.match(await text(page, "#policy"), /modern 0 %/);
  });

  await step("from the differences down to one sample", async () => {
    await page.click("nav[aria-label=Dashboard] >> text=Differences");
    await look(page, "diffs");
    await page.click("h2 >> text=Query.stockLevel");
    await page.click("tbody >> text=onHand");
    await page.click("tbody td >> text=foreign-write");
    await look(page, "diffs-cause");
    await page.click(".samples a >> nth=0");
    const row = await text(page, ".sides tr.this");
    assert.match(row, /onHand[\s\S]*100[\s\S]*77/);
    assert.match(await text(page, "main"), /legacy has 100, modern has 77/);
    await look(page, "sample");
    await page.goto(`${OPEN}/diffs?cause=rounding&since=nonsense`);
    assert.match(await text(page, "[role=alert]"), /2h, 7d/);
  });

  await step("a proposed rule is accepted until a day, and taken back", async () => {
    await page.goto(`${OPEN}/diffs?route=Query.product&field=unitPrice&cause=rounding`);
    await look(page, "proposal");
    await page.fill("#owner-0-0", "pricing");
    await page.fill("#until-0-0", new Date(Date.now() + 30 * 86_400_000).toISOString().slice(0, 10));
    await page.fill("#reason-0-0", "the browser accepts");
    await page.click("text=Accept until that day");
    assert.match(await told(page), /Accepted/);
    assert.match(await text(page, "section[aria-labelledby=excuses]"), /in force[\s\S]*the browser accepts/);
    await look(page, "excuse");
    await page.fill("section[aria-labelledby=excuses] input[name=reason]", "the browser has seen enough");
    await page.click("button >> text=Take back");
    assert.match(await told(page), /Taken back/);
    assert.match(await text(page, "section[aria-labelledby=excuses]"), /withdrawn/);
  });

  await step("from the stuck sagas to one, which is tried again; another is taken over", async () => {
    await page.goto(`${OPEN}/`);
    await page.click("#sagas a");
    assert.equal(await page.inputValue("#status"), "stuck");
    assert.equal(await page.locator("tbody tr").count(), 3);
    await look(page, "sagas");
    await page.click("tbody a >> text=stuck-one");
    assert.match(await text(page, "#saga"), /NOT_RESERVED[\s\S]*stock\s+done[\s\S]*order\s+refused\s+TOO_MANY\s+2/);
    await look(page, "saga");
    await page.click("button >> text=Retry");
    assert.equal(await page.evaluate(() => document.querySelector("#retry-reason").validity.valueMissing), true);
    await page.fill("#retry-reason", "the browser has mended it");
    await page.click("button >> text=Retry");
    assert.match(await told(page), /replicas go on with it/);
    assert.match(await text(page, "#saga"), /compensating/);
    assert.equal(await page.locator("main form[method=post]").count(), 0);
    await page.click("nav[aria-label=Dashboard] >> text=Sagas");
    await page.selectOption("#status", "stuck");
    await page.click("button >> text=Show");
    await page.click("tbody a >> text=stuck-two");
    await page.fill("#abandon-reason", "the browser mends it by hand");
    await page.click("button >> text=Abandon");
    assert.match(await told(page), /no replica touches it again/);
    assert.match(await text(page, "#saga"), /abandoned/);
    await page.goto(`${OPEN}/`);
    assert.equal(await text(page, "#sagas a"), "1 saga is stuck");
  });

  await step("rows at rest: what is not known, an order, and what it found", async () => {
    await page.click("nav[aria-label=Dashboard] >> text=Rows at rest");
    assert.match(await text(page, "main"), /not known[\s\S]*never compared/);
    await look(page, "rest-unknown");
    await page.click("button >> text=Compare inventory now");
    assert.equal(await page.evaluate(() => document.querySelector("#rest-reason-inventory").validity.valueMissing), true);
    await page.fill("#rest-reason-inventory", "the browser wants to know");
    await page.click("button >> text=Compare inventory now");
    assert.match(await told(page), /a replica takes it up within seconds/);
    // The page renews itself, and nobody touches it.
    await page.locator("#now-inventory table", { hasText: "the browser wants to know" }).waitFor();
    await page.locator("#now-inventory .state", { hasText: /^. complete$/ }).waitFor({ timeout: 25_000 });
    assert.match(await text(page, "#now-inventory"), /drifted[\s\S]*onHand: /);
    await look(page, "rest");
    await page.goto(`${OPEN}/groups/inventory`);
    await page.click("main >> text=rows at rest");
    assert.match(page.url(), /\/rest#rest-inventory$/);
    assert.match(await text(page, "h2 >> nth=0"), /inventory/);
  });

  await step("whether to move or to wait", async () => {
    await page.click("nav[aria-label=Dashboard] >> text=Break-even");
    assert.equal(await text(page, "h1"), "Break-even");
    await look(page, "breakeven");
  });

  await step("the history, and whether it is what it was", async () => {
    await page.click("nav[aria-label=Dashboard] >> text=History");
    assert.match(await text(page, "table"), /the browser rolls back[\s\S]*the browser shifts/);
    await look(page, "history");
    await page.click("text=Verify the record");
    assert.match(await told(page), /Yes\./);
    await look(page, "verified");
  });

  const signIn = async (page, token) => {
    await page.fill("#token", token);
    await page.click("button >> text=Sign in");
  };

  await step("who has no token is asked for one, and leads nowhere with a wrong one", async () => {
    await page.goto(`${GUARDED}/groups/inventory`);
    assert.match(page.url(), /\/login/);
    await signIn(page, "not-a-token");
    assert.equal(await page.locator("[role=alert]").count(), 1);
    await look(page, "login");
  });

  await step("an operator signs in, shifts, and signs out", async () => {
    await page.goto(`${GUARDED}/groups/inventory`);
    await signIn(page, OPERATOR_TOKEN);
    assert.match(page.url(), /\/groups\/inventory$/);
    assert.match(await text(page, ".who"), /operator/);
    await page.fill("#reads", "2");
    await page.fill("#set-reason", "signed in");
    await page.click("text=Publish the change");
    await page.click("text=Publish it all the same");
    assert.match(await text(page, "#policy"), /modern 2 %/);
    await page.click("text=Sign out");
    await page.goto(`${GUARDED}/`);
    assert.match(page.url(), /\/login/);
  });

  await step("a viewer sees no buttons, and is refused all the same", async () => {
    await signIn(page, VIEWER_TOKEN);
    await page.goto(`${GUARDED}/groups/inventory`);
    assert.equal(await page.locator("main form[method=post]").count(), 0);
    await look(page, "viewer");
    const csrf = await page.inputValue("input[name=csrf]");
    for (const order of ["set", "undo", "promote", "stop", "rollback", "handover", "proposals/0"]) {
      const answer = await page.request.post(`${GUARDED}/groups/inventory/${order}`, {
        headers: { origin: GUARDED },
        form: { csrf, to: "modern", was: "shift/2/100", stage: "shift", reads: "1", shadow: "100", reason: "x", decision: "approve" },
      });
      assert.equal(answer.status(), 403, `${order}: ${await answer.text()}`);
    }
    await page.reload();
    assert.match(await text(page, "#policy"), /modern 2 %/);
    await page.goto(`${GUARDED}/rest`);
    assert.equal(await page.locator("main form[method=post]").count(), 0);
    const rest = await page.request.post(`${GUARDED}/rest/inventory`, { headers: { origin: GUARDED }, form: { csrf, reason: "x" } });
    assert.equal(rest.status(), 403, await rest.text());
    await page.goto(`${GUARDED}/sagas/stuck-three`);
    assert.match(await text(page, "main"), /takes the role operator/);
    assert.equal(await page.locator("main form[method=post]").count(), 0);
    for (const order of ["retry", "abandon"]) {
      const address = `${GUARDED}/sagas/stuck-three/${order}`;
      const answer = await page.request.post(address, { headers: { origin: GUARDED }, form: { csrf, reason: "x" } });
      assert.equal(answer.status(), 403, `${order}: ${await answer.text()}`);
    }
  });

  await step("everything works without scripts", async () => {
    const bare = await browser.newContext({ javaScriptEnabled: false });
    const page = await tab(bare);
    await page.goto(`${OPEN}/groups/inventory`);
    assert.equal(await page.locator("#reads-slide").count(), 0);
    // Above what the step before has left, or nothing would be asked.
    await page.fill("#reads", "3.01");
    await page.fill("#set-reason", "without scripts");
    await page.click("text=Publish the change");
    await page.click("text=Publish it all the same");
    assert.match(await text(page, "#policy"), /modern 3.01 %/);
    await page.fill("#rollback-reason", "without scripts");
    await page.click("text=Roll back all reads to legacy");
    assert.match(await told(page), /Rolled back/);
    await bare.close();
  });

  console.log("every step went as it should");
} catch (error) {
  if (!(error instanceof assert.AssertionError)) console.error(error);
  process.exitCode = 1;
} finally {
  doing = "close the browser";
  await browser.close();
}
