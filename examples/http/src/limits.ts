// What one user may ask for. Counted in this process: behind several, each counts its own.

import { ApiError, unavailable } from './errors.ts'

const STREAMS_PER_USER = 8
const STREAMS = 1000
const MINUTE = 60_000
const MOST_USERS = 10_000 // who tested something in the last minute

type Tests = { began: number[]; running: number }

export class Limits {
  readonly #tests = new Map<string, Tests>() // by user, who began last at the end
  readonly #testsPerMinute: number
  readonly #testsAtOnce: number
  readonly #testsAtOnceOfOne: number
  #testing = 0
  readonly #streams = new Map<string, number>()
  #streamCount = 0

  /**
   * A test holds a connection for as long as an endpoint likes: all of them together half of the
   * pool at most, and one user half of that.
   */
  constructor(testsPerMinute: number, poolSize: number) {
    this.#testsPerMinute = testsPerMinute
    this.#testsAtOnce = Math.max(1, Math.floor(poolSize / 2))
    this.#testsAtOnceOfOne = Math.max(1, Math.floor(this.#testsAtOnce / 2))
  }

  /** Does the work of a test; 429 where this user asked for too many, 503 where all together did. */
  async test<T>(user: string, work: () => Promise<T>): Promise<T> {
    if (this.#testing >= this.#testsAtOnce) throw unavailable(10)
    const tests = this.#begin(user, performance.now())
    this.#testing++
    tests.running++
    try {
      return await work()
    } finally {
      this.#testing--
      tests.running--
    }
  }

  /** Counts a test of this user, unless it is one too many. */
  #begin(user: string, now: number): Tests {
    for (const [other, { began }] of this.#tests) {
      if ((began.at(-1) ?? 0) > now - MINUTE) break
      this.#tests.delete(other)
    }
    const tests = this.#tests.get(user) ?? { began: [], running: 0 }
    tests.began = tests.began.filter((time) => time > now - MINUTE)
    const [first] = tests.began
    if (tests.running >= this.#testsAtOnceOfOne) throw tooMany(10)
    if (first !== undefined && tests.began.length >= this.#testsPerMinute) throw tooMany(Math.ceil((first + MINUTE - now) / 1000))
    if (this.#tests.size >= MOST_USERS && !this.#tests.has(user)) throw unavailable(10)
    tests.began.push(now)
    this.#tests.delete(user)
    this.#tests.set(user, tests)
    return tests
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

const tooMany = (retryAfter: number) =>
  new ApiError(429, 'Too many test notifications', { hint: `Try again in ${retryAfter} s.`, retryAfter })
