// The keys at JWKS_URL: fetched within bounds, and good for a while after whoever has them is away.

import { reasonOf } from './errors.ts'
import { logSparingly } from './log.ts'

const LARGEST = 256 * 1024
const OUTLIVE = 3_600_000 // how long keys are used that cannot be asked for again

type Options = { headers: Headers; method: 'GET'; redirect: 'manual'; signal: AbortSignal }

export class KeySource {
  #last: { keys: object; at: number } | undefined
  #away = false

  /** True if keys were last asked for in vain. */
  get away(): boolean {
    return this.#away
  }

  /** What jose asks for keys with. */
  readonly fetch = async (url: string, options: Options): Promise<Response> => {
    try {
      const keys = JSON.parse(await read(await fetch(url, options))) as { keys?: unknown } | null
      if (!Array.isArray(keys?.keys)) throw new Error('the answer holds no keys')
      this.#last = { keys, at: performance.now() }
      this.#away = false
    } catch (error) {
      this.#away = true
      if (!this.#last || performance.now() - this.#last.at > OUTLIVE) throw error
      logSparingly('error', 'The keys at JWKS_URL cannot be had: those of before are used for an hour', { reason: reasonOf(error) })
    }
    return Response.json(this.#last.keys)
  }
}

/** The text of an answer, of which no more is taken than keys can be. */
async function read(response: Response): Promise<string> {
  if (response.status !== 200 || !response.body) throw new Error(`the answer is ${response.status}`)
  const parts: Uint8Array[] = []
  let size = 0
  for await (const part of response.body as unknown as AsyncIterable<Uint8Array>) {
    size += part.length
    if (size > LARGEST) throw new Error('the answer is too large') // which ends the connection
    parts.push(part)
  }
  return Buffer.concat(parts).toString()
}
