// What docs/http.md says of mounting the API in an application: its code, checked and run as it stands.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'

import { jwtVerify } from 'jose'

import { eventually, SECRET, setUp, sql, URLS } from './harness.ts'

const here = join(import.meta.dirname, '..')
const place = join(here, 'dist/within')

// The application's side: better-auth, as far as the code looks at it.
const AUTH = `
export const auth = { api: { getSession: async ({ headers }: { headers: Headers }) => {
  const id = /user=(\\w+)/.exec(headers.get('Cookie') ?? '')?.[1]
  return id ? { user: { id }, session: { expiresAt: new Date(Date.now() + 3_600_000) } } : null
} } }`

// The client's side: the calls have their types through the application's own.
const CLIENT = `
import { hc } from 'hono/client'
import type { App } from './app'
export const client = hc<App>('http://localhost')
export async function look() {
  const answer = await client.api.integration.list.$get({ query: { workspaceSlug: 'acme' } })
  const { integrations } = await answer.json()
  return integrations[0]?.type satisfies 'slack' | 'discord' | 'webhook' | 'teams' | undefined
}
// @ts-expect-error: there is no such argument
export const wrong = () => client.api.integration.list.$get({ query: { workspace: 'acme' } })`

type Handler = (request: Request) => Response | Promise<Response>
let application: { default: { request(path: string, init?: RequestInit): Response | Promise<Response> } }
let route: { GET: Handler; POST: Handler; runtime: string; dynamic: string }

before(async () => {
  await setUp()
  rmSync(place, { recursive: true, force: true })
  const [, section] = readFileSync(join(here, '../../docs/http.md'), 'utf8').split('\n## Within an application\n')
  const files: Record<string, string> = { 'lib/auth.ts': AUTH, 'client.ts': CLIENT }
  for (const [, path, code] of section!.matchAll(/```ts\n\/\/ (\S+)\n([\s\S]*?)```/g)) files[path!] = code!
  assert.deepEqual(Object.keys(files).sort(), ['app.ts', 'app/api/integration/[call]/route.ts', 'client.ts', 'lib/auth.ts', 'lib/integrations.ts'])
  for (const [path, code] of Object.entries(files)) {
    assert.ok(code.split('\n').length <= 30, `${path}: 30 lines`)
    mkdirSync(dirname(join(place, path)), { recursive: true })
    writeFileSync(join(place, path), code.replace(/ from '(\.[^']*?)(\.js)?'/g, " from '$1.js'")) // as Node resolves them
  }
  writeFileSync(join(place, 'tsconfig.json'), JSON.stringify({
    extends: '../../tsconfig.json', compilerOptions: { rootDir: '.', outDir: 'out', noUnusedLocals: false }, include: ['**/*.ts'] }))
  execFileSync(join(here, 'node_modules/.bin/tsc'), ['-p', place], { stdio: 'inherit' })
  process.env.INTEGRATIONS_DATABASE_URL = `postgres:///postgres?host=${encodeURIComponent(process.env.PGHOST!)}&user=integrations_http`
  application = (await import(join(place, 'out/app.js'))) as typeof application
  route = (await import(join(place, 'out/app/api/integration/[call]/route.js'))) as typeof route
})
// its pool stays open, as in an application
after(() => setTimeout(() => process.exit(), 100).unref())

const list = (cookie?: string) => new Request('http://localhost/api/integration/list?workspaceSlug=acme', { headers: cookie ? { Cookie: cookie } : {} })

test('within a Hono application, by its session', async () => {
  const ask = async (cookie?: string) => (await application.default.request('/api/integration/list?workspaceSlug=acme', { headers: cookie ? { Cookie: cookie } : {} }))
  assert.equal((await application.default.request('/health')).status, 200)
  assert.equal((await ask()).status, 401)
  assert.equal((await ask('user=mina')).status, 403)
  const answer = await ask('user=olivia')
  assert.equal(answer.status, 200)
  assert.equal(answer.headers.get('Cache-Control'), 'no-store')
  assert.equal(answer.headers.get('X-Content-Type-Options'), 'nosniff')
  assert.deepEqual(await answer.json(), { integrations: [] })
})

test("as a route of Next.js: a function of a Request for each method", async () => {
  assert.equal(route.runtime, 'nodejs')
  assert.equal(route.dynamic, 'force-dynamic')
  const connect = (headers: Record<string, string>) => new Request('http://localhost/api/integration/connect', {
    method: 'POST', headers: { Cookie: 'user=olivia', ...headers }, body: JSON.stringify({ workspaceSlug: 'acme', type: 'slack', webhookUrl: URLS.slack }) })
  assert.equal((await route.POST(connect({ 'Content-Type': 'text/plain' }))).status, 400, 'a form of another site')
  const connected = await route.POST(connect({ 'Content-Type': 'application/json' }))
  assert.deepEqual(await connected.json(), { success: true, message: 'Slack integration connected' })
  const { integrations } = (await (await route.GET(list('user=olivia'))).json()) as { integrations: { type: string }[] }
  assert.deepEqual(integrations.map(({ type }) => type), ['slack'])
  assert.equal((await route.GET(list())).status, 401)
})

test('its streams end with the session', async () => {
  const answer = await route.GET(new Request('http://localhost/api/integration/changes?workspaceSlug=acme', { headers: { Cookie: 'user=adam' } }))
  assert.equal(answer.status, 200)
  let ended = false
  void new Response(answer.body).text().then(() => (ended = true))
  await sql(`UPDATE workspace_member SET is_active = false WHERE user_id = 'adam'`)
  await eventually('it to end', async () => {
    await sql(`NOTIFY featul_integrations_deliveries, 'w-acme'`)
    return ended
  })
})

test('a token to try it with', async () => {
  const [, code] = /node --input-type=module -e "([^"]*)"/.exec(readFileSync(join(here, '../../docs/http.md'), 'utf8'))!
  const token = execFileSync(process.execPath, ['--input-type=module', '-e', code!], {
    cwd: join(here, '../../examples/http'), env: { ...process.env, JWT_SECRET: SECRET }, encoding: 'utf8' })
  const { payload } = await jwtVerify(token.trim(), new TextEncoder().encode(SECRET))
  assert.equal(payload.sub, 'olivia')
})
