// The page in a real browser, used as an admin uses it.

import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { after, before, test } from 'node:test'

import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core'

import { eventually, post, requests, script, Service, setUp, sql, token, URLS } from './harness.ts'

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium'
const skip = existsSync(executablePath) ? false : 'no chromium here'
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const pictures = process.env.PICTURES // a directory: pictures for the documentation go there

let service: Service
let browser: Browser
const complaints: string[] = []
const answers: boolean[] = [] // to the page's next questions; yes without one

before(async () => {
  if (skip) return
  await setUp()
  service = await Service.start({ TESTS_PER_MINUTE: '100' })
  browser = await chromium.launch({
    executablePath,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync'],
  })
})
after(async () => {
  await browser?.close()
  await service?.stop()
})

/** The page as this user sees it; what the browser complains of (its policy, errors) is kept. */
async function open(user: string, options: BrowserContextOptions & { workspace?: string; expires?: number } = {}): Promise<Page> {
  const context = await browser.newContext(options)
  context.setDefaultTimeout(Number(process.env.PG_TEST_TIMEOUT_DEFAULT ?? 180) * 1000)
  const page = await context.newPage()
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('console', (message) => {
    // that a call was refused is what some tests are about
    if (message.type() === 'error' && !/the server responded with a status of|ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED/.test(message.text())) complaints.push(message.text())
  })
  page.on('dialog', (dialog) => void (answers.shift() === false ? dialog.dismiss() : dialog.accept()))
  const given = await token(user, options.expires ? { expires: options.expires } : {})
  await page.goto(`${service.url}/#workspace=${options.workspace ?? 'acme'}&token=${given}`)
  return page
}

const card = (page: Page, name: string) => page.getByRole('article', { name })
const log = (page: Page) => page.locator('#deliveries > li')

/** Connects it as its card says; the card. */
async function connect(page: Page, name: 'Discord' | 'Teams' | 'Webhook') {
  const found = card(page, name)
  await found.getByText(`Connect ${name}`).click()
  await found.getByLabel('Webhook URL').fill(URLS[name.toLowerCase() as keyof typeof URLS])
  await found.getByRole('button', { name: 'Connect' }).click()
  await found.getByText(`${name} integration connected`).waitFor()
  return found
}

async function accessible(page: Page, what: string): Promise<void> {
  await page.evaluate(axe)
  const violations = await page.evaluate(async () => {
    const run = (globalThis as unknown as { axe: { run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> } }).axe.run()
    return (await run).violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`)
  })
  assert.deepEqual(violations, [], what)
}

test('connect: a bad URL with its reason beside the field, then a good one', { skip }, async () => {
  const page = await open('olivia')
  const slack = card(page, 'Slack')
  await slack.getByText('Not connected').waitFor()
  await slack.getByText('Connect Slack').click()
  await slack.getByLabel('Webhook URL').fill('https://hooks.slack.com/workflows/T0/secret')
  await slack.getByRole('button', { name: 'Connect' }).click()
  await slack.locator('.fault').waitFor()
  const field = slack.getByLabel('Webhook URL')
  assert.equal(await field.getAttribute('aria-invalid'), 'true')
  assert.equal(await field.getAttribute('aria-describedby'), await slack.locator('.fault').getAttribute('id'))
  assert.match(await slack.locator('.fault').innerText(), /Slack/)
  assert.equal(await field.evaluate((element) => element === document.activeElement), true)

  await field.fill(URLS.slack)
  await slack.getByLabel('New post').check()
  await slack.getByLabel('Boards').fill('nowhere')
  await slack.getByRole('button', { name: 'Connect' }).click()
  await eventually('the fault to be the board', async () => /board/i.test(await slack.locator('.fault').innerText()))
  assert.equal(await slack.getByLabel('Boards').getAttribute('aria-invalid'), 'true')

  await slack.getByLabel('Boards').fill('ideas')
  await slack.getByLabel('Rule').fill('$.post.board ==')
  await slack.getByRole('button', { name: 'Connect' }).click()
  await eventually('the fault to be the rule', async () => (await slack.getByLabel('Rule').getAttribute('aria-invalid')) === 'true')
  assert.equal(await slack.getByLabel('Boards').getAttribute('aria-invalid'), null)
  await slack.getByLabel('Rule').fill('')
  await slack.getByRole('button', { name: 'Connect' }).click()
  await slack.getByText('Slack integration connected').waitFor()
  await slack.getByText('Connected, and all is well').waitFor()
  assert.match(await slack.locator('.facts').innerText(), /1 event · boards ideas/)
  assert.equal(await field.inputValue(), '', 'the URL is not kept in the page')
  assert.doesNotMatch(await page.content(), /slacksecret/)
  assert.deepEqual((await sql('SELECT type, events, webhook_url FROM featul_integrations.integration'))[0],
    { type: 'slack', events: ['post.created'], webhook_url: URLS.slack })
  await page.context().close()
})

test('a test fails and says why, then succeeds', { skip }, async () => {
  const page = await open('adam')
  const slack = card(page, 'Slack')
  script({ 'hooks.slack.com/': [{ status: 500, body: 'out of order' }, {}] })
  await slack.getByRole('button', { name: 'Send a test' }).click()
  await slack.getByText(/Failed to send webhook notification.*HTTP 500.*out of order/).waitFor()
  await slack.getByRole('button', { name: 'Send a test' }).click()
  await slack.getByText('Test notification sent successfully').waitFor()
  script({})
  await page.context().close()
})

test('a post made in SQL appears by itself, as it was sent; it is sent again', { skip }, async () => {
  const page = await open('olivia')
  await page.getByText('Live', { exact: true }).waitFor()
  const hostile = `<img src=x onerror="document.title='owned'"><script>alert(1)</script> & *bold* <https://evil.example.com|click>`
  await post('Dark <b>mode</b>', { content: hostile })
  const row = log(page).filter({ hasText: 'Dark <b>mode</b>' })
  await row.getByText('✓ delivered').waitFor()
  assert.match(await row.innerText(), /New post[\s\S]*Slack[\s\S]*HTTP 200[\s\S]*1 attempt/)
  assert.equal(await row.locator('time').evaluate((time) => {
    time.textContent = 'Nov 29, 2026, 10:52:52 PM'
    const text = document.createRange()
    text.selectNodeContents(time)
    return text.getClientRects().length
  }), 1, 'a time is one line')

  await row.locator('summary').first().click()
  const message = row.locator('.message')
  await message.getByText('onerror').first().waitFor()
  assert.equal(await message.getByText(hostile, { exact: true }).count(), 1, 'the text, as it is')
  assert.equal(await message.locator('img, script, b').count(), 0)
  assert.equal(await message.getByRole('link', { name: 'click' }).count(), 0)
  assert.equal(await message.getByRole('link', { name: 'Dark <b>mode</b>' }).getAttribute('href'), 'https://acme.featul.com/posts/' + (await slug('Dark <b>mode</b>')))
  assert.notEqual(await page.title(), 'owned')

  const before = requests('hooks.slack.com').length
  await row.getByRole('button', { name: 'Send again' }).click()
  await eventually('it to be sent again', () => requests('hooks.slack.com').length === before + 1)
  await row.getByText('Delivery queued').waitFor()
  const sent = requests('hooks.slack.com').slice(-2).map(({ body }) => body)
  await row.getByText('As JSON').click()
  assert.deepEqual(JSON.parse(await message.locator('pre').innerText()), JSON.parse(sent[1]!), 'what the page shows is what was sent')
  await page.context().close()
})

const slug = async (title: string) => (await sql<{ slug: string }>('SELECT slug FROM post WHERE title = $1', [title]))[0]!.slug

test('a title that turns the writing around turns no words but its own', { skip }, async () => {
  const page = await open('olivia')
  await page.getByText('Live', { exact: true }).waitFor()
  for (const title of ['turned \u202e around', 'closed \u2069\u2069\u202e around']) {
    await post(title)
    const newest = page.locator('#newest')
    await newest.getByText(title).waitFor()
    const [first, last] = await newest.evaluate((element) => {
      const words = element.ownerDocument.createTreeWalker(element, NodeFilter.SHOW_TEXT)
      let found = words.nextNode()!
      while (!found.textContent!.startsWith(', ')) found = words.nextNode()!
      const left = (at: number) => {
        const range = element.ownerDocument.createRange()
        range.setStart(found, at)
        range.setEnd(found, at + 1)
        return range.getBoundingClientRect().left
      }
      return [left(2), left(6)] // of "delivered" or "waiting"
    })
    assert.ok(first! < last!, JSON.stringify(title))
  }
  await page.context().close()
})

// In another workspace, whose endpoint of its own has no pace to keep, as Slack has.
test('the log page by page, and filtered', { skip }, async () => {
  const many = (name: string, count: number) => sql(`INSERT INTO post (id, board_id, title, content, slug)
    SELECT '${name}-' || n, 'g-ideas', '${name} ' || n || '.', 'x', '${name}-' || n FROM generate_series(1, ${count}) n`)
  const settled = () => eventually('all to be sent', async () => (await sql(`SELECT FROM featul_integrations.deliveries WHERE state = 'pending' AND workspace_id = 'w-globex'`)).length === 0)
  await sql(`SELECT set_config('featul_integrations.user_id', 'sam', false); SELECT integration_connect('globex', 'webhook', '${URLS.webhook}')`)
  await many('First', 61)
  await settled()
  const page = await open('sam', { workspace: 'globex' })
  const shown = () => log(page).evaluateAll((rows) => rows.map((row) => (row as HTMLElement).dataset.id!))
  const older = page.getByRole('button', { name: 'Older' })
  const all = async () => (await sql<{ id: string }>(`SELECT id FROM featul_integrations.deliveries WHERE workspace_id = 'w-globex' ORDER BY id DESC`)).map(({ id }) => id)
  await log(page).nth(49).waitFor()
  assert.deepEqual(await shown(), (await all()).slice(0, 50), 'newest first')
  await older.click()
  await eventually('all of them', async () => (await log(page).count()) === 61)
  assert.deepEqual(await shown(), await all())
  assert.equal(await older.isVisible(), false)

  // an old one is sent again: its row says so
  script({ 'hook.example.com/': [{ status: 400, body: 'not again' }] })
  const oldest = log(page).filter({ hasText: 'First 1.' })
  await oldest.locator('summary').first().click()
  await oldest.getByRole('button', { name: 'Send again' }).click()
  await oldest.getByText('✗ failed').waitFor()
  await page.getByLabel('State').selectOption('failed')
  await eventually('that which failed, alone', async () => (await log(page).count()) === 1)
  await page.getByLabel('State').selectOption('pending')
  await page.getByText('There is nothing of this kind.').waitFor()
  await page.getByLabel('State').selectOption('')
  await log(page).nth(49).waitFor()
  script({})

  // more at once than a page holds: nothing is missing between them and what was shown
  await many('Burst', 120)
  await settled()
  await eventually('the newest', async () => (await shown())[0] === (await all())[0])
  while (await older.isVisible()) {
    const before = await log(page).count()
    await older.click()
    await eventually('more of them, or the end', async () => (await log(page).count()) > before || !(await older.isVisible()))
  }
  assert.deepEqual(await shown(), await all())
  await page.context().close()
})

/** Tab, until the focus is on this. */
const tabTo = (page: Page, what: string, within = 'body') => eventually(`the focus to be on ${what}`, async () => {
  await page.keyboard.press('Tab')
  return page.evaluate(([text, root]) => document.activeElement?.textContent === text && document.activeElement?.closest(root!) !== null, [what, within])
})
const focused = (page: Page) => page.evaluate(() => document.activeElement?.textContent)

test('by keyboard alone', { skip }, async () => {
  const page = await open('olivia')
  const discord = card(page, 'Discord')
  await discord.getByText('Connect Discord').waitFor()
  await tabTo(page, 'Connect Discord')
  await page.keyboard.press('Enter')
  await page.keyboard.press('Tab')
  await page.keyboard.type(URLS.discord)
  await page.keyboard.press('Enter')
  await discord.getByText('Discord integration connected').waitFor()
  assert.equal(await focused(page), 'Change', 'the focus stays where one is')

  await page.keyboard.press('Shift+Tab')
  await page.keyboard.press('Shift+Tab')
  assert.equal(await focused(page), 'Send a test')
  await page.keyboard.press('Space')
  await discord.getByText('Test notification sent successfully').waitFor()
  assert.equal(await focused(page), 'Send a test', 'the focus stays where one is')

  await page.keyboard.press('Tab')
  await page.keyboard.press('Enter')
  await discord.getByText('Discord integration disconnected').waitFor()
  await discord.getByText('Not connected').waitFor()
  assert.equal(await focused(page), 'Connect Discord', 'the button has gone, the next best is taken')
  assert.deepEqual(await sql(`SELECT FROM featul_integrations.integration WHERE type = 'discord'`), [])

  await tabTo(page, (await log(page).first().locator('summary').first().textContent())!, '#deliveries')
  await page.keyboard.press('Enter')
  await log(page).first().locator('.message p').first().waitFor()
  await tabTo(page, 'Send again', '#deliveries')
  await page.keyboard.press('Enter')
  await log(page).first().getByText('Delivery queued').waitFor()
  await page.context().close()
})

test('disconnect: only if one means it; what still waits is not sent', { skip }, async () => {
  script({ 'discord.com/': [{ status: 429, headers: { 'Retry-After': '3600' } }] })
  const page = await open('olivia')
  const discord = await connect(page, 'Discord')
  const title = await post('Never to be sent')
  const row = log(page).filter({ hasText: title }).filter({ hasText: 'Discord' })
  await row.getByText('… waiting').waitFor()
  answers.push(false)
  await discord.getByRole('button', { name: 'Disconnect' }).click()
  await eventually('the question', () => answers.length === 0)
  assert.equal((await sql(`SELECT FROM featul_integrations.integration WHERE type = 'discord'`)).length, 1)
  await discord.getByRole('button', { name: 'Disconnect' }).click()
  await discord.getByText('Discord integration disconnected').waitFor()
  await discord.getByText('Not connected').waitFor()
  await page.reload()
  await row.getByText('– not sent').waitFor()
  script({})
  await page.context().close()
})

test('Microsoft Teams: connected, tested, its message as a card', { skip }, async () => {
  script({ 'prod-1.westeurope.logic.azure.com/': [{ status: 202 }] })
  const page = await open('olivia')
  const teams = await connect(page, 'Teams')
  assert.doesNotMatch(await page.content(), /teamssecret/)
  await teams.getByRole('button', { name: 'Send a test' }).click()
  await teams.getByText('Test notification sent successfully').waitFor()
  const title = await post('A [bracket](https://evil.example.com) and *stars*', { content: 'First line.\nSecond [one](https://evil.example.com).' })
  const row = log(page).filter({ hasText: title }).filter({ hasText: 'Teams' })
  await row.getByText('✓ delivered').waitFor()
  await row.locator('summary').first().click()
  const message = row.locator('.message')
  assert.equal(await message.getByRole('link', { name: title }).getAttribute('href'), `https://acme.featul.com/posts/${await slug(title)}`)
  await message.getByText('First line.\nSecond [one](https://evil.example.com).').waitFor()
  assert.equal(await message.getByRole('link').count(), 1)
  await accessible(page, 'Teams')
  await page.getByRole('combobox', { name: 'To' }).first().selectOption('teams')
  await eventually('only those to Teams', async () => (await log(page).count()) === 1)
  await teams.getByRole('button', { name: 'Disconnect' }).click()
  await teams.getByText('Not connected').waitFor()
  script({})
  await page.context().close()
})

test('the service goes and comes back: the page says so, and has what came meanwhile', { skip }, async () => {
  const page = await open('olivia')
  await page.getByText('Live', { exact: true }).waitFor()
  const { port } = new URL(service.url)
  await service.stop()
  await page.getByText('Connecting again…').waitFor()
  await post('While nobody listened')
  service = await Service.start({ TESTS_PER_MINUTE: '100', PORT: port })
  await page.getByText('Live', { exact: true }).waitFor()
  await log(page).filter({ hasText: 'While nobody listened' }).getByText('✓ delivered').waitFor()
  await page.context().close()
})

test('removed while the page is open: it says so, and shows nothing more', { skip }, async () => {
  const page = await open('adam')
  await page.getByText('Live', { exact: true }).waitFor()
  await sql(`UPDATE workspace_member SET role = 'member' WHERE user_id = 'adam'`)
  await post('Not for Adam')
  await page.getByText("You don't have permission to view integrations").waitFor()
  assert.equal(await page.locator('#content').isVisible(), false)
  assert.equal(await page.getByText('Not for Adam').count(), 0)
  await sql(`UPDATE workspace_member SET role = 'admin' WHERE user_id = 'adam'`)
  await page.context().close()
})

test('the signing secret: shown when asked for, made anew', { skip }, async () => {
  const page = await open('olivia')
  const webhook = await connect(page, 'Webhook')
  await webhook.getByText('Signing secret').click()
  assert.doesNotMatch(await page.content(), /whsec_/)
  await accessible(page, 'the secret')
  await webhook.getByRole('button', { name: 'Show' }).click()
  const secret = webhook.locator('output')
  await eventually('the secret', async () => (await secret.innerText()).startsWith('whsec_'))
  const first = await secret.innerText()
  await webhook.getByRole('button', { name: 'Make a new one' }).click()
  await eventually('another one', async () => (await secret.innerText()).startsWith('whsec_') && (await secret.innerText()) !== first)
  await webhook.getByText('Signing secret').click()
  await eventually('it to be hidden again', async () => !(await page.content()).includes('whsec_'))
  await page.context().close()
})

test('send again what got lost', { skip }, async () => {
  script({ 'hook.example.com/': [{ status: 410 }] })
  await post('Lost one')
  const page = await open('olivia')
  const webhook = card(page, 'Webhook')
  await webhook.getByText(/Switched off/).waitFor()
  script({})
  await webhook.getByText('Change', { exact: true }).click()
  await webhook.getByLabel('Webhook URL').fill(URLS.webhook)
  await webhook.getByRole('button', { name: 'Save' }).click()
  await webhook.getByText('Webhook integration updated').waitFor()
  const before = requests('hook.example.com').length
  await page.getByText('Send again what got lost').click()
  const form = page.locator('#recover')
  await accessible(page, 'recover')
  await form.getByLabel('To').selectOption('webhook')
  await form.getByLabel('since').fill('2020-01-01T00:00')
  await form.getByRole('button', { name: 'Send again' }).click()
  await form.getByText(/1 delivery queued/).waitFor()
  await eventually('it to arrive', () => requests('hook.example.com').length === before + 1)
  await page.context().close()
})

test('no permission, no such workspace, an expired token: in words', { skip }, async () => {
  const mina = await open('mina')
  await mina.getByText("You don't have permission to view integrations").waitFor()
  assert.equal(await mina.locator('#content').isVisible(), false)
  await accessible(mina, 'refused')
  await mina.context().close()
  const nowhere = await open('olivia', { workspace: 'nowhere' })
  await nowhere.getByText('Workspace not found').waitFor()
  await nowhere.context().close()
  const late = await open('olivia', { expires: 1_000_000 })
  await late.getByText('The token has expired.').waitFor()
  await accessible(late, 'who is it')
  await late.getByRole('textbox', { name: 'Token' }).fill(await token('olivia'))
  await late.getByRole('textbox', { name: 'Workspace' }).fill('acme')
  await late.getByRole('button', { name: 'Show' }).click()
  await card(late, 'Slack').getByRole('button', { name: 'Send a test' }).waitFor()
  assert.doesNotMatch(late.url(), /token/)
  await late.context().close()
})

test('for everybody: axe finds nothing, in both themes, wide and narrow; nothing jumps', { skip }, async () => {
  await post('For everybody', { content: `A_very_long_word_${'x'.repeat(200)} and <b>more</b>` })
  for (const colorScheme of ['light', 'dark'] as const) {
    for (const width of [1200, 360]) {
      const page = await open('olivia', { colorScheme, viewport: { width, height: 900 } })
      await page.getByText('Live', { exact: true }).waitFor()
      await log(page).first().waitFor()
      const shift = await page.evaluate(() => new Promise<number>((resolve) => {
        let sum = 0
        new PerformanceObserver((list) => {
          for (const entry of list.getEntries()) sum += (entry as unknown as { value: number }).value
        }).observe({ type: 'layout-shift', buffered: true })
        setTimeout(() => resolve(sum), 100)
      }))
      assert.ok(shift < 0.1, `${colorScheme}, ${width}: layout shift ${shift}`) // "good" by web.dev/cls
      await accessible(page, `${colorScheme}, ${width}`)
      await card(page, 'Slack').getByText('Change', { exact: true }).click()
      const row = log(page).filter({ hasText: 'For everybody' }).first()
      await row.locator('summary').first().click()
      await row.locator('.message').getByText(/A_very_long_word/).first().waitFor()
      await accessible(page, `${colorScheme}, ${width}, opened`)
      assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width, `${width} px are wide enough`)
      await page.context().close()
    }
  }
})

test('pictures', { skip: skip || (pictures ? false : 'not asked for') }, async () => {
  await sql(`DELETE FROM post`)
  const boards = ['ideas', 'bugs', 'ideas']
  for (const [n, title] of ['Dark mode', 'Export to CSV fails on empty boards', 'Keyboard shortcuts'].entries())
    await post(title, { board: boards[n]!, content: 'My eyes hurt at 2 a.m.\nA switch in the settings would do.' })
  for (const colorScheme of ['light', 'dark'] as const) {
    const page = await open('olivia', { colorScheme, viewport: { width: 1040, height: 1180 }, deviceScaleFactor: 1, locale: 'en-GB' })
    await page.getByText('Live', { exact: true }).waitFor()
    await log(page).first().waitFor()
    await log(page).filter({ hasText: 'Keyboard' }).filter({ hasText: 'Slack' }).getByText('✓ delivered').waitFor()
    await log(page).filter({ hasText: 'Keyboard' }).filter({ hasText: 'Slack' }).locator('summary').first().click()
    await log(page).locator('.message p').first().waitFor()
    await page.screenshot({ path: join(pictures!, `http-${colorScheme}.png`) })
    await page.context().close()
  }
})

test('what is amiss, in words: failing, gone for good, the plan', { skip }, async () => {
  script({ 'hooks.slack.com/': [{ status: 500, body: 'out of order' }], 'discord.com/': [{ status: 404, body: '{"code": 10015}' }] })
  const page = await open('olivia')
  const discord = await connect(page, 'Discord')
  for (let n = 0; n < 4; n++) await post(`Amiss ${n}`)
  await discord.getByText(/^Switched off: ./).waitFor()
  await card(page, 'Slack').getByText(/^Connected, but the last message did not arrive: .*HTTP 500/).waitFor()
  await accessible(page, 'amiss')
  const row = log(page).filter({ hasText: 'Amiss 0' }).filter({ hasText: 'Slack' })
  await row.getByText('✗ failed').waitFor()
  await row.locator('summary').first().click()
  await row.getByText('out of order').waitFor()
  script({})

  await sql(`UPDATE workspace SET plan = 'free' WHERE slug = 'acme'`)
  await page.reload()
  await card(page, 'Slack').getByText(/^Switched off: .*plan/).waitFor()
  await card(page, 'Slack').getByRole('button', { name: 'Send a test' }).click()
  await card(page, 'Slack').getByText(/Integrations are available on Starter or Professional plans/).waitFor()
  await accessible(page, 'no plan')
  await sql(`UPDATE workspace SET plan = 'professional' WHERE slug = 'acme'`)
  await page.reload()
  await discord.getByRole('button', { name: 'Disconnect' }).click()
  await discord.getByText('Not connected').waitFor()
  await page.context().close()
})

test('the last 24 hours, in bars and in words', { skip }, async () => {
  await eventually('all to be delivered or to wait for long', async () =>
    (await sql(`SELECT FROM featul_integrations.deliveries WHERE workspace_id = 'w-acme'
      AND state = 'pending' AND coalesce(next_attempt_at, now()) < now() + interval '1 minute'`)).length === 0)
  const page = await open('olivia')
  const figure = page.locator('#activity')
  await figure.locator('rect').first().waitFor()
  const counts = await sql<{ state: string; n: number }>('SELECT state, count(*)::integer AS n FROM featul_integrations.deliveries WHERE workspace_id = \'w-acme\' GROUP BY state')
  const count = (state: string) => counts.find((row) => row.state === state)?.n ?? 0
  const words = `${count('delivered')} delivered, ${count('failed')} failed, ${count('cancelled') + count('pending')} waiting or not sent`
  assert.equal((await figure.locator('figcaption').textContent())!.trim(), `${words}.`)
  assert.equal(await figure.locator('svg').getAttribute('aria-label'), `By hour: ${words}`)
  assert.ok((await figure.locator('rect.delivered').count()) >= 1)
  assert.ok((await figure.locator('rect.failed').count()) >= 1)
  await page.context().close()
})

test('the browser had nothing to complain of: no policy was violated, no error was thrown', { skip }, () => {
  assert.deepEqual(complaints, [])
})
