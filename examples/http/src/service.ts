// The whole of it as an HTTP service: the API under /api, the page, health, readiness, the log.

import { randomUUID } from 'node:crypto'

import type { HttpBindings } from '@hono/node-server'
import { Hono, type Context } from 'hono'
import { routePath } from 'hono/route'
import { secureHeaders } from 'hono/secure-headers'

import { Answers } from './answers.ts'
import { answer, type createApi } from './api.ts'
import type { Database } from './database.ts'
import { ApiError, answerTo, unavailable } from './errors.ts'
import { log } from './log.ts'
import { page } from './page.ts'

const READINESS_LASTS = 1_000

export type ServiceOptions = {
  api: ReturnType<typeof createApi>
  database: Database
  stopping: AbortSignal
}

export function createService({ api, database, stopping }: ServiceOptions) {
  const ready = readiness(database)
  const answers = new Answers()
  const app = new Hono<{ Bindings: HttpBindings }>()

  app.use(async (c, next) => {
    const start = performance.now()
    const request = randomUUID()
    answers.add(c.env.outgoing)
    await next()
    answers.bound()
    c.header('X-Request-Id', request)
    if (stopping.aborted) c.header('Connection', 'close') // whoever keeps calling calls elsewhere from now on
    log('info', 'request', {
      request,
      method: c.req.method,
      path: route(c),
      status: c.res.status,
      ms: Math.round(performance.now() - start),
    })
  })
  app.use(secureHeaders({
    contentSecurityPolicy: {
      defaultSrc: ["'none'"],
      scriptSrc: ["'self'"],
      styleSrc: ["'self'"],
      connectSrc: ["'self'"],
      imgSrc: ["'self'"],
      baseUri: ["'none'"],
      formAction: ["'none'"],
      frameAncestors: ["'none'"],
      requireTrustedTypesFor: ["'script'"],
    },
    referrerPolicy: 'no-referrer',
    xFrameOptions: 'DENY',
  }))

  app.get('/healthz', (c) => c.text('ok\n'))
  app.get('/readyz', async (c) => {
    if (stopping.aborted) throw unavailable()
    await ready()
    return c.text('ready\n')
  })
  app.route('/api', api)
  app.route('/', page())
  app.notFound((c) => answer(c, new ApiError(404, 'There is nothing here')))
  app.onError((error, c) => answer(c, answerTo(error)))
  return app
}

/** The path of what was called, in our words: what was not found may hold anything. */
function route(c: Context): string | undefined {
  const path = routePath(c, -1)
  return path.includes('*') ? undefined : path
}

/** Throws unless the database is there with the functions; asks it once a second at most. */
function readiness(database: Database): () => Promise<unknown> {
  let asked = -Infinity
  let answered: Promise<unknown> = Promise.resolve()
  return () => {
    if (performance.now() - asked > READINESS_LASTS) {
      asked = performance.now()
      answered = database.asNobody('SELECT 1 FROM @extschema@.integration_events() LIMIT 1')
    }
    return answered
  }
}
