// The client that applications use: Hono's own, with the arguments of each call given directly, as
// the documentation writes them:  client.integration.list.$get({ workspaceSlug: 'acme' })

import { hc, type ClientRequestOptions } from 'hono/client'

import type { Api } from './api.ts'

type Calls = ReturnType<typeof hc<Api>>

/** The same tree of calls, `query` and `json` left out of the arguments. */
type Direct<T> = {
  [K in keyof T]: T[K] extends (arguments_: infer A, ...rest: never[]) => infer R
    ? A extends { query: infer Input } ? (input: Loose<Input>, options?: ClientRequestOptions) => R
      : A extends { json: infer Input } ? (input: Input, options?: ClientRequestOptions) => R
      : (input?: Record<never, never>, options?: ClientRequestOptions) => R
    : T[K] extends object ? Direct<T[K]> : never
}

/** A query carries text; numbers may be given as such. */
type Loose<Input> = { [K in keyof Input]: Input[K] | (string extends Input[K] ? number : never) }

export type Client = Direct<Calls>

/** `baseUrl` is where the API is mounted, such as https://feedback.example.com/api. */
export function createClient(baseUrl: string, options?: ClientRequestOptions): Client {
  return direct(hc<Api>(baseUrl, options)) as Client
}

function direct(calls: object): unknown {
  return new Proxy(calls, {
    get(target, name) {
      const part = Reflect.get(target, name) as unknown
      const wrap = name === '$get' ? 'query' : name === '$post' ? 'json' : undefined
      if (wrap && typeof part === 'function')
        return (input: unknown, ...rest: unknown[]) => part({ [wrap]: input ?? {} }, ...rest) as unknown
      return typeof part === 'function' ? direct(part) : part
    },
  })
}
