// Who is calling: the `sub` of a bearer token. Nothing else of a request says so.

import { createRemoteJWKSet, customFetch, errors, jwtVerify, type JWTPayload, type JWTVerifyOptions } from 'jose'
import type { Context } from 'hono'

import { reasonOf, unauthenticated, unavailable } from './errors.ts'
import { KeySource } from './keys.ts'
import { logSparingly } from './log.ts'

/** A user, and when what proves it ends (in milliseconds since the epoch). */
export type Identity = { user: string; until: number }

/**
 * Finds out who is calling; throws an ApiError where nobody is. An application that mounts the API
 * brings its own, from its session.
 */
export type Identify = (c: Context) => Promise<Identity>

type TokenSettings = {
  JWT_SECRET?: string | undefined
  JWKS_URL?: string | undefined
  JWT_ISSUER?: string | undefined
  JWT_AUDIENCE?: string | undefined
}

// Never both kinds for one key: a public key must not be taken for an HMAC secret.
const SYMMETRIC = ['HS256']
const ASYMMETRIC = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA', 'Ed25519']

/** By a token of which `sub` is the user; without an `exp` it counts for nothing. */
export function bearer(settings: TokenSettings): Identify {
  const options: JWTVerifyOptions = { requiredClaims: ['sub', 'exp'], clockTolerance: 5 }
  if (settings.JWT_ISSUER) options.issuer = settings.JWT_ISSUER
  if (settings.JWT_AUDIENCE) options.audience = settings.JWT_AUDIENCE
  const verify = verifier(settings, options)

  return async (c) => {
    const [, token] = /^Bearer ([\w-]+\.[\w-]+\.[\w-]+)$/i.exec(c.req.header('Authorization') ?? '') ?? []
    if (!token) throw unauthenticated('Send a token: Authorization: Bearer ...')
    const { sub, exp } = await verify(token)
    // Control characters are in nobody's id, and PostgreSQL does not even take a NUL; halves of a character
    // would all become the same one.
    if (typeof sub !== 'string' || sub === '' || sub.length > 255 || /[\p{Cc}\p{Cs}]/u.test(sub)) throw unauthenticated('The token names no user.')
    return { user: sub, until: (exp ?? 0) * 1000 }
  }
}

function verifier(settings: TokenSettings, options: JWTVerifyOptions): (token: string) => Promise<JWTPayload> {
  // made a key once, not for each call
  const secret = settings.JWT_SECRET && crypto.subtle.importKey(
    'raw', new TextEncoder().encode(settings.JWT_SECRET), { name: 'HMAC', hash: 'SHA-256' }, false, ['verify'])
  const source = new KeySource()
  const keys = settings.JWKS_URL && createRemoteJWKSet(new URL(settings.JWKS_URL), { timeoutDuration: 3000, [customFetch]: source.fetch })

  return async (token) => {
    try {
      const { payload } = secret
        ? await jwtVerify(token, await secret, { ...options, algorithms: SYMMETRIC })
        : await jwtVerify(token, keys as Exclude<typeof keys, '' | undefined>, { ...options, algorithms: ASYMMETRIC })
      return payload
    } catch (error) {
      throw secret ? badToken(error) : refusal(error, source)
    }
  }
}

function badToken(error: unknown) {
  return unauthenticated(error instanceof errors.JWTExpired ? 'The token has expired.' : 'The token is not valid.')
}

/** With keys from elsewhere: a bad token is the caller's fault, keys that cannot be had are ours. */
function refusal(error: unknown, source: KeySource) {
  const code = error instanceof errors.JOSEError ? error.code : ''
  if (code === 'ERR_JWKS_NO_MATCHING_KEY' && source.away) return unavailable() // it may be a new one
  if (/^ERR_(JWT|JWS|JOSE|JWKS_(NO|MULTIPLE)_MATCHING)_/.test(code) && code !== 'ERR_JOSE_GENERIC') return badToken(error)
  logSparingly('error', 'The keys at JWKS_URL cannot be had', { reason: code || reasonOf(error) })
  return unavailable()
}
