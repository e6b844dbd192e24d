// The API, call by call, through Hono's own client and as featul's documentation writes the calls.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'

import type { Api } from 'featul-integrations-http'
import { createClient } from 'featul-integrations-http/client'
import { hc } from 'hono/client'
import { createClient as createJstackClient } from 'jstack'

import { eventually, post, requests, script, Service, setUp, sql, token, URLS } from './harness.ts'

let service: Service
let client: ReturnType<typeof createClient>

const as = async (user: string) => createClient(service.api, { headers: { Authorization: `Bearer ${await token(user)}` } })

/** Status and answer, of a refusal as well. */
async function outcome(call: Promise<{ status: number; json(): Promise<unknown> }>) {
  const response = await call
  return { status: response.status, ...((await response.json()) as { message?: string; hint?: string; detail?: string }) }
}

const workspaceSlug = 'acme'

before(async () => {
  await setUp()
  service = await Service.start()
  client = await as('olivia')
})
after(() => service.stop())

describe('the documented calls', () => {
  test('connect, list, test, disconnect', async () => {
    const connected = await client.integration.connect.$post({ workspaceSlug, type: 'slack', webhookUrl: URLS.slack })
    assert.equal(connected.status, 200)
    assert.deepEqual(await connected.json(), { success: true, message: 'Slack integration connected' })
    assert.deepEqual(await outcome(client.integration.connect.$post({ workspaceSlug, type: 'slack', webhookUrl: URLS.slack })),
      { status: 200, success: true, message: 'Slack integration updated' })

    const { integrations } = await (await client.integration.list.$get({ workspaceSlug })).json()
    const [slack] = integrations
    assert.equal(integrations.length, 1)
    assert.equal(slack?.type, 'slack')
    assert.equal(slack?.isActive, true)
    assert.equal(slack?.status, 'active')
    assert.match(String(slack?.createdAt), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    assert.deepEqual(Object.keys(slack!).sort(), ['boards', 'createdAt', 'events', 'id', 'isActive', 'lastTriggeredAt', 'rule',
      'status', 'statusReason', 'type', 'updatedAt'])
    assert.doesNotMatch(JSON.stringify(integrations), /hooks\.slack\.com|slacksecret/)

    const before = requests('hooks.slack.com').length
    assert.deepEqual(await outcome(client.integration.test.$post({ workspaceSlug, type: 'slack' })),
      { status: 200, success: true, message: 'Test notification sent successfully' })
    assert.equal(requests('hooks.slack.com').length, before + 1)

    assert.deepEqual(await outcome(client.integration.disconnect.$post({ workspaceSlug, type: 'slack' })),
      { status: 200, success: true, message: 'Slack integration disconnected' })
    assert.deepEqual(await (await client.integration.list.$get({ workspaceSlug })).json(), { integrations: [] })
  })

  test("the same through Hono's client alone", async () => {
    const hono = hc<Api>(service.api, { headers: { Authorization: `Bearer ${await token('olivia')}` } })
    const connected = await hono.integration.connect.$post({ json: { workspaceSlug, type: 'discord', webhookUrl: URLS.discord } })
    const { message } = await connected.json()
    assert.equal(message satisfies string, 'Discord integration connected')
    const { integrations } = await (await hono.integration.list.$get({ query: { workspaceSlug } })).json()
    assert.equal(integrations[0]?.type satisfies 'slack' | 'discord' | 'webhook' | 'teams' | undefined, 'discord')
    const query = { workspaceSlug }, json = { workspaceSlug }
    const type = 'discord'
    const { integration } = hono
    assert.equal((await (await integration.test.$post({ json: { ...json, type } })).json()).success satisfies boolean, true)
    await post('Through hc')
    const [delivery] = await eventually('a delivery', async () => {
      const { deliveries } = await (await integration.deliveries.$get({ query: { ...query, type, state: 'delivered', maxRows: '5' } })).json()
      return deliveries.length > 0 && deliveries
    })
    const deliveryId = delivery!.id satisfies string
    assert.match((await (await integration.message.$get({ query: { ...query, deliveryId } })).json()).body satisfies string, /Through hc/)
    assert.match((await (await integration.redeliver.$post({ json: { ...json, deliveryId } })).json()).message satisfies string, /queued/)
    assert.match((await (await integration.recover.$post({ json: { ...json, type, since: new Date().toISOString() } })).json()).message satisfies string, /0 deliveries/)
    assert.match((await (await integration.preview.$get({ query: { ...query, type, event: 'post.created' } })).json()).body satisfies string, /embeds/)
    assert.equal((await integration.secret.$get({ query })).status satisfies number, 404)
    assert.equal((await integration.rotateSecret.$post({ json })).status satisfies number, 404)
    assert.ok((await (await integration.events.$get()).json()).events[0]!.label satisfies string)
    assert.equal((await (await integration.activity.$get({ query })).json()).complete satisfies boolean, true)
    // @ts-expect-error: a number for an id, which only a query carries as text
    assert.equal((await client.integration.redeliver.$post({ ...json, deliveryId: 1 })).status, 400)
    // @ts-expect-error: no such type
    assert.equal((await integration.test.$post({ json: { ...json, type: 'pigeon' } })).status, 400)
    await hono.integration.disconnect.$post({ json: { workspaceSlug, type: 'discord' } })
  })

  test("the same through jstack's client, which featul uses", async () => {
    const jstack = createJstackClient({ baseUrl: service.api, headers: { Authorization: `Bearer ${await token('olivia')}` } }) as unknown as typeof client
    assert.equal((await outcome(jstack.integration.connect.$post({ workspaceSlug, type: 'slack', webhookUrl: URLS.slack }))).message,
      'Slack integration connected')
    const { integrations } = await (await jstack.integration.list.$get({ workspaceSlug })).json()
    assert.equal(integrations[0]?.type, 'slack')
    assert.deepEqual(await (await jstack.integration.deliveries.$get({ workspaceSlug, type: 'slack', maxRows: 5 })).json(), { deliveries: [] })
    assert.equal((await outcome(jstack.integration.test.$post({ workspaceSlug, type: 'slack' }))).status, 200)
    assert.equal((await outcome(jstack.integration.disconnect.$post({ workspaceSlug, type: 'slack' }))).status, 200)
    await assert.rejects(jstack.integration.list.$get({ workspaceSlug: 'nowhere' }), /Workspace not found/)
  })
})

describe('the other calls', () => {
  before(async () => {
    await client.integration.connect.$post({ workspaceSlug, type: 'webhook', webhookUrl: URLS.webhook, events: ['post.created'], boards: ['ideas'] })
  })

  const log = async (more: object = {}) =>
    (await (await client.integration.deliveries.$get({ workspaceSlug, type: 'webhook', ...more })).json()).deliveries

  test('filters are kept', async () => {
    const { integrations } = await (await client.integration.list.$get({ workspaceSlug })).json()
    assert.deepEqual(integrations[0]?.events, ['post.created'])
    assert.deepEqual(integrations[0]?.boards, ['ideas'])
  })

  test('deliveries, page by page', async () => {
    for (const title of ['One', 'Two', 'Three']) await post(title)
    await post('Elsewhere', { board: 'bugs' })
    const all = await eventually('three deliveries', async () => {
      const found = await log()
      return found.length === 3 && found.every(({ state }) => state === 'delivered') && found
    })
    assert.deepEqual(all.map(({ payload }) => (payload?.post as { title: string }).title), ['Three', 'Two', 'One'])
    const [newest] = all
    assert.equal(newest?.httpStatus, 200)
    assert.equal(newest?.attempts, 1)
    assert.equal(typeof newest?.durationMs, 'number')
    assert.equal(newest?.nextAttemptAt, null)
    assert.match(newest!.id satisfies string, /^\d+$/)

    const first = await log({ maxRows: 2 })
    assert.equal(first.length, 2)
    assert.deepEqual((await log({ maxRows: 2, before: first[1]!.id })).map(({ id }) => id), [all[2]!.id])
    assert.deepEqual(await log({ state: 'failed' }), [])
    assert.deepEqual(await log({ type: 'slack' }), [])
  })

  test('a message, the very bytes that were sent', async () => {
    const [newest] = await log({ maxRows: 1 })
    const { body } = await (await client.integration.message.$get({ workspaceSlug, deliveryId: newest!.id })).json()
    assert.equal(body, requests('hook.example.com').findLast((request) => request.body.includes('Three'))?.body)
    const globex = await (await as('sam')).integration.message.$get({ workspaceSlug: 'globex', deliveryId: newest!.id })
    assert.equal(globex.status, 404)
  })

  test('redeliver and recover', async () => {
    const id = (await log({ maxRows: 1 }))[0]!.id
    const before = requests('hook.example.com').length
    assert.equal((await outcome(client.integration.redeliver.$post({ workspaceSlug, deliveryId: id }))).status, 200)
    await eventually('it to be sent again', () => requests('hook.example.com').length === before + 1)

    script({ 'hook.example.com/': [{ status: 410 }] })
    const since = new Date(Date.now() - 60_000).toISOString()
    await post('Lost')
    await eventually('it to fail', async () => (await log({ state: 'failed' })).length === 1)
    script({})
    await client.integration.connect.$post({ workspaceSlug, type: 'webhook', webhookUrl: URLS.webhook })
    assert.equal((await outcome(client.integration.recover.$post({ workspaceSlug, type: 'webhook', since }))).status, 200)
    await eventually('it to be recovered', async () => (await log({ state: 'failed' })).length === 0)
  })

  test('preview, secret, rotateSecret, events, activity', async () => {
    const { body } = await (await client.integration.preview.$get({ workspaceSlug, type: 'webhook', event: 'post.created' })).json()
    assert.equal((JSON.parse(body) as { event: string }).event, 'post.created')
    const { secret } = await (await client.integration.secret.$get({ workspaceSlug })).json()
    assert.match(secret, /^whsec_/)
    const rotated = await (await client.integration.rotateSecret.$post({ workspaceSlug })).json()
    assert.match(rotated.secret, /^whsec_/)
    assert.notEqual(rotated.secret, secret)
    const { events } = await (await client.integration.events.$get()).json()
    assert.ok(events.some(({ event, label }) => event === 'post.created' && label !== ''))
    const { hours, complete } = await (await client.integration.activity.$get({ workspaceSlug })).json()
    assert.equal(complete, true)
    assert.ok(hours.some(({ type, state, count }) => type === 'webhook' && state === 'delivered' && count >= 3))
  })

  test('a delivery is told of as it happens', async () => {
    const response = await client.integration.changes.$get({ workspaceSlug })
    assert.match(response.headers.get('Content-Type') ?? '', /^text\/event-stream/)
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
    let received = ''
    const heard = async (times: number) => {
      while ((received.match(/event: change/g) ?? []).length < times) {
        const { value, done } = await reader.read()
        assert.ok(!done, 'the stream goes on')
        received += value
      }
    }
    await heard(2) // at once, and when the service listens
    await post('Heard of')
    await heard(3)
    await reader.cancel()
  })

  test('streams: so many for a user, and their places are free again when the reader has gone', async () => {
    const adam = `Bearer ${await token('adam')}`
    const open = async () => {
      const reader = new AbortController()
      const { status } = await fetch(`${service.api}/integration/changes?workspaceSlug=acme`, { headers: { Authorization: adam }, signal: reader.signal })
      return { status, reader }
    }
    const streams = await Promise.all(Array.from({ length: 8 }, open))
    assert.deepEqual([...new Set(streams.map(({ status }) => status))], [200])
    assert.equal((await open()).status, 429)
    for (const { reader } of streams) reader.abort()
    await eventually('a place to be free', async () => (await open()).status === 200)
  })
})

describe('who is refused', () => {
  const list = (given: ReturnType<typeof createClient>, slug = workspaceSlug) => outcome(given.integration.list.$get({ workspaceSlug: slug }))

  test('by the token', async () => {
    const bare = (headers: Record<string, string> = {}) => createClient(service.api, { headers })
    const bearer = (value: string) => bare({ Authorization: `Bearer ${value}` })
    const answered = await bare().integration.list.$get({ workspaceSlug })
    assert.equal(answered.status, 401)
    assert.equal(answered.headers.get('WWW-Authenticate'), 'Bearer')
    for (const [what, given] of Object.entries({
      'not a token': bearer('nonsense'),
      'another secret': bearer(await token('olivia', {}, 'another secret of the tests, 32 bytes')),
      'no algorithm': bearer(`${btoa('{"alg":"none"}')}.${btoa('{"sub":"olivia","exp":9999999999}')}.`.replaceAll('=', '')),
      'no user': bearer(await token('')),
      'a number for a user': bearer(await token(7 as unknown as string)),
      'a NUL in the user': bearer(await token('oli\0via')),
      'basic': bare({ Authorization: `Basic ${btoa('olivia:olivia')}` }),
    })) {
      assert.equal((await list(given)).status, 401, what)
      assert.equal((await list(given)).message, 'Authentication required', what)
    }
    assert.match(String((await list(bearer(await token('olivia', { expires: 1_000_000 })))).hint), /expired/)
  })

  test('by the role, the workspace, the plan', async () => {
    assert.equal((await list(await as('adam'))).status, 200)
    const mina = await list(await as('mina'))
    assert.equal(mina.status, 403)
    assert.equal(mina.message, "You don't have permission to view integrations")
    assert.ok(mina.hint)
    assert.equal((await list(await as('nobody'))).status, 403)
    assert.deepEqual((await list(client, 'nowhere')).message, 'Workspace not found')
    const { status, message } = await outcome(client.integration.connect.$post({ workspaceSlug: 'poor', type: 'slack', webhookUrl: URLS.slack }))
    assert.equal(status, 403)
    assert.equal(message, 'Integrations are available on Starter or Professional plans')
  })

  test('nothing else of a request chooses who acts', async () => {
    const mina = `Bearer ${await token('mina')}`
    const ask = (path: string, headers: Record<string, string> = {}, body?: object) =>
      fetch(service.api + path, { headers: { Authorization: mina, 'Content-Type': 'application/json', ...headers }, ...(body && { method: 'POST', body: JSON.stringify(body) }) })
    assert.equal((await ask('/integration/list?workspaceSlug=acme', { 'X-User-Id': 'olivia', Cookie: 'user_id=olivia', 'X-Forwarded-User': 'olivia' })).status, 403)
    assert.equal((await ask('/integration/list?workspaceSlug=acme&userId=olivia')).status, 400)
    assert.equal((await ask('/integration/test', {}, { workspaceSlug: 'acme', type: 'webhook', user_id: 'olivia' })).status, 400)
  })

  test("another workspace's delivery", async () => {
    const sam = await as('sam')
    const { deliveries } = await (await client.integration.deliveries.$get({ workspaceSlug, maxRows: 1 })).json()
    const { status, message } = await outcome(sam.integration.redeliver.$post({ workspaceSlug: 'globex', deliveryId: deliveries[0]!.id }))
    assert.equal(status, 404)
    assert.equal(message, 'Delivery not found')
  })

  test('a test that fails says why', async () => {
    script({ 'hook.example.com/': [{ status: 418, body: 'I am a teapot' }] })
    const failed = await outcome(client.integration.test.$post({ workspaceSlug, type: 'webhook' }))
    assert.equal(failed.status, 500)
    assert.equal(failed.message, 'Failed to send webhook notification')
    assert.equal(failed.detail, 'HTTP 418: I am a teapot')
    script({})
  })

  test('too many tests', async () => {
    const adam = await as('adam')
    const statuses = []
    for (let n = 0; n < 8; n++) statuses.push((await outcome(adam.integration.test.$post({ workspaceSlug, type: 'webhook' }))).status)
    assert.deepEqual(statuses, [200, 200, 200, 200, 200, 200, 429, 429])
    const refused = await adam.integration.test.$post({ workspaceSlug, type: 'webhook' })
    assert.ok(Number(refused.headers.get('Retry-After')) > 0)
  })
})

describe('bad input', () => {
  const raw = async (path: string, init: RequestInit = {}) => {
    const response = await fetch(service.api + path, { ...init, headers: { Authorization: `Bearer ${await token('olivia')}`, ...init.headers } })
    return { status: response.status, ...((await response.json()) as { message: string; hint?: string }) }
  }
  const json = (path: string, value: unknown, type = 'application/json') =>
    raw(path, { method: 'POST', body: typeof value === 'string' ? value : JSON.stringify(value), headers: { 'Content-Type': type } })

  test('wrong types', async () => {
    const good = { workspaceSlug, type: 'slack', webhookUrl: URLS.slack }
    for (const [what, value] of Object.entries({
      'a number for a slug': { ...good, workspaceSlug: 1 },
      'no URL': { workspaceSlug, type: 'slack' },
      'an unknown type': { ...good, type: 'pigeon' },
      'an object for a URL': { ...good, webhookUrl: { toString: 1 } },
      'a text for events': { ...good, events: 'post.created' },
      'a number among events': { ...good, events: [1] },
      'a NUL': { ...good, rule: '\0' },
      'an argument too many': { ...good, event: ['post.created'] },
      'an array': [good],
      'null': 'null',
      'no JSON': '{"workspaceSlug": ',
      'nothing': '',
    }))
      assert.equal((await json('/integration/connect', value)).status, 400, what)
    assert.equal((await json('/integration/connect', good, 'text/plain')).status, 400, 'no JSON by its type')
    assert.equal((await raw('/integration/deliveries?workspaceSlug=acme&maxRows=many')).status, 400)
    assert.equal((await raw('/integration/deliveries?workspaceSlug=acme&maxRows=0')).status, 400)
    assert.equal((await raw('/integration/deliveries?workspaceSlug=acme&maxRows=201')).status, 400)
    assert.equal((await raw('/integration/deliveries?workspaceSlug=acme&before=-1')).status, 400)
    assert.equal((await raw('/integration/deliveries?workspaceSlug=acme&workspaceSlug=globex')).status, 400)
    assert.equal((await json('/integration/redeliver', { workspaceSlug, deliveryId: '1; DROP TABLE post' })).status, 400)
    assert.equal((await json('/integration/recover', { workspaceSlug, type: 'slack', since: 'yesterday' })).status, 400)
    for (const since of ['0000-01-01T00:00:00Z', '2026-01-01T00:00:00+23:59', `2026-01-01T00:00:00.${'1'.repeat(1000)}Z`])
      assert.equal((await json('/integration/recover', { workspaceSlug, type: 'slack', since })).status, 400, since)
    assert.equal((await raw('/integration/nothing')).status, 404)
    assert.equal((await raw('/integration/connect')).status, 404)
  })

  test('what the database refuses: its words, and no URL', async () => {
    const secret = 'https://hooks.slack.com/workflows/T0/A0/SECRETSECRET'
    const refused = await json('/integration/connect', { workspaceSlug, type: 'slack', webhookUrl: secret })
    assert.equal(refused.status, 400)
    assert.ok(refused.message && refused.hint)
    assert.doesNotMatch(JSON.stringify(refused), /SECRET/)
    const event = await json('/integration/connect', { workspaceSlug, type: 'slack', webhookUrl: URLS.slack, events: ['post.exploded'] })
    assert.match(event.hint!, /post\.created/)
  })

  test('SQL is data', async () => {
    const attack = `acme'; DROP TABLE post; --`
    assert.equal((await raw(`/integration/list?${new URLSearchParams({ workspaceSlug: attack })}`)).status, 404)
    assert.equal((await sql('SELECT FROM post LIMIT 1')).length, 1)
  })

  test('too large', async () => {
    const large = JSON.stringify({ workspaceSlug, type: 'slack', webhookUrl: 'x'.repeat(70_000) })
    assert.equal((await json('/integration/connect', large)).status, 413)
    const chunked = new ReadableStream({ start(stream) { stream.enqueue(new TextEncoder().encode(large)); stream.close() } })
    assert.equal((await raw('/integration/connect', { method: 'POST', body: chunked, duplex: 'half', headers: { 'Content-Type': 'application/json' } } as RequestInit)).status, 413)
    assert.equal((await fetch(`${service.api}/integration/list?workspaceSlug=${'x'.repeat(20_000)}`)).status, 431)
  })
})

test('nothing that is secret is logged', () => {
  assert.doesNotMatch(service.output, /slacksecret|discordsecret|SECRET|whsec_|eyJ|Bearer|workspaceSlug|example\.com\/featul/)
  assert.ok(service.log.some(({ message, path, status }) => message === 'request' && path === '/api/integration/connect' && status === 200))
})
