// What one user may ask for. Counted in this process: behind several, each counts its own.

import { ApiError, unavailable } from './errors.ts'

const STREAMS_PER_USER = 8
const STREAMS = 1000
const MINUTE = 60_000

export class Limits {
  readonly #tests = new Map<string, number[]>() // user: when the tests of the last minute began
  readonly #testsPerMinute: number
  readonly #testsAtOnce: number
  #testing = 0
  readonly #streams = new Map<string, number>()
  #streamCount = 0

  /** A test holds a connection for as long as an endpoint likes: all of them half of the pool at most. */
  constructor(testsPerMinute: number, poolSize: number) {
    this.#testsPerMinute = testsPerMinute
    this.#testsAtOnce = Math.max(1, Math.floor(poolSize / 2))
  }

  /** Does the work of a test; 429 where this user asked for too many, 503 where all together did. */
  async test<T>(user: string, work: () => Promise<T>): Promise<T> {
    if (this.#testing >= this.#testsAtOnce) throw unavailable(10)
    this.#countTest(user, Date.now())
    this.#testing++
    try {
      return await work()
    } finally {
      this.#testing--
    }
  }

  #countTest(user: string, now: number): void {
    for (const [other, times] of this.#tests)
      if ((times.at(-1) ?? 0) <= now - MINUTE) this.#tests.delete(other)
    const recent = (this.#tests.get(user) ?? []).filter((time) => time > now - MINUTE)
    const [first] = recent
    if (recent.length >= this.#testsPerMinute && first !== undefined) {
      const retryAfter = Math.ceil((first + MINUTE - now) / 1000)
      throw new ApiError(429, 'Too many test notifications', { hint: `Try again in ${retryAfter} s.`, retryAfter })
    }
    this.#tests.set(user, [...recent, now])
  }

  /** A place for one stream of this user; 429 or 503 where there is none. */
  stream(user: string): { leave: () => void } {
    const open = this.#streams.get(user) ?? 0
    if (open >= STREAMS_PER_USER) throw new ApiError(429, 'Too many open streams', { retryAfter: 10 })
    if (this.#streamCount >= STREAMS) throw unavailable(30)
    this.#streams.set(user, open + 1)
    this.#streamCount++
    return {
      leave: () => {
        this.#streamCount--
        const left = (this.#streams.get(user) ?? 1) - 1
        if (left > 0) this.#streams.set(user, left)
        else this.#streams.delete(user)
      },
    }
  }
}
