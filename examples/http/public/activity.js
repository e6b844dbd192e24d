// The last 24 hours as bars, and the same in words for those who do not see them.

import { element } from './dom.js'

const HOURS = 24
const HOUR = 3_600_000
const HEIGHT = 100
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' })

export class Activity {
  #api
  #figure

  constructor(api, figure) {
    this.#api = api
    this.#figure = figure
  }

  async refresh() {
    const { hours, complete } = await this.#api.get('activity')
    const end = Math.floor(Date.now() / HOUR) * HOUR
    const slots = Array.from({ length: HOURS }, (_, n) => ({ start: end - (HOURS - 1 - n) * HOUR, delivered: 0, failed: 0, other: 0 }))
    for (const { hour, state, count } of hours) {
      const slot = slots.find(({ start }) => start === Date.parse(hour))
      if (slot) slot[state === 'delivered' || state === 'failed' ? state : 'other'] += count
    }
    this.#show(slots, complete)
  }

  #show(slots, complete) {
    const total = (name) => slots.reduce((sum, slot) => sum + slot[name], 0)
    const words = `${total('delivered')} delivered, ${total('failed')} failed, ${total('other')} waiting or not sent`
    const svg = element('svg:svg', { viewBox: `0 0 ${HOURS * 10} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': `By hour: ${words}` },
      ...bars(slots), element('svg:line', { x1: 0, x2: HOURS * 10, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5 }))
    const axis = element('p', { class: 'axis quiet', 'aria-hidden': 'true' }, element('span', {}, clock.format(slots[0].start)), element('span', {}, 'now'))
    const caption = element('figcaption', {},
      element('span', { class: 'delivered' }, `${total('delivered')} delivered`), ', ', element('span', { class: 'failed' }, `${total('failed')} failed`), ', ',
      element('span', { class: 'other' }, `${total('other')} waiting or not sent`), complete ? '.' : ' (of the newest 10,000).')
    const made = element('div', {}, svg, axis, caption)
    if (!made.isEqualNode(this.#figure.firstElementChild)) this.#figure.replaceChildren(made)
  }
}

function bars(slots) {
  const most = Math.max(1, ...slots.map(({ delivered, failed, other }) => delivered + failed + other))
  return slots.flatMap((slot, n) => {
    let y = HEIGHT
    return ['delivered', 'failed', 'other'].filter((name) => slot[name] > 0).map((name) => {
      const height = Math.max(2, (slot[name] / most) * (HEIGHT - 4))
      y -= height
      return element('svg:rect', { class: name, x: n * 10 + 1, width: 8, y, height },
        element('svg:title', {}, `${clock.format(slot.start)}: ${slot[name]} ${name === 'other' ? 'waiting or not sent' : name}`))
    })
  })
}
