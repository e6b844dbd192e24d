// A stand-in for Neon's HTTP endpoint, for the example with drizzle-orm/neon-http: speaks to
// the PostgreSQL of the environment (PGHOST, ...).  Prints its port.

import { createServer } from 'node:http'
import pg from 'pg'

const text = { getTypeParser: () => (value) => value } // as Neon-Raw-Text-Output asks for

function answer({ fields, rows, command, rowCount }) {
  return { fields: fields.map(({ name, dataTypeID }) => ({ name, dataTypeID })), rows, command, rowCount, rowAsArray: true }
}

async function run({ query, params, queries }) {
  const client = new pg.Client()
  await client.connect()
  try {
    const one = async (statement) =>
      answer(await client.query({ text: statement.query, values: statement.params, rowMode: 'array', types: text }))
    if (!queries) return await one({ query, params })
    await client.query('BEGIN')
    const results = []
    for (const statement of queries) results.push(await one(statement))
    await client.query('COMMIT')
    return { results }
  } finally {
    await client.end()
  }
}

createServer(async (request, response) => {
  const chunks = []
  for await (const chunk of request) chunks.push(chunk)
  const [status, body] = await run(JSON.parse(Buffer.concat(chunks))).then(
    (result) => [200, result],
    ({ message, code, detail, hint, severity }) => [400, { message, code, detail, hint, severity }])
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}).listen(0, '127.0.0.1', function () { console.log(this.address().port) })
