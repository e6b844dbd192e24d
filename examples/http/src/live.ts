// New deliveries as they happen: the worker's NOTIFY, passed on to those who watch. One connection
// listens, and only while somebody watches; nothing polls.

import type { SSEStreamingApi } from 'hono/streaming'
import pg from 'pg'

import { reasonOf } from './errors.ts'
import { log } from './log.ts'

// docs/application.md, "Hearing of deliveries": who holds this lock shared is told of deliveries.
const LISTENERS_LOCK = '112585612752236'
const CHANNELS = ['featul_integrations_deliveries', 'featul_integrations']

const LONGEST_PAUSE = 30_000
const LINGER = 10_000
const COALESCE = 250
const HEARTBEAT = 25_000
const LONGEST_STREAM = 3_600_000

type Watcher = () => void

export class Live {
  readonly #connectionString: string | undefined
  readonly #watchers = new Map<string, Set<Watcher>>() // by workspace id
  #client: pg.Client | undefined
  #timer: NodeJS.Timeout | undefined
  #pause = 0
  #ended = false
  readonly ending = new AbortController()

  constructor(connectionString?: string) {
    this.#connectionString = connectionString
  }

  /** Calls the watcher on whatever changes in this workspace, until the function returned is called. */
  watch(workspaceId: string, watcher: Watcher): () => void {
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
    this.ending.abort()
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
      this.#tellAll() // of what happened before this
    } catch (error) {
      this.#lost(client, error)
    }
  }

  #lost(client: pg.Client, error: unknown): void {
    if (this.#client !== client) return
    this.#client = undefined
    client.end().catch(() => {})
    log('warning', 'Listening for deliveries ended; it is tried again', { reason: reasonOf(error) })
    this.#pause = Math.min(LONGEST_PAUSE, Math.max(1_000, this.#pause * 2))
    this.#schedule(this.#pause)
  }

  async #close(): Promise<void> {
    const client = this.#client
    this.#client = undefined
    await client?.end().catch(() => {})
  }

  #tell(channel: string, payload: string): void {
    const workspaceId = channel === 'featul_integrations' ? workspaceOf(payload) : payload
    for (const watcher of this.#watchers.get(workspaceId) ?? []) watcher()
  }

  #tellAll(): void {
    for (const watchers of this.#watchers.values()) for (const watcher of watchers) watcher()
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
 * quarter of a second; ends when the reader has gone, the token expires or the service stops.
 */
export async function streamChanges(stream: SSEStreamingApi, live: Live, workspaceId: string, until: number): Promise<void> {
  let changed = true
  let wake = () => {}
  let over = false
  const end = () => {
    over = true
    wake()
  }
  const stop = live.watch(workspaceId, () => {
    changed = true
    wake()
  })
  const lifetime = setTimeout(end, Math.min(until - Date.now(), LONGEST_STREAM))
  const heartbeat = setInterval(() => void stream.write(': still here\n\n').catch(end), HEARTBEAT)
  stream.onAbort(end)
  live.ending.signal.addEventListener('abort', end)
  try {
    while (!over && !live.ending.signal.aborted) {
      if (changed) {
        changed = false
        await stream.writeSSE({ event: 'change', data: '' })
        await stream.sleep(COALESCE)
      } else {
        await new Promise<void>((resolve) => (wake = resolve))
      }
    }
  } catch {
    // the reader has gone
  } finally {
    stop()
    clearTimeout(lifetime)
    clearInterval(heartbeat)
    live.ending.signal.removeEventListener('abort', end)
  }
}
