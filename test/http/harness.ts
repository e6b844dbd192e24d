// What the tests of examples/http stand on: featul's tables with people in them, the service as a
// process, tokens, the receiver. test/http/run has started cluster and receiver and says where they
// are: PGHOST, PGDATA (connecting as the superuser PGUSER), RECEIVER (its directory).

import assert from 'node:assert/strict'
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { SignJWT } from 'jose'
import pg from 'pg'

const here = join(import.meta.dirname, '..')
const examples = join(here, '../../examples/http')

export const SECRET = 'a secret of the tests, 32 bytes or more'

/** Waits until `condition` gives something; PG_TEST_TIMEOUT_DEFAULT seconds at most (180). */
export async function eventually<T>(what: string, condition: () => T | Promise<T>): Promise<Exclude<T, false | null | undefined>> {
  const end = Date.now() + Number(process.env.PG_TEST_TIMEOUT_DEFAULT ?? 180) * 1000
  for (;;) {
    const found = await condition()
    if (found) return found as Exclude<T, false | null | undefined>
    if (Date.now() > end) assert.fail(`${what}: did not happen`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

// ---------------------------------------------------------------------------
// The database
// ---------------------------------------------------------------------------

/** As the superuser: the application and the operator. */
export async function sql<T extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<T[]> {
  const client = new pg.Client()
  await client.connect()
  try {
    return (await client.query<T>(text, values)).rows
  } finally {
    await client.end()
  }
}

/** A fresh start: the people, workspaces and boards below, nothing connected, a kind receiver. */
export async function setUp(): Promise<void> {
  script({})
  const file = (path: string) => readFileSync(join(here, path), 'utf8')
  await sql(`DROP EXTENSION IF EXISTS featul_integrations CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public;
    GRANT USAGE ON SCHEMA public TO PUBLIC; CREATE EXTENSION featul_integrations`)
  await sql(file('../featul.sql'))
  await sql(`
    INSERT INTO "user" (id, name, email, email_verified)
      SELECT u, initcap(u), u || '@example.com', true FROM unnest('{olivia,adam,mina,sam}'::text[]) u;
    INSERT INTO workspace (id, name, slug, plan, owner_id, domain) VALUES
      ('w-acme', 'Acme', 'acme', 'professional', 'olivia', 'https://acme.example.com'),
      ('w-globex', 'Globex', 'globex', 'starter', 'sam', 'https://globex.example.com'),
      ('w-poor', 'Poor', 'poor', 'free', 'olivia', 'https://poor.example.com');
    INSERT INTO workspace_member (id, workspace_id, user_id, role) VALUES
      ('m-adam', 'w-acme', 'adam', 'admin'), ('m-mina', 'w-acme', 'mina', 'member');
    INSERT INTO board (id, workspace_id, name, slug, created_by) VALUES
      ('ideas', 'w-acme', 'Ideas', 'ideas', 'olivia'), ('bugs', 'w-acme', 'Bugs', 'bugs', 'olivia'),
      ('g-ideas', 'w-globex', 'Ideas', 'ideas', 'sam');
    SELECT integration_attach()`)
  await sql(`DROP ROLE IF EXISTS integrations_http`)
  await sql(file('../../examples/http/role.sql'))
}

let posts = 0

/** A post of Mina's, as the application writes one; its title. */
export async function post(title: string, more: { board?: string; content?: string } = {}): Promise<string> {
  await sql(`INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES ($1, $2, $3, $4, $1, 'mina')`,
    [`post-${++posts}`, more.board ?? 'ideas', title, more.content ?? 'Words.'])
  return title
}

export function cluster(...action: string[]): void {
  execFileSync('pg_ctl', ['-D', process.env.PGDATA!, '-l', `${process.env.PGDATA}.log`, '-s', '-w', ...action], { stdio: 'inherit' })
}

// ---------------------------------------------------------------------------
// The receiver
// ---------------------------------------------------------------------------

const receiver = process.env.RECEIVER!

export const URLS = {
  slack: 'https://hooks.slack.com/services/T0000/B0000/slacksecret',
  discord: 'https://discord.com/api/webhooks/1234567890/discordsecret',
  webhook: 'https://hook.example.com/featul',
  teams: 'https://prod-1.westeurope.logic.azure.com/workflows/w1/triggers/manual/paths/invoke?api-version=2016-06-01&sig=teamssecret',
}

/** How the receiver answers (test/receiver.py); kindly without one. */
export function script(lists: Record<string, object[]>): void {
  const path = join(receiver, 'script.json')
  writeFileSync(`${path}.new`, JSON.stringify(lists))
  renameSync(`${path}.new`, path)
}

type Request = { n: number; host: string; path: string; headers: Record<string, string>; body: string; status: number }

/** What the receiver got so far at this host. */
export function requests(host: string): Request[] {
  const lines = readFileSync(join(receiver, 'record.jsonl'), { encoding: 'utf8', flag: 'a+' }).split('\n').slice(0, -1)
  return lines.map((line) => JSON.parse(line) as Request).filter((request) => request.host === host)
}

// ---------------------------------------------------------------------------
// The service
// ---------------------------------------------------------------------------

export function token(sub: string, claims: { expires?: string | number } = {}, secret = SECRET): Promise<string> {
  return new SignJWT({ sub })
    .setProtectedHeader({ alg: 'HS256' })
    .setIssuedAt()
    .setExpirationTime(claims.expires ?? '1h')
    .sign(new TextEncoder().encode(secret))
}

export type Line = { level: string; message: string; [fact: string]: unknown }

export class Service {
  readonly #process: ChildProcess
  #output = ''
  readonly exited: Promise<number | null>

  constructor(environment: Record<string, string> = {}) {
    this.#process = spawn(process.execPath, [join(examples, 'dist/main.js')], {
      env: { PATH: process.env.PATH, PGHOST: process.env.PGHOST, PGDATABASE: 'postgres', PGUSER: 'integrations_http', PORT: '0',
        ...(environment.JWKS_URL ? {} : { JWT_SECRET: SECRET }), ...environment },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    this.#process.stdout!.setEncoding('utf8').on('data', (text: string) => (this.#output += text))
    this.exited = new Promise((resolve) => this.#process.on('exit', resolve))
  }

  static async start(environment: Record<string, string> = {}): Promise<Service> {
    const service = new Service(environment)
    await service.logged('listening')
    return service
  }

  get pid() {
    return this.#process.pid!
  }

  get output() {
    return this.#output
  }

  get log(): Line[] {
    return this.#output.split('\n').slice(0, -1).map((line) => JSON.parse(line) as Line)
  }

  /** The first line of the log with this message, once it is there. */
  logged(message: string): Promise<Line> {
    return eventually(`the log to say: ${message}`, () => this.log.find((line) => line.message === message))
  }

  get url(): string {
    return `http://127.0.0.1:${String(this.log.find((line) => line.message === 'listening')?.port)}`
  }

  get api(): string {
    return `${this.url}/api`
  }

  kill(signal: NodeJS.Signals): void {
    this.#process.kill(signal)
  }

  /** Stops it as an init system does; fails unless it ends well. */
  async stop(): Promise<void> {
    this.kill('SIGTERM')
    assert.equal(await this.exited, 0, 'the service stops in order')
  }
}
