// What calls are given. Types and sizes are judged here; what a type, an event, a URL or a rule may
// be is the database's to say, so that it says the same to everybody.

import { validator } from 'hono/validator'
import { z } from 'zod'

import { ApiError } from './errors.ts'

export const TYPES = ['slack', 'discord', 'webhook', 'teams'] as const
export const STATES = ['pending', 'delivered', 'failed', 'cancelled'] as const

// Each may hold 64 KiB of payload, and all of them are in memory at once.
const LARGEST_PAGE = 200

const text = z.string().max(4096).refine((value) => !value.includes('\0'), 'has a NUL character')
const id = z.string().regex(/^\d{1,18}$/, 'is not a delivery id') // bigint, which JSON's readers would round
const workspaceSlug = text.min(1)
const type = z.enum(TYPES)
const filter = z.array(text).nullish()

export const workspace = z.strictObject({ workspaceSlug })
export const integration = z.strictObject({ workspaceSlug, type })
export const connection = z.strictObject({
  workspaceSlug,
  type,
  webhookUrl: text,
  events: filter,
  boards: filter,
  rule: text.nullish(),
})
export const log = z.strictObject({
  workspaceSlug,
  type: type.optional(),
  state: z.enum(STATES).optional(),
  maxRows: z.string().regex(/^\d{1,3}$/, 'is not a whole number').refine((rows) => Number(rows) <= LARGEST_PAGE, `is more than ${LARGEST_PAGE}`).optional(),
  before: id.optional(),
})
export const delivery = z.strictObject({ workspaceSlug, deliveryId: id })
export const recovery = z.strictObject({ workspaceSlug, type, since: z.iso.datetime({ offset: true }) })
export const preview = z.strictObject({ workspaceSlug, type, event: text })

/**
 * The value of an argument as jstack's client sends it, {"json":"acme"}: featul's own client goes
 * on as it is. No slug, URL or name looks like this.
 */
function unwrapped(value: unknown): unknown {
  if (typeof value !== 'string' || !value.startsWith('{"json":')) return value
  try {
    const { json } = JSON.parse(value) as { json: unknown }
    return typeof json === 'number' ? String(json) : (json ?? undefined)
  } catch {
    return value
  }
}

/** The arguments that a schema makes of what came; an ApiError that quotes nothing of it. */
function parse<T>(schema: z.ZodObject & z.ZodType<T>, value: unknown): T {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new ApiError(400, 'The arguments must be a JSON object')
  const given = Object.fromEntries(Object.entries(value).map(([name, part]) => [name, unwrapped(part)]))
  const result = schema.safeParse(given)
  if (result.success) return result.data
  const [issue] = result.error.issues
  const name = issue?.path[0]
  if (issue?.code === 'unrecognized_keys' || name === undefined)
    throw new ApiError(400, 'There is an argument of an unknown name', { hint: `Arguments are ${Object.keys(schema.shape).join(', ')}.` })
  throw new ApiError(400, `Argument ${String(name)} is missing or of the wrong kind`, { hint: `${issue?.message ?? ''}.` })
}

export const query = <T>(schema: z.ZodObject & z.ZodType<T>) => validator('query', (value) => parse(schema, value))
export const body = <T>(schema: z.ZodObject & z.ZodType<T>) => validator('json', (value) => parse(schema, value))
