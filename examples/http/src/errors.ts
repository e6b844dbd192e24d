// What went wrong, as the caller is told (status, message, hint) and as the operator is.

import pg from 'pg'

import { log, logSparingly } from './log.ts'

export type ErrorStatus = 400 | 401 | 403 | 404 | 413 | 429 | 500 | 503 | 504

/** An error whose words may be shown to the caller as they are. */
export class ApiError extends Error {
  readonly status: ErrorStatus
  readonly hint: string | undefined
  readonly detail: string | undefined
  readonly retryAfter: number | undefined

  constructor(status: ErrorStatus, message: string, more: { hint?: string | undefined; detail?: string | undefined; retryAfter?: number } = {}) {
    super(message)
    this.status = status
    this.hint = more.hint
    this.detail = more.detail
    this.retryAfter = more.retryAfter
  }
}

export const unauthenticated = (hint: string) => new ApiError(401, 'Authentication required', { hint })

export const unavailable = (retryAfter = 5) =>
  new ApiError(503, 'Integrations are not available right now', { hint: 'Try again in a moment.', retryAfter })

const STATUSES = [400, 401, 403, 404, 500] as const

// Faults of the installation, by SQLSTATE: what the operator is to do about them.
const INSTALLATION: Record<string, string> = {
  '55000': 'The extension is not attached to the tables of the application: its owner has to call integration_attach().',
  '42883': 'The database does not have the functions of featul_integrations 1.0 in the schema FEATUL_SCHEMA: create the extension, or set the schema.',
  '3F000': 'The schema FEATUL_SCHEMA does not exist.',
  '42501': 'The role of this service may not call the functions of featul_integrations: grant it EXECUTE (role.sql).',
  '25006': 'The database is a hot standby: connect to the primary to change anything.',
}

// The classes of SQLSTATE that speak of the server's state rather than of the call (PostgreSQL, appendix A).
const TROUBLE = /^(08|53|57P|58|XX)/

// Those of another call that was in the way: a deadlock, a lock that lasts longer than lock_timeout.
const PASSING = /^(40|55P03)/

/**
 * True if this error leaves no connection that is good for another call. Judged by its code: how
 * severe it is, FATAL or ERROR, the server says in the language of its messages.
 */
export const connectionEnds = (error: pg.DatabaseError): boolean => TROUBLE.test(error.code ?? '')

/**
 * What to answer to an error of the database. The extension's own errors (PT...) are written for
 * users and hold no secret; the words of any other may quote a value and are never passed on.
 */
export function answerTo(error: unknown): ApiError {
  if (error instanceof ApiError) return error
  if (!(error instanceof pg.DatabaseError)) {
    // A fault of this program: where it is, not what it was about.
    const [, ...frames] = (error instanceof Error && error.stack ? error.stack : '').split('\n    at ')
    log('error', 'A fault of this service', { name: error instanceof Error ? error.name : typeof error, frames })
    return new ApiError(500, 'Something went wrong here')
  }
  const code = error.code ?? ''
  if (/^(08|57P)/.test(code)) return databaseAway(error)
  if (code.startsWith('22')) {
    logSparingly('warning', 'The database cannot take an argument, or finds a value that it cannot use', { sqlstate: code })
    return new ApiError(400, 'An argument cannot be used')
  }
  const status = code.startsWith('PT') ? STATUSES.find((known) => code === `PT${known}`) : undefined
  if (status) return new ApiError(status, error.message, { hint: error.hint, detail: error.detail })
  if (code === '57014') {
    logSparingly('warning', 'A statement took too long', { sqlstate: code })
    return new ApiError(504, 'This took too long', { hint: 'Try again in a moment.' })
  }
  logSparingly('error', INSTALLATION[code] ?? 'The database reports an error', {
    sqlstate: code,
    reason: code.startsWith('23') ? undefined : error.message,
  })
  return code in INSTALLATION || TROUBLE.test(code) || PASSING.test(code) ? unavailable() : new ApiError(500, 'Something went wrong here')
}

/** What to answer where more calls come than the pool can serve: says so in the log. */
export function busy(): ApiError {
  logSparingly('warning', 'More calls than the database connections can serve: some are refused')
  return unavailable(1)
}

/** What to answer to a user who makes more calls at once than are one user's share. */
export const tooManyCalls = () => new ApiError(429, 'Too many calls at once', { hint: 'Try again in a moment.', retryAfter: 1 })

/** What to answer where the database did not: says so in the log. */
export function databaseAway(error: unknown): ApiError {
  logSparingly('error', 'The database cannot be reached', { reason: reasonOf(error) })
  return unavailable()
}

/** In the words of the system or of pg: they name addresses, never a password. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reasonOf).join('; ')
  return error instanceof Error ? error.message : String(error)
}
