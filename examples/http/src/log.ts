// One JSON object a line, on standard output. What is logged is chosen here and in service.ts by
// name: no header, query, body, parameter or URL beyond its path.

type Level = 'info' | 'warning' | 'error'

export function log(level: Level, message: string, facts: Record<string, unknown> = {}): void {
  process.stdout.write(JSON.stringify({ time: new Date().toISOString(), level, message, ...facts }) + '\n')
}

const PAUSE = 10_000
const told = new Map<string, { at: number; left: number }>() // by message, which is a constant of the code

/** For what every call may run into while it lasts: once in ten seconds, with how often it was left out since. */
export function logSparingly(level: Level, message: string, facts: Record<string, unknown> = {}): void {
  const before = told.get(message)
  if (before && performance.now() - before.at < PAUSE) {
    before.left++
    return
  }
  told.set(message, { at: performance.now(), left: 0 })
  log(level, message, before?.left ? { ...facts, left_out: before.left } : facts)
}
