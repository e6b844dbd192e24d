// Answers on their way. What a reader does not take stays in memory, and a page of the log may hold megabytes.

import type { ServerResponse } from 'node:http'

import { logSparingly } from './log.ts'

const MOST_UNREAD = 64 * 1024 * 1024 // bytes, of all answers together

export class Answers {
  readonly #open = new Set<Pick<ServerResponse, 'writableLength' | 'destroy' | 'once'>>() // in the order of their requests

  add(answer: Pick<ServerResponse, 'writableLength' | 'destroy' | 'once'>): void {
    this.#open.add(answer)
    answer.once('close', () => this.#open.delete(answer))
  }

  /** Gives up those that wait longest, where all together hold more than they may. */
  bound(): void {
    let unread = 0
    for (const { writableLength } of this.#open) unread += writableLength
    for (const answer of this.#open) {
      if (unread <= MOST_UNREAD) return
      if (answer.writableLength === 0) continue
      unread -= answer.writableLength
      logSparingly('warning', 'Answers that their readers do not take are given up')
      answer.destroy()
    }
  }
}
