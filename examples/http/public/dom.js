// Elements. Whatever is shown becomes text, never markup: what people write is data.

/** The first element inside `root` that the selector finds; it has to be there. */
export const find = (root, selector) => root.querySelector(selector)

/** A copy of what is in a template. */
export const copyOf = (id) => document.getElementById(id).content.firstElementChild.cloneNode(true)

/** An element with attributes and children: elements, or anything else as text. */
export function element(name, attributes = {}, ...children) {
  const made = name.includes(':')
    ? document.createElementNS('http://www.w3.org/2000/svg', name.split(':')[1])
    : document.createElement(name)
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value)
  made.append(...children.filter((child) => child !== null && child !== undefined))
  return made
}

/** A link to a web address, else only the words: no other scheme is ever followed. */
export function link(address, ...words) {
  const safe = /^https?:\/\//i.test(address ?? '')
  return safe
    ? element('a', { href: address, rel: 'noopener noreferrer nofollow', target: '_blank' }, ...words)
    : element('span', {}, ...words)
}

/** Shows text with a class that says how it went: good, bad or none. */
export function say(target, text, mood = '') {
  target.textContent = text
  target.classList.remove('good', 'bad', 'wait')
  if (mood) target.classList.add(mood)
}

const clock = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' })

export const time = (iso) => (iso ? clock.format(new Date(iso)) : '')
