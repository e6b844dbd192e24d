// Holds bodies against what is published of them: a webhook's against docs/schema, those of
// Slack and Discord against the types of their own packages; Teams' are parsed by Microsoft's own.
//
//   node published.mjs SCHEMA BODIES.jsonl      (in the folder of node_modules and chat.ts)
//
// Prints what does not fit, and how many of each kind were looked at.

import { readFileSync } from 'node:fs'
import cards from 'adaptivecards/dist/adaptivecards.js'
import Ajv from 'ajv'
import Ajv2020 from 'ajv/dist/2020.js'
import { createGenerator } from 'ts-json-schema-generator'

const [schemaFile, bodiesFile] = process.argv.slice(2)

// Receivers are to ignore keys they do not know; here an unknown one is an error.
function closed(schema) {
  if (Array.isArray(schema)) return schema.map(closed)
  if (schema === null || typeof schema !== 'object') return schema
  const copy = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, key === 'examples' ? value : closed(value)]))
  return copy.properties && copy.type === 'object' ? { ...copy, additionalProperties: false } : copy
}

function ofType(type) {
  const generator = createGenerator({ path: 'chat.ts', type, skipTypeCheck: true, jsDoc: 'none' })
  return new Ajv.default({ strict: false }).compile(generator.createSchema(type))
}

const schema = JSON.parse(readFileSync(schemaFile, 'utf8'))
const events = new Ajv2020.default({ strict: false, allErrors: true })
events.addSchema(closed(schema))
const titles = Object.fromEntries(schema.oneOf.map(({ $ref }) => {
  const title = $ref.split('/').pop()
  return [schema.$defs[title].properties.event.const, title]
}))
const webhook = (body) => {
  const title = titles[body.event]
  const validate = title && events.getSchema(`${schema.$id}#/$defs/${title}`)
  return validate ? (validate(body) ? null : validate.errors) : 'an event that is not published'
}
const against = (validate) => (body) => (validate(body) ? null : validate.errors)
const slack = against(ofType('SlackMessage'))
const discord = against(ofType('DiscordMessage'))


// A message with one card, in which its parser finds nothing amiss
function teams(body) {
  const [attachment, ...others] = body.attachments ?? []
  const context = new cards.SerializationContext(cards.Versions.v1_4)
  if (body.type !== 'message' || others.length > 0 || attachment?.contentType !== 'application/vnd.microsoft.card.adaptive')
    return 'no message with one card'
  new cards.AdaptiveCard().parse(attachment.content, context)
  return context.eventCount === 0 ? null : Array.from({ length: context.eventCount }, (_, i) => context.getEventAt(i).message)
}

const kinds = { slack, discord, teams, webhook, example: webhook }
const kindOf = (host) => (/slack/.test(host) ? 'slack' : /discord/.test(host) ? 'discord' : /azure|powerplatform/.test(host) ? 'teams' : 'webhook')
const counts = {}
for (const [kind, body] of [
  ...schema.oneOf.flatMap(({ $ref }) => schema.$defs[$ref.split('/').pop()].examples.map((body) => ['example', body])),
  ...readFileSync(bodiesFile, 'utf8').split('\n').filter(Boolean).map((line) => {
    const { host, body } = JSON.parse(line)
    return [kindOf(host), typeof body === 'string' ? JSON.parse(body) : body]
  })]) {
  const wrong = kinds[kind](body)
  counts[kind] = (counts[kind] ?? 0) + 1
  if (wrong) console.log(kind, JSON.stringify(wrong).slice(0, 500), JSON.stringify(body).slice(0, 500))
}
console.log(Object.keys(counts).sort().map((kind) => `${kind} ${counts[kind]}`).join(', '))
