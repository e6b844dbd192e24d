// The log: newest first, page by page, each delivery with its message; sending again.

import { busy, KINDS } from './connections.js'
import { copyOf, element, find, say, time } from './dom.js'
import { renderMessage } from './message.js'

const PAGE = 50
const LARGEST_PAGE = 200 // the most that the service gives

const STATES = {
  delivered: ['✓ delivered', 'good'],
  pending: ['… waiting', 'wait'],
  failed: ['✗ failed', 'bad'],
  cancelled: ['– not sent', ''],
}

export class Deliveries {
  #api
  #list
  #older
  #newest
  #filter
  #labels
  #rows = new Map() // by id
  #shown = 0 // counts what has been looked for: answers to an earlier question are dropped

  constructor(api, { list, older, newest, filter }, events) {
    this.#api = api
    this.#list = list
    this.#older = older
    this.#newest = newest
    this.#filter = filter
    this.#labels = new Map(events.map(({ event, label }) => [event, label]))
    const failed = (error) => say(newest, error.words ?? error.message, 'bad')
    filter.addEventListener('change', () => void this.#restart().catch(failed))
    older.addEventListener('click', () => void this.#readOlder().catch(failed))
  }

  /** What is shown again: new ones come on top, those that are there are brought up to date. */
  async refresh() {
    const maxRows = Math.min(Math.max(this.#rows.size, PAGE), LARGEST_PAGE)
    const deliveries = await this.#read({ maxRows })
    if (!deliveries) return
    const full = deliveries.length === maxRows
    // more came at once than a page holds: no gap is left between them and what is shown
    if (full && !deliveries.some(({ id }) => this.#rows.has(id))) this.#clear()
    for (const delivery of deliveries.toReversed()) this.#put(delivery, true)
    if (this.#rows.size <= maxRows) this.#older.hidden = !full
    const [newest] = deliveries
    const words = element('span', {}, ...(newest ? ['Newest: ', element('bdi', {}, this.#label(newest)), `, ${STATES[newest.state][0].slice(2)}, ${time(newest.createdAt)}`]
      : [this.#filter.type.value || this.#filter.state.value ? 'There is nothing of this kind.' : 'Nothing was sent yet.']))
    if (this.#newest.textContent === words.textContent) return
    say(this.#newest, '')
    this.#newest.append(words)
  }

  async #restart() {
    this.#shown++
    this.#clear()
    await this.refresh()
  }

  #clear() {
    this.#rows.clear()
    this.#list.replaceChildren()
  }

  async #readOlder() {
    const last = [...this.#rows.keys()].reduce((least, id) => (BigInt(id) < BigInt(least) ? id : least))
    const deliveries = await this.#read({ before: last })
    if (!deliveries) return
    for (const delivery of deliveries) this.#put(delivery, false)
    this.#older.hidden = deliveries.length < PAGE
    find(this.#rows.get(deliveries[0]?.id ?? last), 'summary').focus()
  }

  /** Undefined if something else is looked for by now. */
  async #read(more) {
    const shown = this.#shown
    const { deliveries } = await this.#api.get('deliveries', {
      maxRows: PAGE,
      type: this.#filter.type.value,
      state: this.#filter.state.value,
      ...more,
    })
    return shown === this.#shown ? deliveries : undefined
  }

  #label(delivery) {
    const title = delivery.payload?.post?.title
    return (this.#labels.get(delivery.event) ?? delivery.event) + (title ? `: ${title}` : '')
  }

  #put(delivery, onTop) {
    let row = this.#rows.get(delivery.id)
    if (!row) {
      row = this.#row(delivery)
      this.#rows.set(delivery.id, row)
      if (onTop) this.#list.prepend(row)
      else this.#list.append(row)
    }
    const [words, mood] = STATES[delivery.state]
    say(find(row, '.state'), words, mood)
    find(row, '.event').textContent = this.#label(delivery)
    find(row, '.to').textContent = KINDS[delivery.type]?.name ?? delivery.type
    find(row, '.facts').textContent = factsOf(delivery)
    find(row, 'time').textContent = time(delivery.createdAt)
    find(row, 'time').dateTime = delivery.createdAt
    find(row, '.more').replaceChildren(...moreOf(delivery))
    find(row, '.again').hidden = delivery.state === 'pending'
  }

  #row({ id, type }) {
    const row = copyOf('delivery')
    row.dataset.id = id
    find(row, 'details').addEventListener('toggle', ({ target }) => {
      if (target.open && !find(row, '.message').hasChildNodes()) void this.#showMessage(row, id, type)
    })
    find(row, '.again').addEventListener('click', ({ target }) =>
      busy(target, find(row, '.actions .outcome'), async () => {
        const { message } = await this.#api.post('redeliver', { deliveryId: id })
        await this.refresh()
        return message
      }))
    return row
  }

  async #showMessage(row, id, type) {
    const place = find(row, '.message')
    try {
      const { body } = await this.#api.get('message', { deliveryId: id })
      place.replaceChildren(renderMessage(type, body))
    } catch (error) {
      place.textContent = error.words ?? error.message
    }
  }
}

function factsOf({ httpStatus, durationMs, attempts }) {
  return [
    httpStatus && `HTTP ${httpStatus}`,
    durationMs !== null && `${durationMs} ms`,
    attempts > 0 && `${attempts} ${attempts === 1 ? 'attempt' : 'attempts'}`,
  ].filter(Boolean).join(' · ')
}

function moreOf({ error, response, lastAttemptAt, nextAttemptAt }) {
  return Object.entries({
    'What went wrong': error,
    'Last attempt': time(lastAttemptAt),
    'Next attempt': time(nextAttemptAt),
    'Answer': response,
  }).filter(([, value]) => value).flatMap(([term, value]) => [element('dt', {}, term), element('dd', {}, value)])
}
