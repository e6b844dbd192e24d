// The routes, one for each function of the extension: names, arguments and answers in camelCase.
// Their types are what Hono's client makes its own of (client.ts).

import { Hono, type Context } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { HTTPException } from 'hono/http-exception'
import { streamSSE } from 'hono/streaming'

import type { Database, Row } from './database.ts'
import { ApiError, answerTo } from './errors.ts'
import type { Identify, Identity } from './identity.ts'
import * as input from './input.ts'
import { type Live, streamChanges } from './live.ts'
import type { Limits } from './limits.ts'
import { Queue } from './queue.ts'

const LARGEST_BODY = 64 * 1024
const DEFAULT_ROWS = 50
const DAY = 24 * 3_600_000
const CHECKS = 2 // at once, of those who read streams
const LONGEST_CHECK = 30_000
const ACTIVITY_ROWS = 10_000 // the most that integration_deliveries() gives

type Done = { success: boolean; message: string }

type IntegrationRow = {
  id: string
  type: (typeof input.TYPES)[number]
  is_active: boolean
  events: string[] | null
  boards: string[] | null
  rule: string | null
  last_triggered_at: Date | null
  created_at: Date
  updated_at: Date
  status: 'active' | 'failing' | 'inactive'
  status_reason: string | null
}

type DeliveryRow = {
  id: string
  event: string
  type: (typeof input.TYPES)[number]
  state: (typeof input.STATES)[number]
  attempts: number
  http_status: number | null
  error: string | null
  duration_ms: number | null
  response: string | null
  created_at: Date
  last_attempt_at: Date | null
  next_attempt_at: Date | null
  payload: Payload | null
}

/** A JSON document: further keys may follow in later versions. */
type Payload = { [key: string]: JsonValue }
type JsonValue = string | number | boolean | null | JsonValue[] | { [key: string]: JsonValue }

type EventRow = { event: string; label: string; description: string }
type HourRow = { hour: Date; type: (typeof input.TYPES)[number]; state: (typeof input.STATES)[number]; count: number }

const ACTIVITY = `
  SELECT date_trunc('hour', at, 'UTC') AS hour, type, state, count(*)::integer AS count, sum(count(*)) OVER ()::integer AS read
  FROM (SELECT type, state, coalesce(last_attempt_at, created_at) AS at
    FROM @extschema@.integration_deliveries(@workspace@, max_rows => $3)) AS d
  GROUP BY 1, 2, 3
  ORDER BY 1, 2, 3`

/** False for a refusal; trouble of ours is thrown on. */
function refused(error: unknown): false {
  const { status } = answerTo(error)
  if (status === 401 || status === 403 || status === 404) return false
  throw error
}

/** null stays null; PostgreSQL's infinity, which has no ISO form, is null too. */
const iso = (time: Date | null): string | null =>
  time instanceof Date && !Number.isNaN(time.getTime()) ? time.toISOString() : null

const integrationOf = (row: IntegrationRow) => ({
  id: row.id,
  type: row.type,
  isActive: row.is_active,
  events: row.events,
  boards: row.boards,
  rule: row.rule,
  lastTriggeredAt: iso(row.last_triggered_at),
  createdAt: iso(row.created_at),
  updatedAt: iso(row.updated_at),
  status: row.status,
  statusReason: row.status_reason,
})

const deliveryOf = (row: DeliveryRow) => ({
  id: row.id,
  event: row.event,
  type: row.type,
  state: row.state,
  attempts: row.attempts,
  httpStatus: row.http_status,
  error: row.error,
  durationMs: row.duration_ms,
  response: row.response,
  createdAt: iso(row.created_at),
  lastAttemptAt: iso(row.last_attempt_at),
  nextAttemptAt: iso(row.next_attempt_at),
  payload: row.payload,
})

export type ApiOptions = { database: Database; identify: Identify; limits: Limits; live: Live }

/** The API, to be served or mounted under any path. */
export function createApi({ database, identify, limits, live }: ApiOptions) {
  const one = async <T extends Row>(...call: Parameters<Database['as']>): Promise<T> => {
    const [row] = await database.as<T>(...call)
    if (!row) throw new Error('a function that returns one row returned none')
    return row
  }

  /** The workspace's id; throws where this user may not view it. */
  const watched = async (user: string, workspaceSlug: string): Promise<string> => {
    const { body } = await one<{ body: string }>(user, 'read', 'SELECT @extschema@.integration_preview(@workspace@, $3, $4) AS body',
      workspaceSlug, ['webhook', 'integration.test']) // the message that names the workspace
    return (JSON.parse(body) as { workspace: { id: string } }).workspace.id
  }

  // What fails in here is the reading: what comes after it has its errors answered further in.
  const small = bodyLimit({ maxSize: LARGEST_BODY, onError: () => { throw new ApiError(413, 'The request is too large') } })

  // Whether those who read streams may still look is asked by few at a time: a thousand of them, all told
  // of the same change, leave the connections to calls.
  const checks = new Queue(CHECKS, { waiting: Infinity, ofOne: Infinity, wait: LONGEST_CHECK })

  const app = new Hono<{ Variables: { identity: Identity } }>()
    .use(async (c, next) => {
      c.header('Cache-Control', 'no-store')
      c.header('X-Content-Type-Options', 'nosniff')
      c.set('identity', await identify(c))
      await next()
    })
    .use((c, next) => small(c, next).catch((error: unknown) => {
      throw error instanceof ApiError ? error : new ApiError(400, 'The request broke off')
    }))

    .get('/integration/list', input.query(input.workspace), async (c) => {
      const { workspaceSlug } = c.req.valid('query')
      const rows = await database.as<IntegrationRow>(c.var.identity.user, 'read', 'SELECT * FROM @extschema@.integration_list(@workspace@)', workspaceSlug)
      return c.json({ integrations: rows.map(integrationOf) })
    })

    .post('/integration/connect', input.body(input.connection), async (c) => {
      const { workspaceSlug, type, webhookUrl, events, boards, rule } = c.req.valid('json')
      return c.json(await one<Done>(c.var.identity.user, 'write', 'SELECT * FROM @extschema@.integration_connect(@workspace@, $3, $4, $5, $6, $7)',
        workspaceSlug, [type, webhookUrl, events, boards, rule]))
    })

    .post('/integration/disconnect', input.body(input.integration), async (c) => {
      const { workspaceSlug, type } = c.req.valid('json')
      return c.json(await one<Done>(c.var.identity.user, 'write', 'SELECT * FROM @extschema@.integration_disconnect(@workspace@, $3)', workspaceSlug, [type]))
    })

    .post('/integration/test', input.body(input.integration), async (c) => {
      const { workspaceSlug, type } = c.req.valid('json')
      const { user } = c.var.identity
      return c.json(await limits.test(user, () =>
        one<Done>(user, 'write', 'SELECT * FROM @extschema@.integration_test(@workspace@, $3)', workspaceSlug, [type])))
    })

    .get('/integration/deliveries', input.query(input.log), async (c) => {
      const { workspaceSlug, type, state, maxRows, before } = c.req.valid('query')
      const rows = await database.as<DeliveryRow>(c.var.identity.user, 'read', 'SELECT * FROM @extschema@.integration_deliveries(@workspace@, $3, $4, $5, $6)',
        workspaceSlug, [type, state, maxRows ?? DEFAULT_ROWS, before])
      return c.json({ deliveries: rows.map(deliveryOf) })
    })

    .get('/integration/message', input.query(input.delivery), async (c) => {
      const { workspaceSlug, deliveryId } = c.req.valid('query')
      return c.json(await one<{ body: string }>(c.var.identity.user, 'read', 'SELECT @extschema@.integration_message(@workspace@, $3) AS body',
        workspaceSlug, [deliveryId]))
    })

    .post('/integration/redeliver', input.body(input.delivery), async (c) => {
      const { workspaceSlug, deliveryId } = c.req.valid('json')
      return c.json(await one<Done>(c.var.identity.user, 'write', 'SELECT * FROM @extschema@.integration_redeliver(@workspace@, $3)', workspaceSlug, [deliveryId]))
    })

    .post('/integration/recover', input.body(input.recovery), async (c) => {
      const { workspaceSlug, type, since } = c.req.valid('json')
      return c.json(await one<Done>(c.var.identity.user, 'write', 'SELECT * FROM @extschema@.integration_recover(@workspace@, $3, $4)', workspaceSlug, [type, since]))
    })

    .get('/integration/preview', input.query(input.preview), async (c) => {
      const { workspaceSlug, type, event } = c.req.valid('query')
      return c.json(await one<{ body: string }>(c.var.identity.user, 'read', 'SELECT @extschema@.integration_preview(@workspace@, $3, $4) AS body',
        workspaceSlug, [type, event]))
    })

    .get('/integration/secret', input.query(input.workspace), async (c) => {
      const { workspaceSlug } = c.req.valid('query')
      return c.json(await one<{ secret: string }>(c.var.identity.user, 'read', 'SELECT @extschema@.integration_secret(@workspace@) AS secret', workspaceSlug))
    })

    .post('/integration/rotateSecret', input.body(input.workspace), async (c) => {
      const { workspaceSlug } = c.req.valid('json')
      return c.json(await one<{ secret: string }>(c.var.identity.user, 'write', 'SELECT @extschema@.integration_rotate_secret(@workspace@) AS secret', workspaceSlug))
    })

    .get('/integration/events', async (c) => {
      return c.json({ events: await database.asNobody<EventRow>('SELECT event, label, description FROM @extschema@.integration_events()', c.var.identity.user) })
    })

    // Deliveries by hour, type and state over the last 24 hours; not complete where there are more
    // than the log gives at once.
    .get('/integration/activity', input.query(input.workspace), async (c) => {
      const { workspaceSlug } = c.req.valid('query')
      const rows = await database.as<HourRow & { read: number }>(c.var.identity.user, 'read', ACTIVITY, workspaceSlug, [ACTIVITY_ROWS])
      return c.json({
        hours: rows.filter(({ hour }) => hour.getTime() > Date.now() - DAY).map(({ hour, type, state, count }) => ({ hour: iso(hour), type, state, count })),
        complete: (rows[0]?.read ?? 0) < ACTIVITY_ROWS,
      })
    })

    // Server-sent events: `change` when there is something new in the log or in the list. It says
    // that, and no more: what is new is read by a call that checks who asks.
    .get('/integration/changes', input.query(input.workspace), async (c) => {
      const { workspaceSlug } = c.req.valid('query')
      const { user, until } = c.var.identity
      const workspaceId = await watched(user, workspaceSlug)
      if (c.req.method === 'HEAD') return c.body(null)
      c.header('X-Accel-Buffering', 'no') // nginx would keep it back
      const place = limits.stream(user)
      const allowed = async () => {
        try {
          return (await identify(c)).user === user && (await checks.in(user, () => watched(user, workspaceSlug))) === workspaceId
        } catch (error) {
          return refused(error)
        }
      }
      return streamSSE(c, (stream) => streamChanges(stream, live, workspaceId, until, allowed).finally(place.leave))
    })

  app.notFound((c) => answer(c, new ApiError(404, 'There is no such call')))
  app.onError((error, c) =>
    answer(c, error instanceof HTTPException ? new ApiError(400, 'The request is not JSON that can be read') : answerTo(error)))
  return app
}

export type Api = ReturnType<typeof createApi>

/** What an error looks like to the caller. */
export function answer(c: Context, { status, message, hint, detail, retryAfter }: ApiError) {
  if (retryAfter !== undefined) c.header('Retry-After', String(retryAfter))
  if (status === 401) c.header('WWW-Authenticate', 'Bearer')
  return c.json({ success: false, message, hint, detail }, status)
}
