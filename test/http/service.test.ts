// The service as a process: what it does when something of its surroundings is amiss.

import assert from 'node:assert/strict'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { before, test } from 'node:test'

import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import pg from 'pg'

import { cluster, eventually, post, script, SECRET, Service, setUp, sql, token, URLS } from './harness.ts'

before(setUp)

async function list(service: Service, user = 'olivia', bearer?: string) {
  const response = await fetch(`${service.api}/integration/list?workspaceSlug=acme`, {
    headers: { Authorization: `Bearer ${bearer ?? (await token(user))}` },
  })
  return { status: response.status, retryAfter: response.headers.get('Retry-After'), ...((await response.json()) as { message: string }) }
}

const ready = async (service: Service) => (await fetch(`${service.url}/readyz`)).status

test('settings that cannot be understood stop the start, and are not shown', async () => {
  for (const [environment, says] of [
    [{ JWT_SECRET: 'tooshort' }, /JWT_SECRET: at least 32 bytes/],
    [{ JWKS_URL: 'https://keys.example.com/jwks', JWT_SECRET: SECRET }, /one of JWT_SECRET and JWKS_URL/],
    [{ JWKS_URL: 'file:///etc/passwd' }, /JWKS_URL/],
    [{ POOL_SIZE: 'many' }, /POOL_SIZE/],
    [{ PORT: '99999' }, /PORT/],
  ] as const) {
    const service = new Service({ ...environment } as Record<string, string>)
    assert.notEqual(await service.exited, 0)
    assert.match(service.output, says)
    assert.doesNotMatch(service.output, /tooshort|passwd/)
  }
})

test('its role may call the functions for applications, and nothing else', async () => {
  const functions = await sql<{ proname: string }>(`SELECT proname FROM pg_proc AS p JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
    JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
    WHERE extname = 'featul_integrations' AND has_function_privilege('integrations_http', p.oid, 'EXECUTE') ORDER BY 1`)
  assert.deepEqual(functions.map(({ proname }) => proname.replace('integration_', '')), ['connect', 'deliveries', 'disconnect', 'events',
    'list', 'message', 'preview', 'recover', 'redeliver', 'rotate_secret', 'secret', 'test'])
  assert.deepEqual(await sql(`SELECT oid::regclass FROM pg_class WHERE relnamespace IN ('public'::regnamespace, 'featul_integrations'::regnamespace)
    AND relkind IN ('r', 'p', 'v', 'm', 'f') AND has_any_column_privilege('integrations_http', oid, 'SELECT, INSERT, UPDATE, REFERENCES')`), [])
  assert.deepEqual(await sql(`SELECT FROM pg_auth_members WHERE member = 'integrations_http'::regrole`), [])
})

test('keys from a JWKS', async () => {
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  const keys = { keys: [{ ...(await exportJWK(publicKey)), kid: 'k1', alg: 'ES256' }] }
  let answering = false
  const jwks = createServer((_, response) => (answering ? response.end(JSON.stringify(keys)) : response.writeHead(500).end())).listen(0, '127.0.0.1')
  await new Promise((resolve) => jwks.once('listening', resolve))
  const service = await Service.start({
    JWKS_URL: `http://127.0.0.1:${String((jwks.address() as AddressInfo).port)}/`, JWT_ISSUER: 'featul', JWT_AUDIENCE: 'integrations' })
  const signed = (issuer: string, audience: string) =>
    new SignJWT({ sub: 'olivia' }).setProtectedHeader({ alg: 'ES256', kid: 'k1' }).setExpirationTime('1h').setIssuer(issuer).setAudience(audience).sign(privateKey)

  const away = await list(service, '', await signed('featul', 'integrations'))
  assert.equal(away.status, 503)
  assert.ok(Number(away.retryAfter) > 0)
  answering = true
  assert.equal((await list(service, '', await signed('featul', 'integrations'))).status, 200)
  assert.equal((await list(service, '', await signed('else', 'integrations'))).status, 401)
  assert.equal((await list(service, '', await signed('featul', 'else'))).status, 401)
  // the public key, which anybody has, is no HMAC secret
  const forged = await new SignJWT({ sub: 'olivia' }).setProtectedHeader({ alg: 'HS256', kid: 'k1' }).setExpirationTime('1h')
    .setIssuer('featul').setAudience('integrations').sign(new TextEncoder().encode(JSON.stringify(keys.keys[0])))
  assert.equal((await list(service, '', forged)).status, 401)
  await service.stop()
  jwks.close()
})

test('keys that are too many, broken or away: no more is read than keys can be, and those of before are used', async () => {
  const { KeySource } = (await import(new URL('../../../examples/http/dist/keys.js', import.meta.url).href)) as {
    KeySource: new () => { away: boolean; fetch: (url: string, init: RequestInit) => Promise<Response> }
  }
  const answers: Record<string, (response: ServerResponse) => void> = {
    good: (response) => response.end('{"keys":[{"kid":"k1"}]}'),
    'without end': (response) => {
      const more = () => {
        while (response.write('x'.repeat(65_536)));
      }
      response.write('{"keys":["')
      response.on('drain', more)
      more()
    },
    'of an error': (response) => response.writeHead(500).end('{"keys":[]}'),
    'elsewhere': (response) => response.writeHead(302, { Location: '/good' }).end(),
    'no JSON': (response) => response.end('<html>'),
    'no keys': (response) => response.end('{"keys":{"length":1}}'),
    'null': (response) => response.end('null'),
    cut: (response) => response.writeHead(200, { 'Content-Length': '1000' }).write('{"keys":', () => response.destroy()),
  }
  const server = createServer((request, response) => answers[decodeURIComponent(request.url!.slice(1))]!(response)).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const ask = (source: InstanceType<typeof KeySource>, what: string) =>
    source.fetch(`http://127.0.0.1:${String((server.address() as AddressInfo).port)}/${encodeURIComponent(what)}`, { redirect: 'manual' })
  for (const what of Object.keys(answers).slice(1)) {
    const source = new KeySource()
    await assert.rejects(ask(source, what), Error, what)
    assert.equal(source.away, true)
    await ask(source, 'good')
    assert.equal(source.away, false)
    assert.deepEqual(await (await ask(source, what)).json(), { keys: [{ kid: 'k1' }] }, what)
    assert.equal(source.away, true)
  }
  server.closeAllConnections()
  server.close()
})

test('the database away, and back', async () => {
  const service = await Service.start()
  assert.equal((await list(service)).status, 200)
  assert.equal(await ready(service), 200)
  cluster('-m', 'fast', 'stop')
  const away = await list(service)
  assert.equal(away.status, 503)
  assert.ok(Number(away.retryAfter) > 0)
  assert.doesNotMatch(away.message, /socket|ECONN|PGSQL/)
  await eventually('not ready', async () => (await ready(service)) === 503)
  assert.equal((await fetch(`${service.url}/healthz`)).status, 200)
  await service.logged('The database cannot be reached')
  cluster('start')
  await eventually('ready', async () => (await ready(service)) === 200)
  assert.equal((await list(service)).status, 200)
  await service.stop()
})

test('the extension not attached, not there, not granted: the operator reads why, the caller does not', async () => {
  const service = await Service.start()
  for (const [broken, says] of [
    [`DROP EXTENSION featul_integrations; CREATE EXTENSION featul_integrations;
      GRANT EXECUTE ON FUNCTION integration_list TO integrations_http`, /not attached.*integration_attach/],
    ['REVOKE EXECUTE ON FUNCTION integration_list FROM integrations_http', /grant it EXECUTE/],
    ['DROP EXTENSION featul_integrations', /create the extension/],
  ] as const) {
    await sql(broken)
    const { status, message, retryAfter } = await list(service)
    assert.equal(status, 503, broken)
    assert.ok(Number(retryAfter) > 0)
    assert.equal(message, 'Integrations are not available right now')
    assert.match(String(service.log.findLast(({ level }) => level === 'error')?.message), says)
  }
  await service.stop()
  await setUp()
})

test("the role's own settings change no answer", async () => {
  await sql(`ALTER ROLE integrations_http SET datestyle = 'SQL, DMY'; ALTER ROLE integrations_http SET timezone = 'Asia/Kathmandu';
    ALTER ROLE integrations_http SET default_transaction_isolation = 'serializable'; ALTER ROLE integrations_http SET lock_timeout = '1s'`)
  const service = await Service.start()
  const headers = { Authorization: `Bearer ${await token('olivia')}`, 'Content-Type': 'application/json' }
  const connect = () => fetch(`${service.api}/integration/connect`, {
    method: 'POST', headers, body: JSON.stringify({ workspaceSlug: 'acme', type: 'webhook', webhookUrl: URLS.webhook }) })
  const get = async (call: string) => {
    const response = await fetch(`${service.api}/integration/${call}?workspaceSlug=acme`, { headers })
    return { status: response.status, ...((await response.json()) as { integrations?: { createdAt: string }[] }) }
  }
  assert.equal((await connect()).status, 200)
  const [{ at }] = (await sql<{ at: Date }>('SELECT created_at AS at FROM featul_integrations.integration')) as [{ at: Date }]
  assert.equal((await get('list')).integrations![0]!.createdAt, at.toISOString())
  await post('Of some hour')
  await eventually('it to be sent', async () => (await sql(`SELECT FROM featul_integrations.deliveries WHERE state = 'delivered'`)).length === 1)
  assert.equal((await get('activity')).status, 200)
  assert.deepEqual([...new Set((await Promise.all(Array.from({ length: 10 }, connect))).map(({ status }) => status))], [200])

  const blocker = new pg.Client()
  await blocker.connect()
  await blocker.query('BEGIN; SELECT FROM featul_integrations.integration FOR UPDATE')
  const late = await connect()
  assert.equal(late.status, 503)
  assert.ok(Number(late.headers.get('Retry-After')) > 0)
  await blocker.query('ROLLBACK')
  await blocker.end()
  await service.stop()
  await setUp()
})

test('tests of dead endpoints leave connections to others', async () => {
  const service = await Service.start({ POOL_SIZE: '2', TESTS_PER_MINUTE: '100' })
  script({ 'hook.example.com/': [{ rude: 'silence' }] })
  const headers = { Authorization: `Bearer ${await token('olivia')}`, 'Content-Type': 'application/json' }
  const send = (call: string, body: object) =>
    fetch(`${service.api}/integration/${call}`, { method: 'POST', headers, body: JSON.stringify({ workspaceSlug: 'acme', type: 'webhook', ...body }) })
  await send('connect', { webhookUrl: URLS.webhook })
  const hanging = send('test', {})
  await eventually('the test to wait', async () =>
    (await sql(`SELECT FROM pg_stat_activity WHERE usename = 'integrations_http' AND state = 'active'`)).length === 1)
  assert.equal((await send('test', {})).status, 503)
  assert.equal((await list(service)).status, 200)

  // asked to stop meanwhile: the call is answered first
  service.kill('SIGTERM')
  const { status } = await hanging
  assert.equal(status, 500)
  assert.equal(await service.exited, 0)
  script({})
})

test('a stream ends with the service, and is told again when listening broke', async () => {
  const service = await Service.start()
  const response = await fetch(`${service.api}/integration/changes?workspaceSlug=acme`, { headers: { Authorization: `Bearer ${await token('olivia')}` } })
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  let received = ''
  const changes = () => (received.match(/event: change/g) ?? []).length
  const ended = (async () => {
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return
      received += value
    }
  })()
  const listening = () => sql(`SELECT pid FROM pg_stat_activity WHERE application_name = 'featul_integrations http, listening'`)
  await eventually('the service to listen', async () => (await listening()).length === 1 && changes() >= 2)
  const before = changes()
  await sql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'featul_integrations http, listening'`)
  await eventually('the stream to be told again', () => changes() > before)
  await service.stop()
  await ended
  assert.equal((await listening()).length, 0)
})

test('the page is served with a strict policy', async () => {
  const service = await Service.start()
  const page = await fetch(service.url)
  assert.equal(page.status, 200)
  const policy = page.headers.get('Content-Security-Policy') ?? ''
  assert.match(policy, /default-src 'none'/)
  assert.doesNotMatch(policy, /unsafe|\*|data:/)
  assert.doesNotMatch(await page.text(), /<script>|<style|style=|onclick|javascript:/)
  for (const path of ['/../package.json', '/%2e%2e/package.json', '/src/main.ts', '/main.ts']) assert.equal((await fetch(service.url + path)).status, 404, path)
  await service.stop()
  await post('unused') // setUp()'s data are still whole
})
