// Makes what is derived from events.schema.json, the published form of a webhook's body:
// events.d.ts (types), asyncapi.json, and the page ../events.md.
//
//   node generate.mjs [FOLDER OF node_modules]      writes them; with --check compares
//
// test/t/999_published.pl compares, and holds real bodies against the schema.

import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const [packages = here, mode] = process.argv.slice(2)
const { compile } = createRequire(join(packages, 'x.js'))('json-schema-to-typescript')
const schema = JSON.parse(readFileSync(join(here, 'events.schema.json'), 'utf8'))
const events = schema.oneOf.map(({ $ref }) => schema.$defs[$ref.split('/').pop()])
const nameOf = (event) => event.properties.event.const

function asyncapi() {
  const messages = Object.fromEntries(events.map((event) => [event.title, {
    name: nameOf(event),
    title: event.title,
    summary: event.description,
    contentType: 'application/json',
    headers: {
      type: 'object',
      required: ['webhook-id', 'webhook-timestamp', 'webhook-signature'],
      properties: {
        'webhook-id': { type: 'string', description: 'The same over all attempts and redeliveries: deduplicate on it.' },
        'webhook-timestamp': { type: 'string', description: 'When this attempt was made, seconds since 1970.' },
        'webhook-signature': { type: 'string', description: 'v1, and Base64 of HMAC-SHA256 over id.timestamp.body; several, separated by spaces, after a rotation.' },
      },
    },
    payload: {
      schemaFormat: 'application/schema+json;version=draft-2020-12',
      schema: { $ref: `./events.schema.json#/$defs/${event.title}` },
    },
    examples: event.examples.map((payload) => ({ payload })),
  }]))
  const refs = (path) => Object.keys(messages).map((title) => ({ $ref: `${path}/${title}` }))
  return JSON.stringify({
    asyncapi: '3.0.0',
    info: { title: 'featul integrations: webhooks', version: '1.0.0', description: schema.description },
    defaultContentType: 'application/json',
    channels: {
      endpoint: {
        address: '/',
        title: 'The endpoint that a workspace has connected',
        messages: Object.fromEntries(Object.keys(messages).map((title) => [title, { $ref: `#/components/messages/${title}` }])),
        bindings: { http: {} },
      },
    },
    operations: {
      receive: {
        action: 'receive',
        channel: { $ref: '#/channels/endpoint' },
        summary: 'A signed POST of one event; a 2xx within ten seconds has received it.',
        messages: refs('#/channels/endpoint/messages'),
      },
    },
    components: { messages },
  }, null, 2) + '\n'
}

function typeOf(property) {
  if (property.$ref) return `[${property.$ref.split('/').pop()}](#${property.$ref.split('/').pop().toLowerCase()})`
  if (property.const !== undefined) return '`' + JSON.stringify(property.const) + '`'
  if (property.enum) return property.enum.map((value) => '`' + JSON.stringify(value) + '`').join(', ')
  return [property.type].flat().join(' or ')
}

// Rows of a table: the properties, those of nested objects after theirs
function rows(object, path = '') {
  return Object.entries(object.properties).flatMap(([key, property]) => [
    `| \`${path}${key}\`${object.required.includes(key) ? '' : ' (may be absent)'} | ${typeOf(property)} | ${property.description ?? ''} |`,
    ...(property.properties ? rows(property, `${path}${key}.`) : []),
  ])
}

function page() {
  const table = (object) => ['| key | is | |', '| --- | --- | --- |', ...rows(object)].join('\n')
  const parts = Object.values(schema.$defs).filter((part) => !events.includes(part))
  return [
    '# Events, as a webhook gets them',
    'Made by `docs/schema/generate.mjs` from [events.schema.json](schema/events.schema.json) (JSON Schema, draft 2020-12).'
      + ' The same as types: [events.d.ts](schema/events.d.ts); as AsyncAPI 3: [asyncapi.json](schema/asyncapi.json).'
      + ' How to receive them: [receivers.md](receivers.md).',
    schema.description,
    ...events.map((event) => `## \`${nameOf(event)}\`\n\n${event.description}\n\n${table(event)}\n\n`
      + '```json\n' + JSON.stringify(event.examples[0], null, 2) + '\n```'),
    ...parts.map((part) => `## ${part.title}\n\n${part.description}\n\n${table(part)}`),
  ].join('\n\n') + '\n'
}

const types = await compile(schema, 'FeatulEvent', {
  additionalProperties: false,
  bannerComment: '// Made by generate.mjs from events.schema.json.  Further keys may follow in later versions.',
  style: { semi: false, singleQuote: true, printWidth: 110 },
})
let differs = false
for (const [file, text] of [['events.d.ts', types], ['asyncapi.json', asyncapi()], ['../events.md', page()]]) {
  const path = join(here, file)
  if (mode !== '--check') writeFileSync(path, text)
  else if (readFileSync(path, 'utf8') !== text) { console.log(`${file} is not what generate.mjs makes`); differs = true }
}
process.exitCode = differs ? 1 : 0
