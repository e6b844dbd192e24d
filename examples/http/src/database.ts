// The database: a bounded pool, and calls that act for a user.

import pg from 'pg'

import { log } from './log.ts'
import { databaseAway, reasonOf, unavailable } from './errors.ts'

// A test call takes 10 s at most (featul_integrations.request_timeout); then the server gives up,
// then this client, then whoever waits for a connection has long been told.
const STATEMENT_TIMEOUT = 15_000
const QUERY_TIMEOUT = 20_000
const CONNECTION_TIMEOUT = 3_000
const MOST_WAITING = 100

export type Row = Record<string, unknown>

export class Database {
  readonly #pool: pg.Pool
  readonly #schema: string
  readonly size: number

  constructor(config: { connectionString?: string | undefined; schema: string; size: number }) {
    this.size = config.size
    this.#schema = pg.escapeIdentifier(config.schema)
    this.#pool = new pg.Pool({
      connectionString: config.connectionString,
      max: config.size,
      application_name: 'featul_integrations http',
      connectionTimeoutMillis: CONNECTION_TIMEOUT,
      idleTimeoutMillis: 60_000,
      statement_timeout: STATEMENT_TIMEOUT,
      idle_in_transaction_session_timeout: STATEMENT_TIMEOUT,
      query_timeout: QUERY_TIMEOUT,
      keepAlive: true,
    })
    // An idle connection that breaks: the pool has dropped it already.
    this.#pool.on('error', (error) => log('warning', 'A database connection broke', { reason: reasonOf(error) }))
  }

  /**
   * The rows of a query that acts for this user, in a transaction of its own: the acting user is set
   * for that transaction and is gone with it. The query is a constant of the code, @extschema@ in it
   * the extension's schema; all that users give goes into the parameters.
   */
  async as<T extends Row>(user: string, kind: 'read' | 'write', query: string, parameters: unknown[]): Promise<T[]> {
    return this.#with(async (client) => {
      await client.query(kind === 'read' ? 'BEGIN READ ONLY' : 'BEGIN')
      await client.query(`SELECT set_config('featul_integrations.user_id', $1, true)`, [user])
      const { rows } = await client.query<T>(this.#inSchema(query), parameters)
      await client.query('COMMIT')
      return rows
    })
  }

  /** The rows of a query that acts for nobody. */
  async asNobody<T extends Row>(query: string): Promise<T[]> {
    return this.#with(async (client) => (await client.query<T>(this.#inSchema(query))).rows)
  }

  #inSchema(query: string): string {
    return query.replaceAll('@extschema@', () => this.#schema)
  }

  async #with<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    if (this.#pool.waitingCount >= MOST_WAITING) throw unavailable(1)
    const client = await this.#pool.connect().catch((error: unknown) => {
      throw databaseAway(error)
    })
    let broken = true
    try {
      const result = await work(client)
      broken = false
      return result
    } catch (error) {
      // After an error of the server's the connection is good once rolled back; after any other
      // (it broke, or did not answer in time) nobody knows what it is doing.
      if (!(error instanceof pg.DatabaseError)) throw databaseAway(error)
      if (error.severity === 'ERROR')
        broken = await client.query('ROLLBACK').then(() => false, () => true)
      throw error
    } finally {
      client.release(broken)
    }
  }

  /** Waits for what runs. */
  end(): Promise<void> {
    return this.#pool.end()
  }
}
