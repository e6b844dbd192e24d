// A message as it was sent, roughly as its readers see it. What does not look as expected is shown
// as the JSON it is.

import { element, link } from './dom.js'

export function renderMessage(type, body) {
  const view = element('div', { class: type })
  try {
    const message = JSON.parse(body)
    if (type in VIEWS) {
      view.append(...VIEWS[type](message, view))
      view.append(element('details', {}, element('summary', {}, 'As JSON'), json(message)))
    } else view.append(json(message))
  } catch {
    view.replaceChildren(element('pre', {}, body))
  }
  return view
}

const json = (message) => element('pre', {}, JSON.stringify(message, null, 2))
const paragraph = (kind, ...words) => element('p', kind ? { class: kind } : {}, ...words)

const VIEWS = {
  slack: ({ blocks }) => blocks.map(slackBlock),
  discord: ({ embeds: [embed] }, view) => {
    if (typeof embed.color === 'number') view.style.borderLeftColor = `#${embed.color.toString(16).padStart(6, '0')}`
    return [
      embed.author && paragraph('small', embed.author.name),
      embed.title && paragraph('', element('strong', {}, link(embed.url, unescaped(embed.title)))),
      embed.description && paragraph('', unescaped(embed.description)),
      embed.fields && element('dl', {}, ...embed.fields.map(({ name, value }) =>
        element('div', {}, element('dt', {}, name), element('dd', {}, unescaped(value))))),
      embed.thumbnail && paragraph('small', link(embed.thumbnail.url, 'Picture')),
      embed.footer && paragraph('small', embed.footer.text),
    ].filter(Boolean)
  },
  teams: ({ attachments: [{ content }] }) => [
    ...content.body.map(cardElement),
    ...(content.actions ?? []).map(({ title, url }) => paragraph('', link(url, title))),
  ],
}

function slackBlock(block) {
  switch (block.type) {
    case 'header':
      return paragraph('headline', block.text.text)
    case 'section':
      return paragraph('', ...slackText(block.text))
    case 'image':
      return paragraph('small', link(block.image_url, block.alt_text || 'Picture'))
    default:
      return paragraph('small', block.elements.map(({ text }) => text).join(' · '))
  }
}

/** mrkdwn, as far as our messages go: *bold*, <address|words>, three characters escaped. */
function slackText({ type, text }) {
  if (type !== 'mrkdwn') return [text]
  const plain = (part) => part.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&')
  const bold = /^\*(.*)\*$/s.exec(text)?.[1] ?? text
  const linked = /^<([^|>]+)\|([^>]*)>$/s.exec(bold)
  return [element(bold === text ? 'span' : 'strong', {}, linked ? link(plain(linked[1]), plain(linked[2])) : plain(bold))]
}

/** Adaptive Cards, as far as our messages go. */
function cardElement(part) {
  switch (part.type) {
    case 'TextBlock':
      return paragraph(part.weight === 'Bolder' ? 'headline' : part.isSubtle ? 'small' : '', ...cardText(part.text))
    case 'FactSet':
      return element('dl', {}, ...part.facts.flatMap(({ title, value }) => [element('dt', {}, title), element('dd', {}, unescaped(value))]))
    default:
      return paragraph('small', part.type)
  }
}

/** [words](address), or words with Markdown's line breaks. */
function cardText(text) {
  const [, words, address] = /^\[((?:[^\\\]]|\\.)*)\]\((\S+)\)$/s.exec(text) ?? []
  return address ? [element('strong', {}, link(address, unescaped(words)))] : [unescaped(text.replaceAll('\n\n', '\n'))]
}

/** Markdown's backslashes taken away again. */
function unescaped(text) {
  return text.replace(/\\([\p{P}\p{S}])/gu, '$1')
}
