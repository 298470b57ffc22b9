// The product's own phone (GET /phone) in a Chromium, used as a person uses it: by what can be seen on the page.
import assert from 'node:assert/strict';
import path from 'node:path';
import { build } from 'esbuild';
import { open_chromium } from './browser.mjs';
import { here } from './paths.mjs';
import { PATIENCE_MS } from './patience.mjs';

const HEARD_DB = -50;
const NEAR_HZ = 15;
const SEEN = { timeout: PATIENCE_MS };

export class PhonePage {
  /// Options: `server`, `url` (of the page), `hz` (its tone), `width` (of the window), `dark`.
  static async open(folder, options) {
    const page = new PhonePage();
    Object.assign(page, { width: 800, dark: false }, options, { folder });
    Object.assign(page, await open_chromium(folder, page.hz, 'about:blank'));
    await page.page.setViewportSize({ width: page.width, height: 740 });
    await page.page.emulateMedia({ colorScheme: page.dark ? 'dark' : 'light' });
    await page.page.goto(page.url);
    const { outputFiles } = await build({
      stdin: { contents: "export { Ear } from './ear.mjs';", resolveDir: path.join(here, 'browser') },
      bundle: true, write: false, format: 'iife', globalName: 'ears',
    });
    await page.page.addScriptTag({ content: outputFiles[0].text });
    return page;
  }

  async register(user, password) {
    await this.page.getByLabel('Your address').fill(`${user}@${this.server.domain}`);
    await this.page.getByLabel('Password').fill(password);
    // Without another one it is the server that the page came from.
    if (this.server.wss) {
      await this.page.getByText('Server', { exact: true }).click();
      await this.page.getByLabel('WebSocket address').fill(this.server.wss);
      await this.page.getByText('Server', { exact: true }).click();
    }
    await this.press('Register');
  }

  async call(target) {
    await this.page.getByRole('textbox', { name: 'Call' }).fill(target);
    await this.press('Call');
  }

  async press(name) {
    await this.page.getByRole('button', { name, exact: true }).click(SEEN);
  }

  async shows(text) {
    await this.page.getByText(text).first().waitFor({ state: 'visible', ...SEEN });
  }

  async picture(name) {
    const wide = await this.page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= this.width, `${name}: the page is ${wide} px wide in a window of ${this.width}`);
    await this.page.screenshot({ path: path.join(this.folder, `${name}.png`) });
  }

  async hears(stage, hz) {
    await this.page.evaluate(() => {
      const receivers = () => document.getElementById('sound').srcObject.getTracks().map((track) => ({ track }));
      window.ear ??= new window.ears.Ear(() => ({ getReceivers: receivers }));
    });
    let heard;
    await stage.until(`the page hears ${hz} Hz`, async () => {
      heard = await this.page.evaluate(() => window.ear.loudest());
      return heard.db > HEARD_DB && Math.abs(heard.hz - hz) < NEAR_HZ;
    });
    return `hears ${Math.round(heard.hz)} Hz`;
  }

  async hears_nothing(stage) {
    await stage.until('the page hears nothing', async () => !((await this.page.evaluate(() => window.ear.loudest())).db > HEARD_DB));
  }

  async stop() {
    await this.context.close();
  }
}
