// The service among people who mean it harm, and a database that goes away at the worst moment.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { connect, type Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'

import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import pg from 'pg'

import { cluster, eventually, post, script, SECRET, Service, setUp, sql, token, URLS } from './harness.ts'

let service: Service
before(async () => {
  await setUp()
  service = await Service.start({ TESTS_PER_MINUTE: '1000' })
})
after(() => service.stop())

const LIST = '/integration/list?workspaceSlug=acme'
const CHANGES = '/integration/changes?workspaceSlug=acme'

type Answer = { status: number; retryAfter: string | null; connection: string | null; text: string }

async function call(path: string, { by = 'olivia', bearer, body, at = service, ...init }: RequestInit & { by?: string; bearer?: string; body?: string; at?: Service } = {}): Promise<Answer> {
  const headers = { Authorization: `Bearer ${bearer ?? (await token(by))}`, ...(body !== undefined && { 'Content-Type': 'application/json' }) }
  const response = await fetch(at.api + path, { headers, ...(body !== undefined && { method: 'POST', body }), ...init })
  return { status: response.status, retryAfter: response.headers.get('Retry-After'), connection: response.headers.get('Connection'), text: await response.text() }
}

const connection = (type: 'slack' | 'webhook', at = service) =>
  call('/integration/connect', { body: JSON.stringify({ workspaceSlug: 'acme', type, webhookUrl: URLS[type] }), at })
const testing = (type: 'slack' | 'webhook', more: { by?: string; at?: Service } = {}) =>
  call('/integration/test', { body: JSON.stringify({ workspaceSlug: 'acme', type }), ...more })

/** What the service answers to these very bytes, up to the end of the connection. */
function raw(text: string, { then }: { then?: (write: (more: string) => void, socket: Socket) => void } = {}): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(Number(new URL(service.url).port), '127.0.0.1')
    let answer = ''
    socket.setEncoding('utf8').on('data', (part) => (answer += part))
    socket.on('close', () => resolve(answer)).on('error', () => {})
    socket.write(text)
    then?.((more) => socket.writable && socket.write(more), socket)
  })
}

/** A stream of changes being read: how many so far, and its end. */
async function stream(by = 'olivia', at = service) {
  const reader = new AbortController()
  const response = await fetch(at.api + CHANGES, { headers: { Authorization: `Bearer ${await token(by)}` }, signal: reader.signal })
  const state = { response, changes: 0, ended: false, close: () => reader.abort() }
  void (async () => {
    try {
      for await (const part of response.body as unknown as AsyncIterable<Uint8Array>)
        state.changes += Buffer.from(part).toString().split('event: change').length - 1
    } catch { /* closed by us */ }
    state.ended = true
  })()
  return state
}

describe('tokens', () => {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const key = new TextEncoder().encode(SECRET)
  const good = { sub: 'olivia', exp: Math.floor(Date.now() / 1000) + 600 }
  const signed = (header: object, payload: object = good) =>
    new SignJWT(payload as { sub: string }).setProtectedHeader({ alg: 'HS256', ...header } as { alg: string }).sign(key, { crit: { b64: true } })

  test('that prove nothing', async () => {
    const now = Math.floor(Date.now() / 1000)
    const valid = await signed({})
    assert.equal((await call(LIST, { bearer: valid })).status, 200)
    const [header, , signature] = valid.split('.')
    for (const [what, bearer] of Object.entries({
      'alg none': `${part({ alg: 'none' })}.${part(good)}.`,
      'alg None, signed': `${part({ alg: 'None' })}.${part(good)}.${signature}`,
      'an array for an alg': `${part({ alg: ['HS256'] })}.${part(good)}.${signature}`,
      'another payload': `${header}.${part({ ...good, sub: 'adam' })}.${signature}`,
      'HS512 by the same secret': await new SignJWT(good).setProtectedHeader({ alg: 'HS512' }).sign(key),
      'no exp': await signed({}, { sub: 'olivia' }),
      'a text for an exp': await signed({}, { ...good, exp: '9999999999' }),
      'not yet': await signed({}, { ...good, nbf: now + 600 }),
      'a text for an nbf': await signed({}, { ...good, nbf: 'now' }),
      'an array for a sub': await signed({}, { ...good, sub: ['olivia'] }),
      'an object for a sub': await signed({}, { ...good, sub: { toString: 'olivia' } }),
      'half a character in a sub': await signed({}, { ...good, sub: 'olivia\ud800' }),
      'no sub': await signed({}, { exp: good.exp, user_id: 'olivia', id: 'olivia' }),
      'a critical header that nobody knows': `${part({ alg: 'HS256', crit: ['x'], x: 1 })}.${part(good)}.${signature}`,
      'an unencoded payload': await signed({ b64: false, crit: ['b64'] }).catch(() => 'no.such.token'),
      'encrypted': `${header}.${part(good)}.${signature}.${part(good)}.${signature}`,
    }))
      assert.equal((await call(LIST, { bearer })).status, 401, what)
  })

  test('whose header names its own key', async () => {
    const { publicKey, privateKey } = await generateKeyPair('RS256', { extractable: true })
    const jwk = await exportJWK(publicKey)
    for (const header of [{ jwk }, { jku: 'http://127.0.0.1:1/', kid: 'k' }, { x5u: 'http://127.0.0.1:1/' }, { kid: '../../../dev/null' }, { kid: "' UNION SELECT 'x" }]) {
      const forged = await new SignJWT(good).setProtectedHeader({ alg: 'RS256', ...header }).sign(privateKey)
      assert.equal((await call(LIST, { bearer: forged })).status, 401, Object.keys(header).join())
      const empty = await new SignJWT(good).setProtectedHeader({ alg: 'HS256', ...header }).sign(new Uint8Array(32))
      assert.equal((await call(LIST, { bearer: empty })).status, 401, Object.keys(header).join())
    }
  })

  test('keys come over TLS alone, or from this machine', async () => {
    const careless = new Service({ JWKS_URL: 'http://keys.example.com/jwks' })
    await eventually('it to end, or to begin', () => careless.output)
    if (!/JWKS_URL/.test(careless.output)) careless.kill('SIGKILL')
    assert.match(careless.output, /JWKS_URL: https/)
  })
})

describe('requests', { concurrency: true }, () => {
  test('of which two readers would see two', async () => {
    const head = `POST /api/integration/list HTTP/1.1\r\nHost: x\r\n`
    for (const request of [
      `${head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      `${head}Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde`,
      `${head}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`,
      `${head}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`,
      `${head}Content-Length: +4\r\n\r\nabcd`,
      `${head}X: a\r\n b\r\nContent-Length: 0\r\n X: y\r\n\r\n`,
      `GET /api${LIST} HTTP/1.1\r\n\r\n`,
    ])
      assert.match(await raw(request), /^HTTP\/1\.1 400 /, request)
  })

  test('whose second identity is not heard', async () => {
    const mina = await token('mina'), olivia = await token('olivia')
    const answer = await raw(`GET /api${LIST} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer ${mina}\r\nAuthorization: Bearer ${olivia}\r\n\r\n`)
    assert.match(answer, /^HTTP\/1\.1 40[13] /)
  })

  test('that are never finished', async () => {
    const began = performance.now()
    const dripping = (write: (more: string) => void) => {
      const timer = setInterval(() => write('x'), 500)
      setTimeout(() => clearInterval(timer), 30_000).unref()
    }
    const bearer = await token('olivia')
    await Promise.all([
      raw('GET / HTTP/1.1\r\nHost: x\r\nX: ', { then: dripping }).then((answer) => assert.match(answer, /^(HTTP\/1\.1 408 |$)/)),
      raw(`POST /api/integration/test HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${bearer}\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n`,
        { then: dripping }).then((answer) => assert.match(answer, /^(HTTP\/1\.1 (408|400) |$)/)),
    ])
    assert.ok(performance.now() - began < 28_000, 'without waiting for the next half minute')
  })

  test('that break off in the middle are no fault of the service', async () => {
    const bearer = await token('olivia')
    const before = service.log.length
    for (const length of ['Transfer-Encoding: chunked', 'Content-Length: 500'])
      await raw(`POST /api/integration/test HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${bearer}\r\nContent-Type: application/json\r\n${length}\r\nExpect: 100-continue\r\n\r\n`,
        { then: (_, socket) => void socket.once('data', () => socket.write('5\r\n{"wor\r\n', () => socket.destroy())) })
    const answered = () => service.log.slice(before).filter(({ path, status }) => path === '/api/integration/test' && status === 400)
    await eventually('both to be answered', () => answered().length >= 2)
    assert.equal(service.log.some(({ message }) => /fault of this service/.test(message)), false)
  })

  test('with names that JavaScript knows', async () => {
    const good = `"workspaceSlug":"acme","type":"slack","webhookUrl":"${URLS.slack}"`
    for (const body of [`{${good},"__proto__":{"events":["post.created"]}}`, `{${good},"constructor":{"prototype":{"x":1}}}`, `{${good},"toString":"x"}`,
      `{"__proto__":{${good}}}`, `{${good},"events":{"length":1,"0":"post.created"}}`])
      assert.equal((await call('/integration/connect', { body })).status, 400, body)
    for (const query of ['__proto__=x', '__proto__[x]=y', 'constructor=x', 'toString=x', 'hasOwnProperty=x'])
      assert.equal((await call(`${LIST}&${query}`)).status, 400, query)
    assert.equal((await call('/integration/list?__proto__=acme')).status, 400)
    assert.equal((await call(`/integration/list?workspaceSlug=${encodeURIComponent('{"json":{"__proto__":1}}')}`)).status, 400)
    const deep = '['.repeat(20_000) + ']'.repeat(20_000)
    assert.equal((await call('/integration/connect', { body: `{${good},"events":${deep}}` })).status, 400)
    assert.equal((await call('/integration/list?workspaceSlug=%FF%FE')).status, 404)
    assert.equal((await call('/integration/list?workspaceSlug=acme%00')).status, 400)
    assert.equal((await call('/integration/list?workspaceSlug=%ED%A0%80')).status, 404)
    assert.equal((await call('/integration/connect', { body: `{${good},"rule":"\\ud800"}` })).status, 400)
  })

  test('are answered with nothing of theirs, and logged with nothing of theirs', async () => {
    const mark = 'Zw1tterwesen'
    const url = `https://${mark}.example.com:1/${mark}?${mark}`
    for (const [path, body] of [
      ['connect', { workspaceSlug: 'acme', type: 'slack', webhookUrl: url }],
      ['connect', { workspaceSlug: 'acme', type: 'discord', webhookUrl: url }],
      ['connect', { workspaceSlug: 'acme', type: 'teams', webhookUrl: url }],
      ['connect', { workspaceSlug: 'acme', type: 'webhook', webhookUrl: `http://${mark}` }],
      ['connect', { workspaceSlug: 'acme', type: 'webhook', webhookUrl: mark }],
      ['connect', { workspaceSlug: mark, type: 'webhook', webhookUrl: url }],
      ['connect', { workspaceSlug: 'acme', type: mark, webhookUrl: url }],
      ['connect', { workspaceSlug: 'acme', type: 'webhook', webhookUrl: url, rule: `$.${mark} ==` }],
      ['test', { workspaceSlug: mark, type: 'webhook' }],
      ['redeliver', { workspaceSlug: 'acme', deliveryId: mark }],
      ['recover', { workspaceSlug: 'acme', type: 'webhook', since: mark }],
      ['test', { workspaceSlug: 'acme', type: 'webhook', [mark]: mark }],
    ] as const) {
      const { status, text } = await call(`/integration/${path}`, { body: JSON.stringify(body) })
      assert.ok(status === 400 || status === 404, `${path}: ${status}`)
      // what is wrong with a rule is PostgreSQL's to say, in the words of the rule
      if (!('rule' in body)) assert.doesNotMatch(text, new RegExp(mark), JSON.stringify(body))
    }
    for (const query of [`workspaceSlug=${mark}`, `${mark}=1`, `workspaceSlug=acme&maxRows=${mark}`, `workspaceSlug=acme&before=${mark}`, `workspaceSlug=acme&state=${mark}`])
      assert.doesNotMatch((await call(`/integration/deliveries?${query}`)).text, new RegExp(mark), query)
    assert.equal((await call(`/integration/list/${mark}`)).status, 404)
    assert.equal((await fetch(`${service.url}/${mark}?access_token=${mark}`)).status, 404)
    assert.doesNotMatch(service.output, new RegExp(mark))
  })

  test('from other pages: nothing may be framed, stored, read or sniffed', async () => {
    for (const path of ['/', '/main.js', '/api/integration/events', '/api/nothing', '/nothing', '/readyz']) {
      const { headers } = await fetch(service.url + path, { headers: { Origin: 'https://evil.example.com' } })
      assert.match(headers.get('Content-Security-Policy') ?? '', /default-src 'none'.*frame-ancestors 'none'/, path)
      assert.equal(headers.get('X-Frame-Options'), 'DENY')
      assert.equal(headers.get('X-Content-Type-Options'), 'nosniff')
      assert.equal(headers.get('Referrer-Policy'), 'no-referrer')
      assert.equal(headers.get('Access-Control-Allow-Origin'), null)
      if (path.startsWith('/api/integration')) assert.equal(headers.get('Cache-Control'), 'no-store')
    }
    const preflight = await fetch(`${service.api}/integration/connect`, { method: 'OPTIONS', headers: {
      Origin: 'https://evil.example.com', 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'content-type' } })
    assert.equal(preflight.headers.get('Access-Control-Allow-Origin'), null)
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'text/plain; application/json'])
      assert.equal((await fetch(`${service.api}/integration/connect`, { method: 'POST', body: '{}', headers: { Authorization: `Bearer ${await token('olivia')}`, 'Content-Type': type } })).status, 400, type)
  })
})

describe('streams', () => {
  test('that nobody reads: HEAD takes no place', async () => {
    for (let n = 0; n < 20; n++)
      assert.equal((await call(CHANGES, { by: 'adam', method: 'HEAD' })).status, 200)
    const { response, close } = await stream('adam')
    assert.equal(response.status, 200)
    assert.equal(response.headers.get('X-Accel-Buffering'), 'no')
    close()
  })

  test('take no connection of the pool', async () => {
    const small = await Service.start({ POOL_SIZE: '2' })
    const streams = await Promise.all(Array.from({ length: 8 }, () => stream('olivia', small)))
    await eventually('all of them to be told', () => streams.every(({ changes }) => changes > 0))
    const answers = await Promise.all(Array.from({ length: 20 }, () => call(LIST, { at: small })))
    assert.ok(answers.every(({ status }) => status === 200))
    for (const { close } of streams) close()
    await small.stop()
  })

  test('are asked for by few at a time: a change that all of them hear of keeps no call waiting', async () => {
    const small = await Service.start({ POOL_SIZE: '4' })
    const streams = await Promise.all(['olivia', 'adam'].flatMap((user) => Array.from({ length: 8 }, () => stream(user, small))))
    await eventually('all of them to be told', () => streams.every(({ changes }) => changes > 0))
    const blocker = new pg.Client()
    await blocker.connect()
    await blocker.query('BEGIN; LOCK TABLE workspace IN ACCESS EXCLUSIVE MODE')
    await eventually('some to be asked for', async () => {
      await sql(`NOTIFY featul_integrations_deliveries, 'w-acme'`)
      return (await sql(`SELECT FROM pg_stat_activity WHERE usename = 'integrations_http' AND query ~ 'integration_preview' AND wait_event_type = 'Lock'`)).length >= 2
    })
    for (let n = 0; n < 5; n++) assert.equal((await call('/integration/events', { by: 'sam', at: small })).status, 200)
    await blocker.query('ROLLBACK')
    await blocker.end()
    for (const { close } of streams) close()
    await small.stop()
  })

  test('end for those who may no longer look, and tell them nothing more', async () => {
    await connection('webhook')
    const adam = await stream('adam'), olivia = await stream('olivia')
    await eventually('both to be told', () => adam.changes >= 1 && olivia.changes >= 1)
    await sql(`UPDATE workspace_member SET is_active = false WHERE user_id = 'adam'`)
    const [before, told] = [adam.changes, olivia.changes]
    await post('Not for Adam')
    await eventually('his to end', () => adam.ended)
    await eventually('the other to be told', () => olivia.changes > told)
    assert.ok(adam.changes <= before + 1, 'what was under way when he was removed, and no more')
    assert.equal(olivia.ended, false)
    await sql(`UPDATE workspace_member SET is_active = true WHERE user_id = 'adam'`)
    olivia.close()
  })

  test("tell nothing of other workspaces, whatever is said on PostgreSQL's channel", async () => {
    const sam = await fetch(`${service.api}/integration/changes?workspaceSlug=globex`, { headers: { Authorization: `Bearer ${await token('sam')}` } })
    const reader = sam.body!.pipeThrough(new TextDecoderStream()).getReader()
    let heard = ''
    const reading = (async () => {
      for (let got = await reader.read(); !got.done; got = await reader.read()) heard += got.value
    })().catch(() => {})
    const olivia = await stream()
    await eventually('both to be told of the beginning', () => heard.includes('change') && olivia.changes > 0)
    await sql(`NOTIFY featul_integrations, '{"workspace_id": {"toString": 1}}'; NOTIFY featul_integrations, 'not JSON'; NOTIFY featul_integrations, 'null';
      NOTIFY featul_integrations_deliveries, '__proto__'; NOTIFY featul_integrations_deliveries`)
    const before = heard, told = olivia.changes
    await post('Of Acme')
    await eventually('the other to be told', () => olivia.changes > told)
    assert.ok(heard.length <= before.length + 'event: change\ndata: \n\n'.length, 'the beginning of listening at most')
    assert.doesNotMatch(heard, /acme|Acme|w-/)
    await reader.cancel()
    await reading
    olivia.close()
  })
})

describe('tests of notifications', () => {
  test('one user has a share of the places', async () => {
    await connection('webhook')
    script({ 'hook.example.com/': [{ rude: 'silence' }] })
    const running = async () => (await sql(`SELECT FROM pg_stat_activity WHERE usename = 'integrations_http' AND query ~ 'integration_test' AND state = 'active'`)).length
    const hanging = [testing('webhook'), testing('webhook')]
    await eventually('both to wait', async () => (await running()) === 2)
    const third = await testing('webhook')
    assert.equal(third.status, 429)
    assert.ok(Number(third.retryAfter) > 0)
    const adams = testing('webhook', { by: 'adam' })
    await eventually('that of another to wait as well', async () => (await running()) === 3)
    assert.deepEqual((await Promise.all([...hanging, adams])).map(({ status }) => status), [500, 500, 500])
    script({})
  })
})

describe('more calls than can be served', () => {
  test('of one user: others are served, and that one is told', async () => {
    await connection('webhook')
    const small = await Service.start({ POOL_SIZE: '4' })
    const blocker = new pg.Client()
    await blocker.connect()
    await blocker.query('BEGIN; SELECT FROM featul_integrations.integration FOR UPDATE')
    const calls = Array.from({ length: 60 }, () => connection('webhook', small))
    const refused = await Promise.race(calls)
    assert.equal(refused.status, 429)
    assert.ok(Number(refused.retryAfter) > 0)
    for (let n = 0; n < 5; n++) assert.equal((await call('/integration/list?workspaceSlug=globex', { by: 'sam', at: small })).status, 200)
    await blocker.query('ROLLBACK')
    await blocker.end()
    assert.ok((await Promise.all(calls)).every(({ status }) => status === 200 || status === 429))
    await small.stop()
  })

  test('503 and Retry-After; the log does not say that the database is away', async () => {
    const small = await Service.start({ POOL_SIZE: '2' })
    const blocker = new pg.Client()
    await blocker.connect()
    await blocker.query('BEGIN; LOCK TABLE featul_integrations.integration IN ACCESS EXCLUSIVE MODE')
    const admins = ['olivia', 'adam', 'amy', 'abel']
    await sql(`INSERT INTO "user" (id, name, email, email_verified) SELECT u, u, u || '@example.com', true FROM unnest('{amy,abel}'::text[]) u;
      INSERT INTO workspace_member (id, workspace_id, user_id, role) SELECT 'm-' || u, 'w-acme', u, 'admin' FROM unnest('{amy,abel}'::text[]) u`)
    const calls = Array.from({ length: 130 }, (_, n) => call(LIST, { by: admins[n % 4]!, at: small }))
    const refused = await Promise.race(calls)
    assert.equal(refused.status, 503)
    assert.ok(Number(refused.retryAfter) > 0)
    assert.match(refused.text, /Integrations are not available right now/)
    const line = await small.logged('More calls than the database connections can serve: some are refused')
    assert.equal(line.level, 'warning')
    await eventually('those that waited too long to be told', () => small.log.filter(({ status }) => status === 503).length === 128)
    await blocker.query('ROLLBACK')
    await blocker.end()
    const statuses = (await Promise.all(calls)).map(({ status }) => status)
    assert.equal(statuses.filter((status) => status === 200).length, 2)
    assert.equal((await call(LIST, { at: small })).status, 200)
    assert.equal(small.log.some(({ message }) => /cannot be reached/.test(message)), false)
    assert.equal(small.log.filter(({ message }) => /More calls/.test(message)).length, 1, 'once, not for each call')
    await small.stop()
  })
})

describe('answers', () => {
  test('that nobody reads are given up before they fill the memory', async () => {
    await sql(`SELECT set_config('featul_integrations.user_id', 'sam', false); SELECT integration_connect('globex', 'webhook', '${URLS.webhook}')`)
    await sql(`INSERT INTO post (id, board_id, title, content, slug, author_id) SELECT 'large-' || n, 'g-ideas', 'Large', repeat('x', 60000), 'large-' || n, 'sam'
      FROM generate_series(1, 200) n`)
    const path = '/integration/deliveries?workspaceSlug=globex&maxRows=200'
    const whole = 10_000_000
    assert.ok((await call(path, { by: 'sam' })).text.length > whole)
    const bearer = await token('sam')
    const given = () => service.log.some(({ message }) => message === 'Answers that their readers do not take are given up')
    const sockets: Socket[] = []
    await eventually('one to be given up', async () => {
      const socket = connect(Number(new URL(service.url).port), '127.0.0.1').pause().on('error', () => {})
      sockets.push(socket)
      const before = service.log.length
      socket.write(`GET /api${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${bearer}\r\n\r\n`)
      await eventually('it to be answered', () => service.log.slice(before).some(({ message }) => message === 'request'))
      return given()
    })
    assert.ok(sockets.length > 4, String(sockets.length))
    let first = 0
    await new Promise((resolve) => sockets[0]!.on('data', (part) => (first += part.length)).on('close', resolve).resume())
    assert.ok(first < whole, 'the one that waited longest')
    assert.ok((await call(path, { by: 'sam' })).text.length > whole, 'whoever reads gets all of it')
    for (const socket of sockets) socket.destroy()
  })
})

describe('the database goes away in the middle', () => {
  const waiting = async () => (await sql<{ pid: number }>(`SELECT pid FROM pg_stat_activity WHERE usename = 'integrations_http' AND state = 'active'`))

  test('of a call: 503, and the process lives on', async () => {
    await connection('webhook')
    script({ 'hook.example.com/': [{ rude: 'silence' }] })
    const hanging = testing('webhook')
    await eventually('the test to wait', async () => (await waiting()).length === 1)
    await sql('SELECT pg_terminate_backend($1)', [(await waiting())[0]!.pid])
    const { status, retryAfter } = await hanging
    assert.equal(status, 503)
    assert.ok(Number(retryAfter) > 0)
    assert.equal((await call(LIST)).status, 200)
    script({})
  })

  test('of many, and of streams, by a crash: all is well when it is back', async () => {
    const watching = await stream()
    script({ 'hook.example.com/': [{ rude: 'silence' }] })
    const hanging = testing('webhook')
    await eventually('the test to wait', async () => (await waiting()).length === 1)
    const calls = Array.from({ length: 50 }, () => call(LIST))
    cluster('-m', 'immediate', 'stop')
    assert.equal((await hanging).status, 503)
    for (const { status } of await Promise.all(calls)) assert.ok(status === 200 || status === 503, String(status))
    assert.equal((await call(LIST)).status, 503)
    assert.equal(watching.ended, false, 'the stream goes on')
    script({})
    cluster('start')
    await eventually('answers again', async () => (await call(LIST)).status === 200)
    const before = watching.changes
    await eventually('the stream to be told again', () => watching.changes > before)
    watching.close()
    assert.equal(service.log.some(({ message }) => /fault of this service/.test(message)), false)
  })

  test("what an error means depends on no language of the server's messages", async () => {
    const service = new URL('../../../examples/http/dist/errors.js', import.meta.url)
    const { answerTo, connectionEnds } = (await import(service.href)) as {
      answerTo: (error: unknown) => { status: number }
      connectionEnds: (error: unknown) => boolean
    }
    const { DatabaseError } = createRequire(service)('pg') as typeof pg // that which the service knows
    const error = Object.assign(new DatabaseError('Workspace not found', 0, 'error'), { code: 'PT404', severity: 'FEHLER' })
    assert.equal(answerTo(error).status, 404)
    assert.equal(connectionEnds(error), false)
    assert.equal(connectionEnds(Object.assign(error, { code: '57P01' })), true)
  })
})

test('stops in order while a test, a stream and idle connections are open', async () => {
  await connection('webhook')
  const leaving = await Service.start()
  const watching = await stream('olivia', leaving)
  script({ 'hook.example.com/': [{ rude: 'silence' }] })
  const hanging = testing('webhook', { at: leaving })
  await eventually('the test to wait', async () =>
    (await sql(`SELECT FROM pg_stat_activity WHERE usename = 'integrations_http' AND state = 'active'`)).length === 1)
  leaving.kill('SIGTERM')
  await eventually('the stream to end', () => watching.ended)
  await assert.rejects(new Promise((resolve, reject) => connect(Number(new URL(leaving.url).port), '127.0.0.1', resolve as () => void).on('error', reject)),
    /ECONNREFUSED/, 'nothing new begins')
  const { status, connection: kept } = await hanging
  assert.equal(status, 500, 'what runs is finished')
  assert.equal(kept, 'close', 'and its connection brings no other')
  assert.equal(await leaving.exited, 0)
  assert.equal(leaving.log.at(-1)?.message, 'stopped')
  script({})
})
