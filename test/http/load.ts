// What the service bears: calls of list at a fixed rate, from one process, whether or not earlier
// ones have been answered. Not a test: no figure decides anything. test/http/run load [RATE [SECONDS]]
//
// Prints the latencies, from the moment when a call was due, and the service's memory.

import { Agent, request } from 'node:http'
import { readFileSync } from 'node:fs'

import { Service, setUp, sql, token, URLS } from './harness.ts'

const [rate = 200, seconds = 30] = process.argv.slice(2).map(Number)

await setUp()
await sql(`SELECT set_config('featul_integrations.user_id', 'olivia', false);
  SELECT integration_connect('acme', 'slack', '${URLS.slack}'); SELECT integration_connect('acme', 'webhook', '${URLS.webhook}')`)
const service = await Service.start()
const users = await Promise.all(['olivia', 'adam'].map(async (user) => ({ Authorization: `Bearer ${await token(user)}` }))) // each has a share of the pool
let calls = 0
const agent = new Agent({ keepAlive: true, maxSockets: 256 })
const statuses: Record<string, number> = {}

const memory = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${service.pid}/status`, 'utf8'))?.[1]) / 1024
const processor = () => readFileSync(`/proc/${service.pid}/stat`, 'utf8').split(' ').slice(13, 15).reduce((sum, ticks) => sum + Number(ticks), 0) * 10

function call(due: number): Promise<number> {
  return new Promise((resolve) => {
    const done = (status: string | number) => {
      statuses[status] = (statuses[status] ?? 0) + 1
      resolve(performance.now() - due)
    }
    request(`${service.api}/integration/list?workspaceSlug=acme`, { agent, headers: users[calls++ % users.length]! }, (response) => {
      response.resume().on('end', () => done(response.statusCode ?? 0))
    }).on('error', (error) => done(error.message)).end()
  })
}

async function run(duration: number): Promise<number[]> {
  const calls: Promise<number>[] = []
  const start = performance.now()
  while (calls.length < rate * duration) {
    const due = start + (calls.length * 1000) / rate
    if (performance.now() >= due) calls.push(call(due))
    else await new Promise((resolve) => setTimeout(resolve, due - performance.now()))
  }
  return (await Promise.all(calls)).sort((a, b) => a - b)
}

const idle = memory()
await run(2) // compiled, connected
const before = processor()
const latencies = await run(seconds)
const quantile = (q: number) => latencies[Math.ceil(q * latencies.length) - 1]!.toFixed(1)
console.log(`${latencies.length} calls of list at ${rate}/s: ${JSON.stringify(statuses)}`)
console.log(`p50 ${quantile(0.5)} ms, p95 ${quantile(0.95)} ms, p99 ${quantile(0.99)} ms, longest ${quantile(1)} ms`)
console.log(`memory ${idle.toFixed(0)} MB at the start, ${memory().toFixed(0)} MB at the end; ${((processor() - before) / seconds / 10).toFixed(0)} % of a processor`)
agent.destroy()
await service.stop()
