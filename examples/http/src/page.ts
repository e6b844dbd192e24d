// The page: the files of public/, read once.

import { readFileSync } from 'node:fs'
import { createHash } from 'node:crypto'

import { Hono } from 'hono'

const DIRECTORY = new URL('../public/', import.meta.url)

// What is served is named here: no path of a request becomes the path of a file.
const FILES: Record<string, { file: string; type: string }> = {
  '/': { file: 'index.html', type: 'text/html; charset=utf-8' },
  '/icon.svg': { file: 'icon.svg', type: 'image/svg+xml' },
  '/style.css': { file: 'style.css', type: 'text/css; charset=utf-8' },
  ...Object.fromEntries(
    ['main', 'api', 'dom', 'connections', 'deliveries', 'message', 'activity'].map((name) => [
      `/${name}.js`,
      { file: `${name}.js`, type: 'text/javascript; charset=utf-8' },
    ]),
  ),
}

export function page() {
  const app = new Hono()
  for (const [path, { file, type }] of Object.entries(FILES)) {
    const content = readFileSync(new URL(file, DIRECTORY))
    const tag = `"${createHash('sha256').update(content).digest('base64url')}"`
    app.get(path, (c) => {
      c.header('ETag', tag)
      c.header('Cache-Control', 'no-cache')
      if (c.req.header('If-None-Match') === tag) return c.body(null, 304)
      c.header('Content-Type', type)
      return c.body(content)
    })
  }
  return app
}
