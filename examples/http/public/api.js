// The calls, with the token of this session; and the stream of changes.

export class Refusal extends Error {
  constructor(status, { message, hint, detail }) {
    super(message ?? `The service answered ${status}`)
    this.status = status
    this.hint = hint
    this.detail = detail
  }

  /** All that helps: what, why, what to do. */
  get words() {
    return [this.message, this.detail, this.hint].filter(Boolean)
      .map((part) => part[0].toUpperCase() + part.slice(1).replace(/[.:]$/, '')).join('. ') + '.'
  }
}

const KEY = 'featul-integrations'
const SILENCE = 60_000 // the service writes every 25 s

/**
 * Who looks at what: from the address (#workspace=acme&token=...), which forgets the token at once,
 * else from this tab's memory. Behind a session of the application's own there is no token at all.
 */
export function session() {
  const given = new URLSearchParams(location.hash.slice(1))
  const known = JSON.parse(sessionStorage.getItem(KEY) ?? '{}')
  const found = { workspace: given.get('workspace') ?? known.workspace, token: given.get('token') ?? known.token }
  remember(found)
  return found
}

export function remember(found) {
  sessionStorage.setItem(KEY, JSON.stringify(found))
  history.replaceState(null, '', found.workspace ? `#workspace=${encodeURIComponent(found.workspace)}` : location.pathname)
}

export class Api {
  #session

  constructor(session) {
    this.#session = session
  }

  get(call, input = {}) {
    const given = Object.entries({ workspaceSlug: this.#session.workspace, ...input }).filter(([, value]) => value)
    return this.#call(`${call}?${new URLSearchParams(given)}`, {})
  }

  post(call, input = {}) {
    return this.#call(call, { method: 'POST', body: JSON.stringify({ workspaceSlug: this.#session.workspace, ...input }) })
  }

  events() {
    return this.#call('events', {})
  }

  async #call(path, init) {
    const response = await this.#fetch(path, init)
    return response.json()
  }

  async #fetch(path, init) {
    const headers = { 'Content-Type': 'application/json' }
    if (this.#session.token) headers.Authorization = `Bearer ${this.#session.token}`
    const response = await fetch(`api/integration/${path}`, { ...init, headers }).catch(() => {
      throw new Refusal(0, { message: 'The service cannot be reached', hint: 'Try again in a moment' })
    })
    if (!response.ok) throw new Refusal(response.status, await response.json().catch(() => ({})))
    return response
  }

  /** Calls onChange now and whenever something changes, for as long as the page is open. */
  async watch(onChange, onState) {
    for (let pause = 1000; ; pause = Math.min(pause * 2, 30_000)) {
      try {
        const { body } = await this.#fetch(`changes?${new URLSearchParams({ workspaceSlug: this.#session.workspace })}`, {})
        onState(true)
        pause = 1000
        await readChanges(body, onChange)
      } catch (error) {
        if (error instanceof Refusal && [400, 401, 403, 404].includes(error.status)) return onState(false, error)
      }
      onState(false)
      await new Promise((resolve) => setTimeout(resolve, pause))
    }
  }
}

/** Until the stream ends, or is silent for so long that it has. An event is told of once its line is whole. */
async function readChanges(body, onChange) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  for (;;) {
    const silence = setTimeout(() => void reader.cancel(), SILENCE)
    const { value, done } = await reader.read().finally(() => clearTimeout(silence))
    if (done) return
    const lines = (rest + value).split('\n')
    rest = lines.pop()
    if (lines.includes('event: change')) onChange()
  }
}
