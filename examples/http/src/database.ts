// The database: a bounded pool with a queue before it, and calls that act for a user.

import pg from 'pg'

import { connectionEnds, databaseAway, reasonOf } from './errors.ts'
import { logSparingly } from './log.ts'
import { Queue } from './queue.ts'

// A test call takes 10 s at most (featul_integrations.request_timeout); then the server gives up,
// then this client, then whoever waits for a connection has long been told.
const STATEMENT_TIMEOUT = 15_000
const QUERY_TIMEOUT = 20_000
const CONNECTION_TIMEOUT = 3_000

// Whatever the database, its role or the connection string say: pg reads times in this form alone, and
// what one call does and another one changes meanwhile is no error.
const SESSION = `SET datestyle = ISO; SET default_transaction_isolation = 'read committed'`

export type Row = Record<string, unknown>

// The acting user is set within the very statement that acts: one round trip, and a transaction of
// its own, with which the setting ends. That it is set before the function runs is no matter of the
// planner's: the function's first argument, the workspace's slug, is there only once it is set.
const ACTING = `set_config('featul_integrations.user_id', $1, true) = $1`
const WORKSPACE = {
  read: `CASE WHEN ${ACTING} AND set_config('transaction_read_only', 'on', true) = 'on' THEN $2::text END`,
  write: `CASE WHEN ${ACTING} THEN $2::text END`,
}

export class Database {
  readonly #pool: pg.Pool
  readonly #queue: Queue
  readonly #schema: string
  readonly size: number

  constructor(config: { connectionString?: string | undefined; schema: string; size: number }) {
    this.size = config.size
    this.#schema = pg.escapeIdentifier(config.schema)
    this.#queue = new Queue(config.size)
    this.#pool = new pg.Pool({
      connectionString: config.connectionString,
      max: config.size,
      application_name: 'featul_integrations http',
      connectionTimeoutMillis: CONNECTION_TIMEOUT,
      idleTimeoutMillis: 60_000,
      statement_timeout: STATEMENT_TIMEOUT,
      query_timeout: QUERY_TIMEOUT,
      keepAlive: true,
      onConnect: (client) => client.query(SESSION),
    })
    // An idle connection that breaks: the pool has dropped it already.
    this.#pool.on('error', (error) => logSparingly('warning', 'A database connection broke', { reason: reasonOf(error) }))
    // One that breaks under a call tells that call, and then whoever listens: nobody would end the process.
    this.#pool.on('connect', (client) => client.on('error', () => {}))
  }

  /**
   * The rows of a statement that acts for this user in a workspace, in a transaction of its own. The
   * statement is a constant of the code; @extschema@ in it is the extension's schema, @workspace@ the
   * slug, and the further parameters, from $3 on, are all else that users give.
   */
  async as<T extends Row>(user: string, kind: 'read' | 'write', statement: string, workspaceSlug: string, more: unknown[] = []): Promise<T[]> {
    return this.#run<T>(user, statement.replace('@workspace@', () => WORKSPACE[kind]), [user, workspaceSlug, ...more])
  }

  /** The rows of a statement that acts for nobody; `caller` is who waits for it, if any user does. */
  async asNobody<T extends Row>(statement: string, caller = ''): Promise<T[]> {
    return this.#run<T>(caller, statement, [])
  }

  async #run<T extends Row>(caller: string, statement: string, parameters: unknown[]): Promise<T[]> {
    const text = statement.replaceAll('@extschema@', () => this.#schema)
    return this.#queue.in(caller, async () => {
      const client = await this.#pool.connect().catch((error: unknown) => {
        throw databaseAway(error)
      })
      let broken = true
      try {
        const { rows } = await client.query<T>(text, parameters)
        broken = false
        return rows
      } catch (error) {
        // After an error of the statement's the connection is good; after any other (it broke, or did
        // not answer in time) nobody knows what it is doing.
        if (!(error instanceof pg.DatabaseError)) throw databaseAway(error)
        broken = connectionEnds(error)
        throw error
      } finally {
        client.release(broken)
      }
    })
  }

  /** Waits for what runs. */
  end(): Promise<void> {
    return this.#pool.end()
  }
}
