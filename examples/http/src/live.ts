// New deliveries as they happen: the worker's NOTIFY, passed on to those who watch. One connection
// listens, and only while somebody watches; nothing polls.

import type { SSEStreamingApi } from 'hono/streaming'
import pg from 'pg'

import { reasonOf } from './errors.ts'
import { logSparingly } from './log.ts'

// docs/application.md, "Hearing of deliveries": who holds this lock shared is told of deliveries.
const LISTENERS_LOCK = '112585612752236'
const CHANNELS = ['featul_integrations_deliveries', 'featul_integrations']

const LONGEST_PAUSE = 30_000
const LINGER = 10_000
const LISTENING_CHECK = 30_000 // a connection that a firewall has forgotten says nothing by itself
const COALESCE = 1_000
const HEARTBEAT = 25_000
const STALLED = 60_000
const TROUBLE_PAUSE = 5_000
const LONGEST_STREAM = 3_600_000

/** Who watches a workspace: told of changes, and that the service stops. */
type Watcher = { changed: () => void; end: () => void }

export class Live {
  readonly #connectionString: string | undefined
  readonly #watchers = new Map<string, Set<Watcher>>() // by workspace id
  #client: pg.Client | undefined
  #timer: NodeJS.Timeout | undefined
  #check: NodeJS.Timeout | undefined
  #pause = 0
  #ended = false

  constructor(connectionString?: string) {
    this.#connectionString = connectionString
  }

  /** Tells the watcher of whatever changes in this workspace, until the function returned is called. */
  watch(workspaceId: string, watcher: Watcher): () => void {
    if (this.#ended) watcher.end()
    const watchers = this.#watchers.get(workspaceId) ?? new Set()
    this.#watchers.set(workspaceId, watchers.add(watcher))
    if (!this.#client) this.#schedule(0)
    return () => {
      watchers.delete(watcher)
      if (watchers.size === 0 && this.#watchers.get(workspaceId) === watchers) this.#watchers.delete(workspaceId)
      if (this.#watchers.size === 0) this.#schedule(LINGER)
    }
  }

  /** Ends all streams, and stops listening. */
  async end(): Promise<void> {
    this.#ended = true
    clearTimeout(this.#timer)
    for (const watcher of this.#all()) watcher.end()
    await this.#close()
  }

  #schedule(after: number): void {
    if (this.#ended) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void (this.#watchers.size > 0 ? this.#open() : this.#close()), after)
  }

  async #open(): Promise<void> {
    if (this.#client) return
    const client = new pg.Client({
      connectionString: this.#connectionString,
      application_name: 'featul_integrations http, listening',
      connectionTimeoutMillis: 3_000,
      query_timeout: 5_000,
      keepAlive: true,
    })
    this.#client = client
    client.on('notification', ({ channel, payload }) => this.#tell(channel, payload ?? ''))
    client.on('error', (error) => this.#lost(client, error))
    client.on('end', () => this.#lost(client, new Error('the connection ended')))
    try {
      await client.connect()
      for (const channel of CHANNELS) await client.query(`LISTEN ${channel}`)
      await client.query('SELECT pg_advisory_lock_shared($1)', [LISTENERS_LOCK])
      this.#pause = 0
      this.#check = setInterval(() => client.query('SELECT').catch((error: unknown) => this.#lost(client, error)), LISTENING_CHECK)
      for (const watcher of this.#all()) watcher.changed() // before this, unheard
    } catch (error) {
      this.#lost(client, error)
    }
  }

  #lost(client: pg.Client, error: unknown): void {
    if (this.#client !== client) return
    void this.#close()
    logSparingly('warning', 'Listening for deliveries ended; it is tried again', { reason: reasonOf(error) })
    this.#pause = Math.min(LONGEST_PAUSE, Math.max(1_000, this.#pause * 2))
    this.#schedule(this.#pause)
  }

  async #close(): Promise<void> {
    const client = this.#client
    this.#client = undefined
    clearInterval(this.#check)
    await client?.end().catch(() => {})
  }

  #tell(channel: string, payload: string): void {
    const workspaceId = channel === 'featul_integrations' ? workspaceOf(payload) : payload
    for (const watcher of this.#watchers.get(workspaceId) ?? []) watcher.changed()
  }

  #all(): Watcher[] {
    return [...this.#watchers.values()].flatMap((watchers) => [...watchers])
  }
}

/** Anybody may NOTIFY: what is not from the worker names no workspace. */
function workspaceOf(payload: string): string {
  try {
    return String((JSON.parse(payload) as { workspace_id?: unknown }).workspace_id ?? '')
  } catch {
    return ''
  }
}

/**
 * Writes `change` whenever something changed, the first time at once, never more often than every
 * second; ends when the reader has gone or does not read, the token expires or the service stops.
 * `allowed` says whether the reader may still look. It is asked before each line but the first;
 * while it throws, as nobody can say, nothing is told.
 */
export async function streamChanges(
  stream: SSEStreamingApi, live: Live, workspaceId: string, until: number, allowed: () => Promise<boolean>,
): Promise<void> {
  let changed = true
  let idle = false
  let over = false
  let wake = () => {}
  const end = () => {
    over = true
    wake()
  }
  /** Until the work is done or the time is over, or all of it is. */
  const pause = (most: number, work?: Promise<unknown>) => new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, most)
    wake = () => {
      clearTimeout(timer)
      resolve()
    }
    work?.then(wake, end)
    if (over) wake()
  })
  const change = () => {
    changed = true
    if (idle) wake()
  }
  const write = async (line: string) => {
    let written = false
    await pause(STALLED, stream.write(line).then(() => (written = true)))
    if (!written) end()
  }
  const check = async () => {
    while (!over) {
      try {
        if (!(await allowed())) end()
        return
      } catch {
        await pause(TROUBLE_PAUSE)
      }
    }
  }

  const stop = live.watch(workspaceId, { changed: change, end })
  const lifetime = setTimeout(end, Math.min(until - Date.now(), LONGEST_STREAM))
  stream.onAbort(end)
  while (!over) {
    const line = changed ? 'event: change\ndata: \n\n' : ': still here\n\n'
    changed = false
    await write(line)
    await pause(COALESCE)
    idle = true
    if (!changed) await pause(HEARTBEAT)
    idle = false
    await check()
  }
  stop()
  clearTimeout(lifetime)
}
