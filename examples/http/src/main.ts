// The process: starts what the settings say, stops gracefully.

import type { Server } from 'node:http'

import { serve } from '@hono/node-server'

import { createApi } from './api.ts'
import { Database } from './database.ts'
import { bearer } from './identity.ts'
import { Limits } from './limits.ts'
import { Live } from './live.ts'
import { log } from './log.ts'
import { createService } from './service.ts'
import { readSettings } from './settings.ts'

const REQUEST_TIMEOUT = 15_000 // to be received; what an answer takes is bounded by the database's
const HEADERS_TIMEOUT = 10_000
const CHECK_INTERVAL = 2_000 // how exactly these two are kept; by default half a minute
const IDLE_TIMEOUT = 60_000 // of a socket on which nothing is read nor written; streams write every 25 s
const KEEP_ALIVE = 75_000 // above what proxies keep a connection for (nginx: 60 s), so that it is they who close it
const MOST_SOCKETS = 2_000 // streams take 1,000 at most (limits.ts)
const STOP_TIMEOUT = 20_000 // above what a call takes at most

function start() {
  const settings = readSettings(process.env)
  const database = new Database({ connectionString: settings.DATABASE_URL, schema: settings.FEATUL_SCHEMA, size: settings.POOL_SIZE })
  const live = new Live(settings.DATABASE_URL)
  const limits = new Limits(settings.TESTS_PER_MINUTE, settings.POOL_SIZE)
  const api = createApi({ database, identify: bearer(settings), limits, live })
  const stopping = new AbortController()
  const service = createService({ api, database, stopping: stopping.signal })

  const server = serve(
    {
      fetch: service.fetch,
      hostname: settings.HOST,
      port: settings.PORT,
      serverOptions: {
        requestTimeout: REQUEST_TIMEOUT, headersTimeout: HEADERS_TIMEOUT, connectionsCheckingInterval: CHECK_INTERVAL,
        keepAliveTimeout: KEEP_ALIVE, maxHeaderSize: 16_384,
      },
    },
    ({ address, port }) => log('info', 'listening', { address, port }),
  ) as Server
  server.timeout = IDLE_TIMEOUT
  server.maxConnections = MOST_SOCKETS
  server.on('error', (error) => {
    log('error', 'The service cannot listen', { reason: error.message })
    process.exit(1)
  })

  // What runs is finished, streams end, nothing new begins. A second signal does not wait.
  const stop = (signal: string) => {
    if (stopping.signal.aborted) process.exit(1)
    stopping.abort()
    log('info', 'stopping', { signal })
    setTimeout(() => process.exit(1), STOP_TIMEOUT).unref()
    const closed = new Promise((resolve) => server.close(resolve))
    setInterval(() => server.closeIdleConnections(), 100) // those that were not idle when it began
    void Promise.all([closed, live.end()])
      .then(() => database.end())
      .then(() => log('info', 'stopped'))
      .then(() => process.exit(0))
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
}

try {
  start()
} catch (error) {
  log('error', error instanceof Error ? error.message : 'The service cannot start')
  process.exit(1)
}
