// Puts the page together.

import { Activity } from './activity.js'
import { Api, Refusal, remember, session } from './api.js'
import { busy, Connections, KINDS } from './connections.js'
import { Deliveries } from './deliveries.js'
import { element, find } from './dom.js'

const at = (id) => document.getElementById(id)

const RETRY = 5_000
const TROUBLE = [429, 503, 504] // that passes

/** What was refused, in words, in place of everything. */
function refuse(error) {
  if (error.status === 401) return askWho(error.hint ?? error.message)
  if (TROUBLE.includes(error.status)) setTimeout(() => location.reload(), RETRY)
  at('content').hidden = true
  at('live').textContent = 'Not connected'
  at('refused').textContent = error.words ?? error.message
  at('refused').hidden = false
}

function askWho(reason) {
  at('content').hidden = true
  at('live').textContent = 'Not connected'
  at('sign-in').hidden = false
  at('sign-in-reason').textContent = reason
}

at('sign-in').addEventListener('submit', (event) => {
  event.preventDefault()
  const { workspace, token } = event.target
  remember({ workspace: workspace.value.trim(), token: token.value.trim() })
  location.reload()
})

function offerRecovery(api, deliveries) {
  const form = at('recover')
  for (const [type, { name }] of Object.entries(KINDS)) {
    form.type.append(element('option', { value: type }, name))
    at('log-filter').type.append(element('option', { value: type }, name))
  }
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    void busy(find(form, 'button'), find(form, '.outcome'), async () => {
      const { message } = await api.post('recover', { type: form.type.value, since: new Date(form.since.value).toISOString() })
      await deliveries.refresh()
      return message
    })
  })
}

/** One refresh at a time, and one more, after a pause, if something changed meanwhile or it failed. */
function calmly(pause, work) {
  let running = false
  let again = false
  return async () => {
    again = true
    if (running) return
    running = true
    while (again) {
      again = false
      let wait = pause
      await work().catch((error) => {
        if ([401, 403, 404].includes(error.status)) return refuse(error)
        if (!(error instanceof Refusal)) return console.error(error)
        again = true
        wait = RETRY
      })
      await new Promise((resolve) => setTimeout(resolve, wait))
    }
    running = false
  }
}

async function start() {
  const who = session()
  if (!who.workspace) return askWho('Name the workspace, and give a token that says who you are.')
  at('workspace-name').textContent = who.workspace
  const api = new Api(who)
  const { events } = await api.events()
  const connections = new Connections(api, at('connections'), events)
  const deliveries = new Deliveries(api, { list: at('deliveries'), older: at('older'), newest: at('newest'), filter: at('log-filter') }, events)
  const activity = new Activity(api, at('activity'))
  offerRecovery(api, deliveries)
  // shown when all of it is there: nothing jumps
  await Promise.all([connections.refresh(), deliveries.refresh(), activity.refresh()])
  at('content').hidden = false
  const news = calmly(1_000, () => Promise.all([connections.refresh(), deliveries.refresh()]))
  const bars = calmly(10_000, () => activity.refresh()) // reads much of the log
  const refresh = () => {
    void news()
    void bars()
  }
  await api.watch(refresh, (on, error) => {
    at('live').textContent = on ? 'Live' : error ? 'Not connected' : 'Connecting again…'
    at('live').classList.toggle('on', on)
    if (error) refuse(error)
  })
}

start().catch(refuse)
addEventListener('hashchange', () => location.reload())
