// What the environment says, checked once: a setting that cannot be understood stops the start.

import { z } from 'zod'

const whole = (low: number, high: number) => z.coerce.number().int().min(low).max(high)

const keysAreTrusted = (value: string): boolean => {
  const { protocol, hostname } = new URL(value)
  return protocol === 'https:' || (protocol === 'http:' && ['localhost', '127.0.0.1', '[::1]'].includes(hostname))
}

const schema = z
  .object({
    HOST: z.string().default('127.0.0.1'),
    PORT: whole(0, 65535).default(8080),
    DATABASE_URL: z.string().optional(), // else PGHOST, PGDATABASE, ...
    FEATUL_SCHEMA: z.string().min(1).default('public'),
    POOL_SIZE: whole(2, 100).default(10), // a test takes one, for as long as it lasts
    JWT_SECRET: z.string().min(32, 'at least 32 bytes, as RFC 7518 3.2 asks of HS256').optional(),
    JWKS_URL: z.url().refine(keysAreTrusted, 'https, or http on this machine: who answers says who is who').optional(),
    JWT_ISSUER: z.string().optional(),
    JWT_AUDIENCE: z.string().optional(),
    TESTS_PER_MINUTE: whole(1, 1000).default(6),
  })
  .refine((env) => (env.JWT_SECRET === undefined) !== (env.JWKS_URL === undefined), {
    message: 'set one of JWT_SECRET and JWKS_URL',
  })

export type Settings = z.infer<typeof schema>

/** Throws an Error that names what is wrong, never a value. */
export function readSettings(environment: Record<string, string | undefined>): Settings {
  const set = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''))
  const result = schema.safeParse(set)
  if (result.success) return result.data
  const faults = result.error.issues.map((issue) => [...issue.path, issue.message].join(': '))
  throw new Error(`The settings cannot be used: ${faults.join('; ')}`)
}
