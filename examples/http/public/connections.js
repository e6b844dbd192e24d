// The kinds of integration: how each fares, connecting and changing it, testing, its secret.

import { copyOf, element, find, say, time } from './dom.js'

export const KINDS = {
  slack: { name: 'Slack', example: 'https://hooks.slack.com/services/…' },
  discord: { name: 'Discord', example: 'https://discord.com/api/webhooks/…' },
  webhook: { name: 'Webhook', example: 'https://…' },
  teams: { name: 'Teams', example: 'https://….logic.azure.com/workflows/…' },
}

export class Connections {
  #api
  #cards = new Map()

  constructor(api, root, events) {
    this.#api = api
    for (const type of Object.keys(KINDS)) this.#cards.set(type, this.#card(type, events))
    root.replaceChildren(...[...this.#cards.values()].map(({ card }) => card))
  }

  async refresh() {
    const { integrations } = await this.#api.get('list')
    for (const [type, card] of this.#cards) show(card, integrations.find((one) => one.type === type))
  }

  #card(type, events) {
    const card = copyOf('connection')
    const { name, example } = KINDS[type]
    const form = find(card, '.edit form')
    const outcome = find(card, '.outcome')
    find(card, 'h3').textContent = name
    card.setAttribute('aria-label', name)
    form.webhookUrl.placeholder = example
    find(form, '.fault').id = `fault-${type}`
    find(form, '.events').append(...events.map(({ event, label, description }) =>
      element('label', { title: description }, element('input', { type: 'checkbox', name: 'events', value: event }), label)))

    const act = (button, work) => button.addEventListener('click', () => busy(button, outcome, work))
    act(find(card, '.test'), async () => {
      say(outcome, 'Sending…')
      return (await this.#api.post('test', { type })).message
    })
    act(find(card, '.disconnect'), async () => {
      if (!confirm(`Disconnect ${name}? What still waits is not sent.`)) return ''
      const { message } = await this.#api.post('disconnect', { type })
      await this.refresh()
      return message
    })
    form.addEventListener('submit', (event) => {
      event.preventDefault()
      void this.#connect(type, card, form)
    })
    this.#offerSecret(card)
    return { card, form, name, filters: null }
  }

  async #connect(type, card, form) {
    const outcome = find(card, '.outcome')
    const list = (values) => (values.length > 0 ? values : null)
    fault(form, null)
    await busy(find(form, 'button'), outcome, async () => {
      const { message } = await this.#api.post('connect', {
        type,
        webhookUrl: form.webhookUrl.value.trim(),
        events: list([...form.querySelectorAll('[name=events]:checked')].map(({ value }) => value)),
        boards: list(form.boards.value.split(',').map((slug) => slug.trim()).filter(Boolean)),
        rule: form.rule.value.trim() || null,
      })
      form.webhookUrl.value = ''
      this.#cards.get(type).filters = null
      find(card, '.edit').open = false
      await this.refresh()
      find(card, '.edit summary').focus()
      return message
    }, (error) => error.status === 400 && fault(form, error))
  }

  #offerSecret(card) {
    const output = find(card, '.secret output')
    const show = (secret) => (output.textContent = secret)
    find(card, '.secret .show').addEventListener('click', ({ target }) =>
      busy(target, find(card, '.outcome'), async () => void show((await this.#api.get('secret')).secret)))
    find(card, '.secret .rotate').addEventListener('click', ({ target }) =>
      busy(target, find(card, '.outcome'), async () => {
        if (!confirm('Make a new signing secret?')) return ''
        show((await this.#api.post('rotateSecret')).secret)
        return 'There is a new secret; the old one is valid for 24 hours more.'
      }))
    find(card, '.secret').addEventListener('toggle', () => show(''))
  }
}

/** Beside the field that it is about; null for none. True, as there is no more to say. */
function fault(form, error) {
  const place = find(form, '.fault')
  place.textContent = error?.words ?? ''
  place.hidden = !error
  const field = [['boards', /^(Unknown board|Argument boards) /], ['rule', /^(Rule|Argument rule) /]]
    .filter(([, pattern]) => pattern.test(error?.message)).map(([name]) => form[name])[0] ?? form.webhookUrl
  for (const input of [form.webhookUrl, form.boards, form.rule]) {
    input.removeAttribute('aria-invalid')
    input.removeAttribute('aria-describedby')
  }
  if (!error) return true
  field.closest('label').after(place)
  field.setAttribute('aria-invalid', 'true')
  field.setAttribute('aria-describedby', place.id)
  field.focus()
  return true
}

/**
 * Does something at the press of a button, and says what came of it, unless `explain` has said what
 * went wrong. The button stays where the keyboard is: one that is disabled would lose it. If it has
 * gone, as there is nothing more to do with it, the next best is taken.
 */
export async function busy(button, outcome, work, explain = () => false) {
  if (button.ariaDisabled === 'true') return
  button.ariaDisabled = 'true'
  const focused = document.activeElement === button
  try {
    say(outcome, (await work()) ?? '', 'good')
  } catch (error) {
    say(outcome, '')
    if (!explain(error)) say(outcome, error.words ?? error.message, 'bad')
  } finally {
    button.ariaDisabled = null
    if (focused && button.hidden) find(button.closest('article, li'), 'summary').focus()
  }
}

const STATES = {
  active: ['Connected, and all is well', 'good'],
  failing: ['Connected, but the last message did not arrive', 'wait'],
  inactive: ['Switched off', 'bad'],
}

function show(entry, integration) {
  const { card, form, name } = entry
  const [words, mood] = integration ? STATES[integration.status] : ['Not connected', '']
  const reason = integration?.statusReason ? `: ${integration.statusReason}` : ''
  say(find(card, '.state'), words + reason, mood)
  find(card, '.facts').textContent = integration ? factsOf(integration) : ''
  find(card, '.test').hidden = find(card, '.disconnect').hidden = !integration
  find(card, '.secret').hidden = integration?.type !== 'webhook'
  find(card, '.edit summary').textContent = integration ? 'Change' : `Connect ${name}`
  find(form, 'button').textContent = integration ? 'Save' : 'Connect'
  find(form, '.url-note').textContent = integration ? 'The present one is never shown; saving needs it, or a new one, again.' : ''

  // what somebody is typing stays, whatever happens meanwhile
  const filters = JSON.stringify(integration ? [integration.events, integration.boards, integration.rule] : [])
  if (entry.filters === filters) return
  entry.filters = filters
  for (const box of form.querySelectorAll('[name=events]')) box.checked = integration?.events?.includes(box.value) ?? false
  form.boards.value = integration?.boards?.join(', ') ?? ''
  form.rule.value = integration?.rule ?? ''
}

function factsOf({ events, boards, rule, lastTriggeredAt }) {
  return [
    events ? `${events.length} ${events.length === 1 ? 'event' : 'events'}` : 'all events',
    boards ? `boards ${boards.join(', ')}` : 'all boards',
    rule && 'with a rule',
    lastTriggeredAt ? `last sent ${time(lastTriggeredAt)}` : 'nothing sent yet',
  ].filter(Boolean).join(' · ')
}
