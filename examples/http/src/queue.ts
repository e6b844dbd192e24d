// Whose turn it is: so many at once, with a fair share for everybody who calls.

import { busy, tooManyCalls } from './errors.ts'

/** How many may wait, how many of one user's, and for how long. */
export type Patience = { waiting: number; ofOne: number; wait: number }

const CALLERS: Patience = { waiting: 100, ofOne: 40, wait: 3_000 } // 8 pages of one user make some 30 calls at once

type Waiting = { user: string; come: () => void }

/**
 * One user's calls get half of the places at most, and whoever has fewest comes next, else whoever came
 * first: however many calls one user makes, they keep nobody else from theirs. The pool has a queue as
 * well, but knows no users, and says the same when it is busy and when the database does not answer.
 */
export class Queue {
  readonly #share: number
  readonly #patience: Patience
  readonly #waiting = new Set<Waiting>() // in the order in which they came
  readonly #running = new Map<string, number>() // by user
  #places: number

  constructor(size: number, patience = CALLERS) {
    this.#places = size
    this.#share = Math.max(2, Math.ceil(size / 2)) // a test that hangs leaves its user one more
    this.#patience = patience
  }

  /** Does the work when its turn comes; throws a 429 or 503 where that takes too long. */
  async in<T>(user: string, work: () => Promise<T>): Promise<T> {
    if (this.#mayRun(user)) this.#enter(user)
    else await this.#turn(user)
    try {
      return await work()
    } finally {
      this.#leave(user)
    }
  }

  #of(user: string): number {
    return this.#running.get(user) ?? 0
  }

  #mayRun(user: string): boolean {
    return this.#places > 0 && this.#of(user) < this.#share
  }

  #enter(user: string): void {
    this.#places--
    this.#running.set(user, this.#of(user) + 1)
  }

  #leave(user: string): void {
    this.#places++
    const left = this.#of(user) - 1
    if (left > 0) this.#running.set(user, left)
    else this.#running.delete(user)
    let next: Waiting | undefined
    for (const one of this.#waiting)
      if (this.#mayRun(one.user) && (!next || this.#of(one.user) < this.#of(next.user))) next = one
    next?.come()
  }

  #turn(user: string): Promise<void> {
    const before = [...this.#waiting]
    if (before.filter((one) => one.user === user).length >= this.#patience.ofOne) return Promise.reject(tooManyCalls())
    if (before.length >= this.#patience.waiting) return Promise.reject(busy())
    return new Promise((resolve, reject) => {
      const come = () => {
        clearTimeout(timer)
        this.#waiting.delete(waiting)
        this.#enter(user)
        resolve()
      }
      const waiting = { user, come }
      const timer = setTimeout(() => {
        this.#waiting.delete(waiting)
        reject(this.#places > 0 ? tooManyCalls() : busy())
      }, this.#patience.wait)
      this.#waiting.add(waiting)
    })
  }
}
