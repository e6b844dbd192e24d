// One JSON object a line, on standard output. What is logged is chosen here and in service.ts by
// name: no header, query, body, parameter or URL beyond its path.

type Level = 'info' | 'warning' | 'error'

export function log(level: Level, message: string, facts: Record<string, unknown> = {}): void {
  process.stdout.write(JSON.stringify({ time: new Date().toISOString(), level, message, ...facts }) + '\n')
}
